//! What the nodes themselves see of each other: can they connect, what has been dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Field, Target, shared_addresses};
use crate::inventory::NodeName;
use crate::node::firewall::{self, DropCounters};
use crate::remote::{RemoteError, Script};

/// What became of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Connected.
    Open,
    /// The peer's kernel said no: packets pass.
    Refused,
    /// No answer.
    Silent,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Silent => "silent",
        })
    }
}

/// What one node sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// By the peer's address and port.
    pub reach: BTreeMap<(IpAddr, u16), Reach>,
    /// What its rules of ours have dropped, of every fault.
    pub dropped: DropCounters,
}

/// What all nodes see; a node that could not be asked is absent.
pub(super) type Sights = BTreeMap<NodeName, Sight>;

/// All nodes try these ports at all addresses of all others at once.
pub(super) async fn look(
    field: &Field,
    ports: &[u16],
    patience: Duration,
) -> (Sights, Vec<RemoteError>) {
    let attempts = field.targets.iter().map(|target| async move {
        let script = script(field, target, ports, patience);
        (target, target.host.run(&script).await)
    });
    let mut sights = Sights::new();
    let mut errors = Vec::new();
    for (target, result) in join_all(attempts).await {
        match result {
            Ok(output) => {
                sights.insert(target.name.clone(), parse(&output.text()));
            }
            Err(error) => errors.push(error),
        }
    }
    (sights, errors)
}

fn script(field: &Field, from: &Target, ports: &[u16], patience: Duration) -> Script {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let shared = shared_addresses(&field.targets);
    let peers = field.targets.iter().filter(|peer| peer.name != from.name);
    let addresses = peers
        .flat_map(|peer| &peer.addresses)
        .filter(|address| !shared.contains(address));
    Script::new("connect to its peers", include_str!("probe.sh"))
        .arg(ports.join(","))
        .arg(patience.as_secs_f32().to_string())
        .args(addresses.map(ToString::to_string))
        .deadline(patience + Duration::from_secs(10))
}

fn parse(text: &str) -> Sight {
    let mut sight = Sight::default();
    for line in text.lines() {
        if let Some((key, packets)) = firewall::parse_dropped(line) {
            *sight.dropped.entry(key).or_default() += packets;
        } else if let Some((to, reach)) = parse_connect(line) {
            sight.reach.insert(to, reach);
        }
    }
    sight
}

fn parse_connect(line: &str) -> Option<((IpAddr, u16), Reach)> {
    let mut words = line.strip_prefix("connect ")?.split(' ');
    let address = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    let reach = match words.next()? {
        "open" => Reach::Open,
        "refused" => Reach::Refused,
        "silent" => Reach::Silent,
        _ => return None,
    };
    Some(((address, port), reach))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::firewall::Direction;

    #[test]
    fn reads_what_a_node_sees() {
        let sight = parse(
            "connect 10.0.0.2 25672 open\nconnect fd77::2 22 silent\nconnect 10.0.0.3 22 refused\n\
             connect x open\ndropped f1 OUT fd77::2 3\ndropped f1 OUT fd77::2 4\n",
        );
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            sight.reach,
            BTreeMap::from([
                ((ip("10.0.0.2"), 25672), Reach::Open),
                ((ip("10.0.0.3"), 22), Reach::Refused),
                ((ip("fd77::2"), 22), Reach::Silent),
            ])
        );
        assert_eq!(
            sight.dropped,
            BTreeMap::from([(("f1".to_owned(), Direction::Out, ip("fd77::2")), 7)])
        );
    }
}
