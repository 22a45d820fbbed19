//! Shows on a thread of its own, so that a terminal that has stopped stops nothing else: the
//! times of events and the renewal of leases must not depend on who watches.

use std::io::{self, Write};

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::event::{Record, Show};

/// Events that may wait to be shown; a run has a few in a second.
const QUEUE_MAX: usize = 4096;

/// How often the view may look at the time.
const TICK: Duration = Duration::from_millis(200);

/// For what waits to be shown when the run is over.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// A way of showing.
pub(super) trait View: Send + 'static {
    /// An event happened.
    fn show(&mut self, record: &Record);

    /// Some time has passed.
    fn tick(&mut self) {}
}

/// A view on its thread.
pub(super) struct Aside {
    sender: Option<SyncSender<Record>>,
    ended: Receiver<()>,
    missed: u64,
}

impl Aside {
    pub(super) fn start(view: impl View) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                work(&receiver, view);
                let _nobody_waits = end.try_send(());
            })?;
        Ok(Self {
            sender: Some(sender),
            ended,
            missed: 0,
        })
    }
}

fn work(receiver: &Receiver<Record>, mut view: impl View) {
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(record) => view.show(&record),
            Err(RecvTimeoutError::Timeout) => view.tick(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Show for Aside {
    fn show(&mut self, record: &Record) {
        let Some(sender) = &self.sender else {
            return;
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(record.clone()) {
            self.missed += 1;
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        drop(self.sender.take());
        // A reader that takes nothing any more is left with what it has.
        let is_over = !matches!(
            self.ended.recv_timeout(END_DEADLINE),
            Err(RecvTimeoutError::Timeout)
        );
        let missed = self.missed;
        if is_over && missed > 0 {
            let _nobody_to_tell = writeln!(
                io::stderr(),
                "warning: {missed} events were not shown, because they were read too slowly; \
                 events.jsonl has them all"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use super::*;
    use crate::event::Event;

    fn record(time: i64) -> Record {
        Record {
            time,
            event: Event::Interrupted {
                by: "SIGINT".to_owned(),
            },
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<i64>>>);

    impl View for Kept {
        fn show(&mut self, record: &Record) {
            self.0.lock().unwrap().push(record.time);
        }
    }

    #[test]
    fn everything_is_shown_before_the_end() {
        let kept = Kept::default();
        let mut aside = Aside::start(kept.clone()).unwrap();
        (0..1000).for_each(|time| aside.show(&record(time)));
        drop(aside);
        assert!(kept.0.lock().unwrap().iter().copied().eq(0..1000));
    }

    #[test]
    fn who_reads_nothing_keeps_nobody_waiting() {
        struct Stuck(Receiver<()>);
        impl View for Stuck {
            fn show(&mut self, _: &Record) {
                let _until_dropped = self.0.recv();
            }
        }
        let (stop, stopped) = sync_channel(0);
        let mut aside = Aside::start(Stuck(stopped)).unwrap();
        let began = Instant::now();
        let count = QUEUE_MAX as i64 + 10;
        (0..count).for_each(|time| aside.show(&record(time)));
        assert!(began.elapsed() < END_DEADLINE);
        let missed = aside.missed;
        assert!((9..=10).contains(&missed), "{missed}");
        drop(stop);
    }
}
