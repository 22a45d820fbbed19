//! The connections of a client: one at a time, each a logical process of its own, and only so many. What becomes of them
//! is told: a loss, the first failure to replace it, and the new connection.

use std::sync::Arc;

use super::load::LoadContext;
use crate::event::Emit;
use crate::inventory::NodeName;

pub(super) struct Connections {
    emit: Arc<dyn Emit>,
    node: NodeName,
    who: String,
    /// How many times the client may reconnect.
    reconnects: u32,
    reconnected: u32,
    made: u32,
    is_open: bool,
    /// Attempts to connect that failed in a row.
    refused: u32,
}

impl Connections {
    /// Those of a client of this node and name.
    pub(super) fn new(context: &LoadContext, node: &NodeName, who: String) -> Self {
        Self {
            emit: Arc::clone(&context.emit),
            node: node.clone(),
            who,
            reconnects: context.workload.reconnects,
            reconnected: 0,
            made: 0,
            is_open: false,
            refused: 0,
        }
    }

    /// How many were made.
    pub(super) fn count(&self) -> u32 {
        self.made
    }

    /// One is made: its number, from 0.
    pub(super) fn made(&mut self) -> u32 {
        if self.refused > 0 {
            self.tell(&format!("connected after {} failed attempts", self.refused));
            self.refused = 0;
        }
        self.is_open = true;
        self.made += 1;
        self.made - 1
    }

    /// It was lost, or none could be made. An error is why the client has to give up.
    pub(super) fn lost(&mut self, reason: &str) -> Result<(), String> {
        if self.reconnected == self.reconnects {
            let reason = format!("{} reconnects did not suffice: {reason}", self.reconnects);
            self.tell(&format!("gave up: {reason}"));
            return Err(reason);
        }
        self.reconnected += 1;
        if !std::mem::take(&mut self.is_open) {
            self.refused += 1;
        }
        if self.refused <= 1 {
            self.tell(&format!("{reason}; reconnecting"));
        }
        Ok(())
    }

    fn tell(&self, what: &str) {
        let text = format!("{}: {what}", self.who);
        self.emit.note(Some(&self.node), text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::event::Event;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Emit for Told {
        fn emit(&self, event: Event) {
            if let Event::Note { text, .. } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    #[test]
    fn what_goes_on_is_told_once_and_not_for_ever() {
        let told = Arc::new(Told::default());
        let mut connections = Connections {
            emit: Arc::clone(&told) as _,
            node: NodeName("n1".into()),
            who: "client 7".into(),
            reconnects: 5,
            reconnected: 0,
            made: 0,
            is_open: false,
            refused: 0,
        };
        assert_eq!(connections.made(), 0);
        assert_eq!(connections.lost("reset"), Ok(()));
        for _ in 0..3 {
            assert_eq!(connections.lost("refused"), Ok(()));
        }
        assert_eq!((connections.made(), connections.count()), (1, 2));
        assert_eq!(connections.lost("reset"), Ok(()));
        let gave_up = connections.lost("refused").unwrap_err();
        assert_eq!(gave_up, "5 reconnects did not suffice: refused");
        let lines = told.0.lock().unwrap();
        assert_eq!(
            *lines,
            [
                "client 7: reset; reconnecting",
                "client 7: refused; reconnecting",
                "client 7: connected after 3 failed attempts",
                "client 7: reset; reconnecting",
                "client 7: gave up: 5 reconnects did not suffice: refused",
            ]
        );
    }
}
