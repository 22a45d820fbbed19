//! Keeps the lease of one host alive, also over a reboot that we asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::hold::{HoldError, HoldLost, Holder, acquire_one};
use super::{Target, lease};
use crate::event::Emit;
use crate::inventory::NodeName;
use crate::remote::RemoteError;

/// Between a failed renewal and the next attempt.
const PAUSE: Duration = Duration::from_secs(1);
const ENDED: &str = "another jtest, `jtest heal` or the lease itself ended it";

/// Hosts that go down by a fault of ours, and until when they should be back. A host that boots has lost
/// what keeps its hold; one of these is taken again.
#[derive(Debug, Clone, Default)]
pub struct Away(Arc<Mutex<BTreeMap<NodeName, Instant>>>);

impl Away {
    /// Lets a host be away.
    pub fn allow(&self, node: &NodeName, until: Instant) {
        self.lock().insert(node.clone(), until);
    }

    fn is_back(&self, node: &NodeName) {
        self.lock().remove(node);
    }

    fn may_be(&self, node: &NodeName) -> bool {
        let until = self.lock().get(node).copied();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host, and whose it is.
pub(super) struct Renewal {
    pub target: Target,
    pub holder: Holder,
    /// The boot under which it is held.
    pub boot: String,
    pub away: Away,
    pub lease: Duration,
    pub lost: watch::Sender<Option<HoldLost>>,
    pub emit: Arc<dyn Emit>,
}

impl Renewal {
    /// Returns when stopped, or when the hold is lost. `renewed` is when the lease began.
    pub async fn run(mut self, mut renewed: Instant, mut stopped: watch::Receiver<bool>) {
        let mut pause = self.lease / 4;
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = sleep(pause) => {}
            }
            let began = Instant::now();
            let may_be_away = self.away.may_be(&self.target.name);
            let deadline = if may_be_away { began } else { renewed } + self.lease;
            let reason = match self.renew(deadline).await {
                Ok(true) => {
                    renewed = began;
                    pause = if may_be_away { PAUSE } else { self.lease / 4 };
                    continue;
                }
                Ok(false) if may_be_away => match self.take_again().await {
                    Ok(()) => {
                        renewed = began;
                        pause = self.lease / 4;
                        continue;
                    }
                    Err(HoldError::Remote(error)) => {
                        tracing::debug!(%error, "may be booting");
                        pause = PAUSE;
                        continue;
                    }
                    Err(HoldError::Answer { .. }) => ENDED.to_owned(),
                    Err(held @ HoldError::HeldBy { .. }) => held.to_string(),
                },
                Ok(false) => ENDED.to_owned(),
                Err(error) if may_be_away => {
                    tracing::debug!(%error, "may be away");
                    pause = PAUSE;
                    continue;
                }
                Err(error) if Instant::now() < deadline => {
                    let left = deadline.saturating_duration_since(Instant::now()).as_secs();
                    let text = format!("{error}; it undoes everything by itself in {left} s");
                    self.emit.note(Some(&self.target.name), text);
                    pause = PAUSE;
                    continue;
                }
                Err(error) => format!("it could not be renewed in time: {error}"),
            };
            self.lose(reason);
            return;
        }
    }

    /// The first loss is told. A reader that keeps its look at it open is not waited for.
    fn lose(&self, reason: String) {
        if self.lost.borrow().is_some() {
            return;
        }
        let loss = HoldLost {
            node: self.target.name.clone(),
            reason,
        };
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert(loss);
            is_first
        });
    }

    async fn renew(&self, deadline: Instant) -> Result<bool, RemoteError> {
        let script = lease::renew_script(&self.holder.run_id, self.lease);
        let patience = (self.lease / 2).min(deadline.saturating_duration_since(Instant::now()));
        let output = match timeout(patience, self.target.host.run(&script)).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(RemoteError::Deadline {
                    node: self.target.name.clone(),
                    purpose: script.purpose,
                    deadline: patience,
                    stderr: String::new(),
                });
            }
        };
        Ok(output.text().lines().last() == Some("renewed"))
    }

    /// Of a host that has booted: its hold went with its memory.
    async fn take_again(&mut self) -> Result<(), HoldError> {
        let taken = acquire_one(&self.target, &self.holder, self.lease, &self.boot).await?;
        self.boot = taken.boot;
        self.away.is_back(&self.target.name);
        let text = "it has booted, and is held again".to_owned();
        self.emit.note(Some(&self.target.name), text);
        Ok(())
    }
}
