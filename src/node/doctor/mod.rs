//! Looks at a host: has it what jtest needs, and has something been left on it?
//!
//! Three conversations over one connection, all of which leave the host as it was: one script
//! that tells everything ([`probe`]), one for the clock, one for what faults need. What is seen goes through a table of
//! checks ([`checks`]), which is pure. All texts are safe to print.

mod checks;
mod probe;

use std::time::Duration;

use futures_util::future::join_all;

use self::checks::{BROKER_PORTS, CHECKS};
use self::probe::Probe;
use super::abilities::Abilities;
use super::clock_offset::{self, ClockOffset};
use crate::diagnostic::visible;
use crate::inventory::{Node, NodeName};
use crate::remote::{ConnectOptions, Host, RemoteError, Script, connect_all};

/// The script waits 3 s for peers, 10 s for each thing it tries, 20 s for the broker.
const PROBE_DEADLINE: Duration = Duration::from_secs(75);
const SSH_PORT: u16 = 22;

/// How bad a shortfall is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing: some faults or sources are not to be had, or results are harder to read.
    Limits,
    /// jtest cannot work with this host as it is.
    Needed,
}

/// What a host lacks, and what one can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, a lower-case sentence without a full stop.
    pub what: String,
    /// What the user can do.
    pub remedy: String,
}

/// One field of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// A few characters.
    pub text: String,
    /// How bad its shortfall is, where there is one.
    pub mark: Option<Severity>,
}

/// What was found on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    /// The host.
    pub node: NodeName,
    /// A cell for each of [`check_names`].
    pub cells: Vec<Cell>,
    /// Everything it lacks.
    pub shortfalls: Vec<Shortfall>,
}

impl Checkup {
    /// Whether jtest can work with the host.
    pub fn is_in_order(&self) -> bool {
        let bad = |shortfall: &Shortfall| shortfall.severity == Severity::Needed;
        !self.shortfalls.iter().any(bad)
    }
}

/// What the lines of the table are called.
pub fn check_names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

/// How far one got on the way to a host's root.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Unreachable(String),
    HostKeyRefused(String),
    LoginRefused(String),
    /// Logged in, but nothing, or nothing as root, could be run.
    NotRoot(String),
    Root,
}

/// The host's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Clock {
    Measured(ClockOffset),
    Unknown,
}

/// Everything that was seen of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    access: Access,
    probe: Option<Probe>,
    clock: Clock,
    /// What it has of the things that faults need, where it could be asked.
    abilities: Option<Abilities>,
    disposable: bool,
    /// Nodes that the control node does not reach either.
    down: Vec<String>,
}

/// Examines all hosts in parallel; the answers are in the order of `nodes`.
pub async fn examine_all(nodes: &[Node], options: &ConnectOptions) -> Vec<Checkup> {
    let connected = connect_all(nodes, options).await;
    let examined = nodes
        .iter()
        .zip(connected)
        .map(|(node, (_, host))| async move {
            match host {
                Ok(host) => {
                    let seen = examine(&host, node, nodes).await;
                    host.close().await;
                    seen
                }
                Err(error) => Seen {
                    access: refusal(error),
                    probe: None,
                    clock: Clock::Unknown,
                    abilities: None,
                    disposable: node.disposable,
                    down: Vec::new(),
                },
            }
        });
    let mut seen = join_all(examined).await;
    let down: Vec<String> = nodes
        .iter()
        .zip(&seen)
        .filter(|(_, seen)| matches!(seen.access, Access::Unreachable(_)))
        .map(|(node, _)| node.name.0.clone())
        .collect();
    for seen in &mut seen {
        seen.down.clone_from(&down);
    }
    let judged = nodes.iter().zip(&seen);
    judged.map(|(node, seen)| judge(&node.name, seen)).collect()
}

/// A host to which there is a connection.
async fn examine(host: &Host, node: &Node, nodes: &[Node]) -> Seen {
    let script = script(node, nodes);
    // Before the host is given work that would delay its answers.
    let clock = clock_offset::measure(host).await;
    let (access, output) = match host.run(&script).await {
        Ok(output) => (Access::Root, Some(output)),
        Err(error) => {
            let reason = reason(error);
            let as_user = host.run(&script.as_login_user()).await;
            (Access::NotRoot(reason), as_user.ok())
        }
    };
    let abilities = match access {
        Access::Root => Abilities::of(host).await.ok(),
        _ => None,
    };
    Seen {
        access,
        abilities,
        probe: output.map(|output| Probe::parse(&output.text())),
        clock: match clock {
            Ok(Some(offset)) => Clock::Measured(offset),
            Ok(None) | Err(_) => Clock::Unknown,
        },
        disposable: node.disposable,
        down: Vec::new(),
    }
}

fn script(node: &Node, nodes: &[Node]) -> Script {
    let peers = nodes.iter().filter(|peer| peer.name != node.name);
    let words = peers.flat_map(|peer| {
        let ports = std::iter::once(SSH_PORT).chain(BROKER_PORTS);
        ports.map(|port| format!("{}/{}/{port}", peer.name, peer.peer_address()))
    });
    Script::new("examine the host", include_str!("doctor.sh"))
        .args(words)
        .deadline(PROBE_DEADLINE)
}

fn refusal(error: RemoteError) -> Access {
    match error {
        RemoteError::HostKey { reason, .. } => Access::HostKeyRefused(visible(&reason)),
        RemoteError::Login { user, reason, .. } => {
            Access::LoginRefused(visible(&format!("cannot log in as {user}: {reason}")))
        }
        RemoteError::Unreachable { reason, .. } => Access::Unreachable(visible(&reason)),
        error @ (RemoteError::Rejected { .. }
        | RemoteError::Failed { .. }
        | RemoteError::Deadline { .. }) => Access::Unreachable(visible(&error.to_string())),
    }
}

/// Why a script did not run, without the host's name.
fn reason(error: RemoteError) -> String {
    match error {
        RemoteError::Rejected { reason, .. } | RemoteError::Unreachable { reason, .. } => {
            visible(&reason)
        }
        other => visible(&other.to_string()),
    }
}

fn judge(node: &NodeName, seen: &Seen) -> Checkup {
    let (cells, shortfalls): (Vec<Cell>, Vec<Vec<Shortfall>>) =
        CHECKS.iter().map(|check| (check.find)(seen)).unzip();
    Checkup {
        node: node.clone(),
        cells,
        shortfalls: shortfalls.concat(),
    }
}

#[cfg(test)]
mod tests;
