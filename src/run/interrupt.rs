//! Ctrl-C and SIGTERM. Once: stop, heal, collect, judge. Twice: heal and go.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How urgently the user wants the run to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// Not at all.
    #[default]
    None,
    /// Heal, collect and judge what there is.
    Stop,
    /// Heal and go.
    Go,
}

/// Tells whether the user wants the run to end; clones see the same.
#[derive(Debug, Clone)]
pub struct Interrupt {
    receiver: watch::Receiver<Urgency>,
}

impl Interrupt {
    /// Listens to SIGINT and SIGTERM from now on, calling `seen` with the signal's name.
    pub fn listen(seen: impl Fn(&str) + Send + 'static) -> std::io::Result<Self> {
        let interrupts = signal(SignalKind::interrupt())?;
        let terminations = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(Urgency::None);
        tokio::spawn(count(interrupts, terminations, sender, seen));
        Ok(Self { receiver })
    }

    /// One that a test raises by its own hand.
    #[cfg(test)]
    pub fn by_hand() -> (watch::Sender<Urgency>, Self) {
        let (sender, receiver) = watch::channel(Urgency::None);
        (sender, Self { receiver })
    }

    /// Waits until the urgency is at least this; for ever, if nobody is in a hurry.
    pub async fn at_least(&self, urgency: Urgency) {
        let mut receiver = self.receiver.clone();
        if receiver.wait_for(|now| *now >= urgency).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn count(
    mut interrupts: Signal,
    mut terminations: Signal,
    sender: watch::Sender<Urgency>,
    seen: impl Fn(&str),
) {
    loop {
        let name = tokio::select! {
            _ = interrupts.recv() => "SIGINT",
            _ = terminations.recv() => "SIGTERM",
        };
        seen(name);
        sender.send_modify(|urgency| {
            *urgency = match urgency {
                Urgency::None => Urgency::Stop,
                Urgency::Stop | Urgency::Go => Urgency::Go,
            }
        });
    }
}
