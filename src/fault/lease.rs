//! The lease: what each host does by itself when it no longer hears of us.
//!
//! A timer of systemd, on the monotonic clock, starts the undo that lies in `/run/jtest`. It
//! is armed before any fault and begun anew while jtest lives. The same undo is what
//! `jtest heal` sends, so it needs nothing but a shell on the host.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::hold::Holder;
use super::{FaultError, Target, script, undo_text};
use crate::inventory::NodeName;
use crate::remote::{Host, RemoteError, Script};

/// The host's own waits for its locks are 20 s at most.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(25);
/// Faults of the broker are undone by its start, which takes its time.
const UNDO_DEADLINE: Duration = Duration::from_secs(150);
const LIFT_PAUSE_MIN: Duration = Duration::from_millis(250);
const LIFT_PAUSE_MAX: Duration = Duration::from_secs(4);

/// What an undo found on a host, and how it left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealReport {
    /// Who held the host.
    pub holder: Option<Holder>,
    /// What there was to undo, in words; empty where there was nothing.
    pub found: Vec<String>,
    /// Whether the firewall is as it was when the hold was taken; `None` where nobody knows.
    pub firewall_as_before: Option<bool>,
    /// Where it is not: the differing lines, `<` before and `>` now.
    pub firewall_differences: Vec<String>,
    /// The hold was not ours any more, so nothing was touched.
    pub not_ours: bool,
    /// What was in force when the host booted: it may have ended then.
    pub rebooted_under: Vec<String>,
    /// Keys of faults whose undo failed; they stay armed.
    pub resisting: Vec<String>,
    /// What is undone only with another fault, which keeps the broker frozen.
    pub waiting: Vec<String>,
}

impl HealReport {
    pub(super) fn parse(text: &str) -> Self {
        let mut report = Self {
            holder: Holder::parse(text),
            ..Self::default()
        };
        for line in text.lines() {
            match line.split_once('=') {
                Some(("found", what)) => report.found.push(what.to_owned()),
                Some(("firewall", "same")) => report.firewall_as_before = Some(true),
                Some(("firewall", difference)) => {
                    report.firewall_as_before = Some(false);
                    report.firewall_differences.push(difference.to_owned());
                }
                Some(("lost", _)) => report.not_ours = true,
                Some(("rebooted", what)) => report.rebooted_under.push(what.to_owned()),
                Some(("waits", what)) => report.waiting.push(what.to_owned()),
                Some(("resists", key)) => report.resisting.push(key.to_owned()),
                Some(_) | None => {}
            }
        }
        report
    }
}

/// `last_boot` is given where the host was ours before it booted: what is armed there stays so.
pub(super) fn acquire_script(holder: &Holder, lease: Duration, last_boot: &str) -> Script {
    script("take hold of it", include_str!("acquire.sh"))
        .arg(&holder.run_id)
        .arg(holder.record())
        .arg(lease.as_secs().to_string())
        .arg(last_boot)
        .stdin(undo_text(&[], include_str!("undo.sh"), &["expired"]))
        .deadline(SCRIPT_DEADLINE)
}

pub(super) fn renew_script(run_id: &str, lease: Duration) -> Script {
    script("renew the hold on it", include_str!("renew.sh"))
        .arg(run_id)
        .arg(lease.as_secs().to_string())
        .deadline(SCRIPT_DEADLINE)
}

/// Undoes everything and gives the host free, if run `run_id` holds it.
pub(super) async fn release(host: &Host, run_id: &str) -> Result<HealReport, RemoteError> {
    undo(host, "let go of it", &["released", run_id]).await
}

/// Undoes everything: `asked` for, whoever holds the host, or where it is `unheld`; then by whom.
pub(super) async fn heal(host: &Host, args: &[&str]) -> Result<HealReport, RemoteError> {
    undo(host, "heal it", args).await
}

async fn undo(host: &Host, purpose: &str, args: &[&str]) -> Result<HealReport, RemoteError> {
    let script = script(purpose, include_str!("undo.sh"))
        .args(args.iter().copied())
        .deadline(UNDO_DEADLINE);
    Ok(HealReport::parse(&host.run(&script).await?.text()))
}

/// How an undo left the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifted {
    /// In words, node by node.
    pub remarks: Vec<String>,
    /// Where the hold was another's by then: somebody else undid our faults, and nobody knows when.
    pub lost: Vec<NodeName>,
    /// Where the host booted meanwhile.
    pub ended_early: Vec<NodeName>,
}

impl Lifted {
    /// Whether the fault was in force everywhere until it was undone here.
    pub fn was_in_force(&self) -> bool {
        self.lost.is_empty() && self.ended_early.is_empty()
    }
}

/// Undoes a fault on all nodes (all faults, where the key is empty) and keeps the hold. A failure is tried again until the deadline; afterwards the lease is left to do it.
pub(super) async fn lift_all(
    targets: &[Target],
    run_id: &str,
    key: &str,
    deadline: Duration,
) -> Result<Lifted, FaultError> {
    let lifts = targets
        .iter()
        .map(|target| lift(target, run_id, key, deadline));
    let results = join_all(lifts).await;
    let mut clean = Vec::new();
    let mut lifted = Lifted::default();
    let mut errors = Vec::new();
    for (target, result) in targets.iter().zip(results) {
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let node = &target.name;
        if !report.rebooted_under.is_empty() {
            let text =
                format!("{node}: it booted meanwhile, and what was done to it may have ended");
            lifted.remarks.push(text);
            lifted.ended_early.push(node.clone());
        }
        if !report.waiting.is_empty() {
            let text = format!("{node}: it is undone when the broker is frozen no more");
            lifted.remarks.push(text);
        }
        if report.not_ours {
            let text = format!("{node}: the hold was lost, and with it our faults");
            lifted.remarks.push(text);
            lifted.lost.push(node.clone());
        } else if report.firewall_as_before == Some(false) {
            lifted.remarks.push(format!(
                "{node}: undone, but the firewall is not as before: {}",
                report.firewall_differences.join("; ")
            ));
        } else if report.firewall_as_before == Some(true) {
            clean.push(node.0.as_str());
        }
    }
    if !errors.is_empty() {
        return Err(FaultError::Hosts(errors));
    }
    if !clean.is_empty() {
        let text = format!("{}: undone, firewall as before", clean.join(" "));
        lifted.remarks.insert(0, text);
    }
    Ok(lifted)
}

async fn lift(
    target: &Target,
    run_id: &str,
    key: &str,
    deadline: Duration,
) -> Result<HealReport, RemoteError> {
    let began = Instant::now();
    let mut pause = LIFT_PAUSE_MIN;
    loop {
        let script = script("undo its fault", include_str!("lift.sh"))
            .arg(run_id)
            .arg(key)
            .deadline(UNDO_DEADLINE);
        match target.host.run(&script).await {
            Ok(output) => return Ok(HealReport::parse(&output.text())),
            Err(error) if began.elapsed() + pause > deadline => return Err(error),
            Err(error) => tracing::warn!(%error, "will try again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LIFT_PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_report() {
        let report = HealReport::parse(
            "run_id=r1\nwho=kim@desk\npid=7\ncommand=jtest run\nsince=2026-11-23T09:00:00Z\n\
             found=chains in iptables with 8 rules\nfirewall=> -A INPUT -j X\nfound=lease\n",
        );
        assert_eq!(report.holder.as_ref().map(|h| h.pid), Some(7));
        assert_eq!(report.found, ["chains in iptables with 8 rules", "lease"]);
        assert_eq!(report.firewall_as_before, Some(false));
        assert_eq!(report.firewall_differences, ["> -A INPUT -j X"]);
        assert!(!report.not_ours);
        assert_eq!(HealReport::parse(""), HealReport::default());
    }
}
