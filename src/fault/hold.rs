//! The hold: who works on the hosts, so that two jtests never do at once.
//!
//! It is taken on each host atomically (under a lock there), on all hosts or on none, and it is
//! one with the [lease](super::lease): a hold that is not renewed runs out, the host undoes
//! everything and is free. Renewals go to each host on its own, so one slow host does
//! not cost the others their lease.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub use super::lease::HealReport;
use super::renewal::{Away, Renewal};
use super::{Target, lease};
use crate::event::Emit;
use crate::inventory::NodeName;
use crate::remote::{Host, RemoteError};

/// Shorter leases would run out between two renewals on a slow host.
pub const LEASE_MIN: Duration = Duration::from_secs(4);
/// For a fault to be undone, with retries; no longer than a lease, which does it otherwise.
pub const HEAL_DEADLINE: Duration = Duration::from_secs(60);
/// For all hosts to be let go.
const RELEASE_DEADLINE: Duration = Duration::from_secs(180);

/// Who holds a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The run's id; the hold is bound to it.
    pub run_id: String,
    /// `user@control-host`.
    pub who: String,
    /// The process on the control node.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Since when, as an RFC 3339 time.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            run_id,
            who,
            pid,
            command,
            since,
        } = self;
        write!(
            f,
            "run {run_id} of {who} (pid {pid}, `{command}`, since {since})"
        )
    }
}

impl Holder {
    /// As a host keeps it: a key and its value a line.
    pub(super) fn record(&self) -> String {
        let line = |key: &str, value: &str| {
            let printable = |c: char| if c.is_control() { ' ' } else { c };
            format!(
                "{key}={}",
                value.chars().map(printable).take(400).collect::<String>()
            )
        };
        [
            line("run_id", &self.run_id),
            line("who", &self.who),
            line("pid", &self.pid.to_string()),
            line("command", &self.command),
            line("since", &self.since),
        ]
        .join("\n")
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut values = text.lines().filter_map(|line| line.split_once('='));
            values.find_map(|(k, value)| (k == key).then(|| value.to_owned()))
        };
        Some(Self {
            run_id: value("run_id")?,
            who: value("who").unwrap_or_default(),
            pid: value("pid")
                .and_then(|pid| pid.parse().ok())
                .unwrap_or_default(),
            command: value("command").unwrap_or_default(),
            since: value("since").unwrap_or_default(),
        })
    }
}

/// Why the hosts could not be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Another jtest works on them.
    #[error(
        "{node} is held by {holder}; that hold runs out in {} s unless it is renewed: wait for \
         that run to end, or break it by `jtest heal`",
        expires_in.as_secs()
    )]
    HeldBy {
        /// The first node found held.
        node: NodeName,
        /// By whom.
        holder: Box<Holder>,
        /// When the hold runs out if it is not renewed.
        expires_in: Duration,
    },
    /// A host could not be asked, or did not do it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A host said something that is no answer.
    #[error("take hold of {node}: it answered {answer:?}")]
    Answer {
        /// The host.
        node: NodeName,
        /// What it said.
        answer: String,
    },
}

/// The hosts are not ours any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldLost {
    /// The first host.
    pub node: NodeName,
    /// Why.
    pub reason: String,
}

impl fmt::Display for HoldLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hold on {} is lost: {}", self.node, self.reason)
    }
}

/// A hold on all hosts, renewed as long as this value lives. Dropping it without
/// [`Hold::release`] leaves the undo to the lease.
#[derive(Debug)]
pub struct Hold {
    targets: Arc<Vec<Target>>,
    control: Vec<IpAddr>,
    run_id: String,
    lease: Duration,
    lost: watch::Receiver<Option<HoldLost>>,
    away: Away,
    renewals: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Hold {
    /// Takes all hosts or none. `control` are the addresses under which they may see the control
    /// node. The first host is asked before the others, so that of two jtests one wins.
    pub async fn acquire(
        targets: Arc<Vec<Target>>,
        holder: Holder,
        lease: Duration,
        control: Vec<IpAddr>,
        emit: Arc<dyn Emit>,
    ) -> Result<Self, HoldError> {
        let lease = lease.max(LEASE_MIN);
        let began = Instant::now();
        let mut error = None;
        let mut taken = Vec::new();
        let mut boots = Vec::new();
        for wave in [targets.get(..1), targets.get(1..)] {
            let nodes = wave.unwrap_or_default().iter();
            let results =
                join_all(nodes.map(|target| acquire_one(target, &holder, lease, ""))).await;
            for (target, result) in wave.unwrap_or_default().iter().zip(results) {
                match result {
                    Ok(acquired) => {
                        if !acquired.is_kept {
                            taken.push(target.clone());
                        }
                        boots.push(acquired.boot);
                    }
                    Err(refused) => error = error.or(Some(refused)),
                }
            }
            if error.is_some() {
                break;
            }
        }
        if let Some(error) = error {
            release_all(&taken, &holder.run_id).await;
            return Err(error);
        }
        let (lost_sender, lost) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let mut renewals = JoinSet::new();
        let away = Away::default();
        for (target, boot) in targets.iter().zip(boots) {
            let renewal = Renewal {
                target: target.clone(),
                holder: holder.clone(),
                boot,
                away: away.clone(),
                lease,
                lost: lost_sender.clone(),
                emit: Arc::clone(&emit),
            };
            renewals.spawn(renewal.run(began, stopped.clone()));
        }
        Ok(Self {
            targets,
            control,
            run_id: holder.run_id,
            lease,
            lost,
            away,
            renewals,
            stop,
        })
    }

    /// The hosts.
    pub fn targets(&self) -> &Arc<Vec<Target>> {
        &self.targets
    }

    /// Under which addresses the hosts may see the control node.
    pub fn control(&self) -> &[IpAddr] {
        &self.control
    }

    /// The run that holds.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// How long a host keeps the hold beyond its last renewal.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Who may go down, and come back.
    pub fn away(&self) -> &Away {
        &self.away
    }

    /// Becomes `Some` when a host turned out to be another's, or could not be renewed in time.
    pub fn lost(&self) -> watch::Receiver<Option<HoldLost>> {
        self.lost.clone()
    }

    /// Lets the lease run out, for when a host does not heal otherwise.
    pub fn stop_renewing(&self) {
        self.stop.send_replace(true);
    }

    /// Undoes all faults on all hosts, and keeps the hold.
    pub async fn undo_all(&self) -> Result<lease::Lifted, super::FaultError> {
        let deadline = HEAL_DEADLINE.min(self.lease);
        lease::lift_all(&self.targets, &self.run_id, "", deadline).await
    }

    /// Undoes the fault of this key on these nodes, and keeps the hold.
    pub async fn undo(
        &self,
        key: &str,
        nodes: &[NodeName],
    ) -> Result<lease::Lifted, super::FaultError> {
        let deadline = HEAL_DEADLINE.min(self.lease);
        let targets = self.targets.iter();
        let targets = targets.filter(|target| nodes.contains(&target.name));
        let targets: Vec<_> = targets.cloned().collect();
        lease::lift_all(&targets, &self.run_id, key, deadline).await
    }

    /// Undoes everything that is in force and gives the hosts free.
    pub async fn release(mut self) -> Vec<(NodeName, Result<HealReport, RemoteError>)> {
        self.stop.send_replace(true);
        self.renewals.shutdown().await;
        release_all(&self.targets, &self.run_id).await
    }
}

/// A host that is ours.
pub(super) struct Acquired {
    /// This run had it already, maybe with faults in force.
    is_kept: bool,
    /// The boot id of its kernel.
    pub boot: String,
}

/// `last_boot` is of a host that was ours until it booted.
pub(super) async fn acquire_one(
    target: &Target,
    holder: &Holder,
    lease: Duration,
    last_boot: &str,
) -> Result<Acquired, HoldError> {
    let script = lease::acquire_script(holder, lease, last_boot);
    let text = target.host.run(&script).await?.text();
    let mut boot = text.lines().filter_map(|line| line.strip_prefix("boot="));
    let mut acquired = |is_kept| Acquired {
        is_kept,
        boot: boot.next().unwrap_or_default().to_owned(),
    };
    match text.lines().last() {
        Some("taken") => Ok(acquired(false)),
        Some("kept") => Ok(acquired(true)),
        Some("held") => Err(HoldError::HeldBy {
            node: target.name.clone(),
            holder: Box::new(Holder::parse(&text).ok_or_else(|| answer_error(target, &text))?),
            expires_in: left(&text),
        }),
        Some(_) | None => Err(answer_error(target, &text)),
    }
}

fn answer_error(target: &Target, text: &str) -> HoldError {
    HoldError::Answer {
        node: target.name.clone(),
        answer: text.to_owned(),
    }
}

/// What is left of a lease, from its hundredths of a second.
fn left(text: &str) -> Duration {
    let value = text.lines().find_map(|line| line.strip_prefix("left_cs="));
    let hundredths = value.and_then(|value| value.parse::<u64>().ok());
    Duration::from_millis(hundredths.unwrap_or_default().saturating_mul(10))
}

async fn release_all(
    targets: &[Target],
    run_id: &str,
) -> Vec<(NodeName, Result<HealReport, RemoteError>)> {
    let releases = targets.iter().map(|target| async {
        let release = timeout(RELEASE_DEADLINE, lease::release(&target.host, run_id));
        let result = release
            .await
            .unwrap_or_else(|_| Err(no_end(&target.host, "let go of it")));
        (target.name.clone(), result)
    });
    join_all(releases).await
}

/// `jtest heal`: undoes everything on these hosts from any state, whoever holds them. A run that
/// is still alive sees its hold lost. The hosts note that `who` did it.
pub async fn heal_all(
    hosts: &[Host],
    who: &str,
) -> Vec<(NodeName, Result<HealReport, RemoteError>)> {
    heal_each(hosts, &["asked", who]).await
}

/// The same on those of the hosts that nobody holds any more.
pub async fn heal_unheld(
    hosts: &[Host],
    who: &str,
) -> Vec<(NodeName, Result<HealReport, RemoteError>)> {
    heal_each(hosts, &["unheld", who]).await
}

async fn heal_each(
    hosts: &[Host],
    args: &[&str],
) -> Vec<(NodeName, Result<HealReport, RemoteError>)> {
    let heals = hosts.iter().map(|host| async {
        let heal = timeout(RELEASE_DEADLINE, lease::heal(host, args));
        let result = heal.await.unwrap_or_else(|_| Err(no_end(host, "heal it")));
        (host.node().clone(), result)
    });
    join_all(heals).await
}

fn no_end(host: &Host, purpose: &str) -> RemoteError {
    RemoteError::Deadline {
        node: host.node().clone(),
        purpose: purpose.to_owned(),
        deadline: RELEASE_DEADLINE,
        stderr: String::new(),
    }
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
