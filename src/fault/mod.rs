//! Faults: what is done to the hosts, how it is undone, and how both are proven.
//!
//! A [`Fault`] pairs inject, heal and proof. A new fault is one entry in the [catalog](crate::catalog), one
//! new file here and one line in [`recipes`]. Faults are injected only under a [`hold::Hold`], whose lease makes every host undo
//! them by itself when jtest is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::clock::RunClock;
use crate::event::Proof;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
pub use crate::node::clock_offset::ClockOffset;
use crate::node::firewall;
use crate::remote::{Host, RemoteError, Script};
use crate::schedule::{Nodes, PlannedAim, PlannedFault};

mod app;
mod clock;
mod cut_proof;
mod discipline;
mod disk;
mod grudge;
pub mod hold;
mod lease;
mod membership;
mod node_fault;
mod packet;
mod partition;
mod probe;
mod process;
mod reboot;
mod recipe;
mod recipes;
mod renewal;
mod resource;
pub mod status;
#[cfg(test)]
mod testing;
mod unsynced;
mod volley;

pub use self::renewal::Away;

const HOST_SHELL: &str = include_str!("host.sh");

/// A node that faults may touch.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: NodeName,
    /// The way to it.
    pub host: Host,
    /// All addresses at which peers may reach it, of both families, the peer address first.
    pub addresses: Vec<IpAddr>,
    /// Whether its broker's data may be destroyed.
    pub is_disposable: bool,
}

/// What a fault has to work with.
#[derive(Debug, Clone)]
pub struct Field {
    /// All nodes of the run.
    pub targets: Arc<Vec<Target>>,
    /// Every address under which the hosts may see the control node; never dropped.
    pub control: Vec<IpAddr>,
    /// The hold under which the faults are injected.
    pub run_id: String,
    /// How long the hosts keep a fault without hearing of us.
    pub lease: Duration,
    /// The port on which the brokers reach each other; a proof connects to it.
    pub peer_port: u16,
    /// The queue under test.
    pub queue: String,
    /// Who goes down by a fault.
    pub away: Away,
    /// For a fault to be undone, with retries.
    pub heal_deadline: Duration,
    /// The run's clock.
    pub clock: RunClock,
    /// The hosts' clocks, where known.
    pub offsets: BTreeMap<NodeName, ClockOffset>,
}

/// What is asked for, everything looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The fault's kind, such as `partition`.
    pub kind: &'static str,
    /// In words.
    pub description: String,
    /// For a partition: the groups.
    pub groups: Vec<Vec<NodeName>>,
}

/// A fault is in force on all its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// Before this no node had it.
    pub first: Nanos,
    /// From then on all nodes had it.
    pub last: Nanos,
    /// Last minus first by the nodes' own clocks, where those can tell.
    pub spread_us: Option<u64>,
    /// What was noticed on the way.
    pub notes: Vec<String>,
}

/// A fault that is undone on all its nodes.
#[derive(Debug, Clone)]
pub struct Healed {
    /// From then on no node had it; the proof takes longer.
    pub at: Nanos,
    /// That it is gone.
    pub proof: Proof,
}

/// Why a fault could not be injected or healed.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The fault makes no sense on these nodes.
    #[error("{0}")]
    Refused(String),
    /// Hosts failed to take it or to let go of it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Hosts(Vec<RemoteError>),
}

/// Something that is done to the hosts, with the way back and the proof of both.
#[async_trait]
pub trait Fault: Send {
    /// What it will do.
    fn asked(&self) -> Asked;
    /// Looks at how things are before it, for the proofs. Changes nothing.
    async fn prepare(&mut self);
    /// Injects it: on all its nodes, or on none.
    async fn inject(&mut self) -> Result<Injected, FaultError>;
    /// Finds out whether it bites, until the deadline at the latest.
    async fn prove(&mut self, deadline: Instant) -> Proof;
    /// Whether the proof has shown that it had nothing to do on any of its nodes: other faults had already taken away what
    /// it is about.
    fn is_idle(&self) -> bool {
        false
    }
    /// Undoes it and proves that it is gone.
    async fn heal(&mut self) -> Result<Healed, FaultError>;
}

/// Makes a fault of a planned one. `key` names it on the hosts; `leader` is who leads the queue
/// now, if anyone knows. Nodes that only the cluster knows were looked up before.
pub fn plan(
    planned: &PlannedFault,
    key: &str,
    field: &Field,
    leader: Option<&NodeName>,
) -> Result<Box<dyn Fault>, FaultError> {
    let nodes = match &planned.aim {
        PlannedAim::Groups(groups) => {
            return partition::plan(groups, &planned.settings, key, field, leader);
        }
        PlannedAim::On(Nodes::Named(nodes)) => nodes,
        PlannedAim::On(unknown) => {
            return Err(FaultError::Refused(format!(
                "nobody knows who is {unknown}"
            )));
        }
    };
    let recipe = recipes::of(planned, key, field)?;
    node_fault::plan(planned, recipe, key, nodes, field)
}

/// What a host says of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Its own, as in [`Target::addresses`].
    pub own: Vec<IpAddr>,
    /// Under which it sees us: the other end of the SSH connection, be it a jump host.
    pub control: Vec<IpAddr>,
}

const ADDRESSES: &str = r#"printf 'control %s\n' "${SSH_CONNECTION:-}"
getent ahosts "$1" | sed 's/ .*//; s/^/peer /'
ip -o addr show | sed -n 's/^.* inet6\{0,1\} \([0-9a-f.:]*\).* scope global.*$/own \1/p'
"#;

/// Asks a host for its addresses; `peer_address` is where its peers reach it.
pub async fn addresses(host: &Host, peer_address: &str) -> Result<Addresses, RemoteError> {
    let script = Script::new("list its addresses", ADDRESSES)
        .arg(peer_address)
        .as_login_user();
    Ok(parse_addresses(&host.run(&script).await?.text()))
}

fn parse_addresses(text: &str) -> Addresses {
    let mut addresses = Addresses::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let kind = words.next();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        let address = address.to_canonical();
        let list = match kind {
            Some("control") => &mut addresses.control,
            // Debian names a host by 127.0.1.1 in its own /etc/hosts.
            Some("peer" | "own") if !address.is_loopback() => &mut addresses.own,
            _ => continue,
        };
        if !list.contains(&address) {
            list.push(address);
        }
    }
    addresses
}

/// The address from which this machine sends to a host; nothing is sent to find out.
/// It differs from [`Addresses::control`] where SSH goes through a jump host.
pub fn local_address_towards(address: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((address, 9)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    (!local.is_unspecified() && !local.is_loopback()).then_some(local)
}

/// A script with the functions that all scripts of this room use.
fn script(purpose: &str, text: &str) -> Script {
    Script::new(purpose, shell(text))
}

fn shell(text: &str) -> String {
    [firewall::SHELL, HOST_SHELL, text].join("\n")
}

/// A text for a file on the host that needs nothing else: these parts, then the text itself with these
/// arguments.
fn undo_text(parts: &[&str], text: &str, args: &[&str]) -> String {
    let quoted = args
        .iter()
        .map(|arg| shlex::try_quote(arg).unwrap_or_default());
    let quoted: Vec<_> = quoted.collect();
    format!(
        "set -eu\nPATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n{}\nset -- {}\n{text}",
        shell(&parts.join("\n")),
        quoted.join(" "),
    )
}

/// Addresses that more than one node has (such as a container bridge's) name none of them.
fn shared_addresses(targets: &[Target]) -> BTreeSet<IpAddr> {
    let mut seen = BTreeSet::new();
    let mut shared = BTreeSet::new();
    for target in targets {
        for address in target.addresses.iter().collect::<BTreeSet<_>>() {
            if !seen.insert(*address) {
                shared.insert(*address);
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let text = "control 10.77.0.1 50000 10.77.0.11 22\npeer 127.0.1.1\npeer 10.77.0.11\n\
                    peer 10.77.0.11\npeer fd77::11\nown 10.77.0.11\nown fd77::11\nown 172.17.0.1\n";
        let addresses = parse_addresses(text);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            addresses.own,
            [ip("10.77.0.11"), ip("fd77::11"), ip("172.17.0.1")]
        );
        assert_eq!(addresses.control, [ip("10.77.0.1")]);
        assert_eq!(parse_addresses("control \n"), Addresses::default());
    }

    #[test]
    fn an_address_of_several_nodes_names_none() {
        let target = |name: &str, own: &[&str]| Target {
            name: NodeName(name.into()),
            host: crate::remote::fake::Fake::new(name).into_host(),
            addresses: own.iter().map(|text| text.parse().unwrap()).collect(),
            is_disposable: true,
        };
        let targets = [
            target("n1", &["10.0.0.1", "172.17.0.1", "10.0.0.1"]),
            target("n2", &["10.0.0.2", "172.17.0.1"]),
        ];
        let shared: Vec<_> = shared_addresses(&targets).into_iter().collect();
        assert_eq!(shared, ["172.17.0.1".parse::<IpAddr>().unwrap()]);
    }
}
