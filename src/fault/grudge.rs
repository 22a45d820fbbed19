//! From how a partition divides the nodes to what each node drops of whom.
//!
//! Grudges cover every pair that is cut with all addresses of both, and never name the control node.
//! Both nodes of a pair drop both ways, unless only one way was asked for: then the nodes of
//! the first group do, and nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{FaultError, Target, shared_addresses};
use crate::inventory::NodeName;
use crate::node::firewall::Drop;
use crate::schedule::Groups;

/// What each node drops.
pub type Grudges = BTreeMap<NodeName, BTreeSet<Drop>>;

/// Who cannot reach whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// The groups, where there are any.
    pub groups: Vec<Vec<NodeName>>,
    /// All pairs that are cut, in both orders.
    pub severed: BTreeSet<(NodeName, NodeName)>,
}

/// Which packets between two nodes are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// All of them.
    Both,
    /// Those that come to nodes of the first group.
    In,
    /// Those that go from nodes of the first group.
    Out,
}

/// Looks up what the plan left open.
pub(super) fn resolve(groups: &Groups, leader: Option<&NodeName>) -> Result<Cut, FaultError> {
    let between = |groups: Vec<Vec<NodeName>>| Cut {
        severed: severed(&groups),
        groups,
    };
    match groups {
        Groups::Named(groups) => Ok(between(groups.clone())),
        Groups::WithLeader { order, others } => {
            let leader = leader.filter(|leader| order.contains(leader));
            let leader = leader.ok_or_else(|| {
                FaultError::Refused(
                    "cut off the leader of the queue: no node says who leads it".into(),
                )
            })?;
            let rest = order.iter().filter(|node| *node != leader);
            let mut side: Vec<_> = rest.clone().take(*others).cloned().collect();
            side.push(leader.clone());
            let mut other: Vec<_> = rest.skip(*others).cloned().collect();
            side.sort();
            other.sort();
            Ok(between(vec![side, other]))
        }
        Groups::MajoritiesRing(ring) => Ok(Cut {
            groups: Vec::new(),
            severed: off_the_ring(ring),
        }),
        Groups::Bridge { sides, .. } => Ok(Cut {
            groups: Vec::new(),
            severed: severed(sides),
        }),
    }
}

fn severed(groups: &[Vec<NodeName>]) -> BTreeSet<(NodeName, NodeName)> {
    let mut pairs = BTreeSet::new();
    for (index, group) in groups.iter().enumerate() {
        let others = groups
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        for other in others.flat_map(|(_, other)| other) {
            pairs.extend(group.iter().map(|node| (node.clone(), other.clone())));
        }
    }
    pairs
}

/// Each node keeps the nearest on both sides, as few as make a majority with it.
fn off_the_ring(ring: &[NodeName]) -> BTreeSet<(NodeName, NodeName)> {
    let count = ring.len();
    let reach = (count / 2).div_ceil(2);
    let mut pairs = BTreeSet::new();
    for (a, from) in ring.iter().enumerate() {
        for (b, to) in ring.iter().enumerate() {
            let steps = a.abs_diff(b);
            if steps.min(count - steps) > reach {
                pairs.insert((from.clone(), to.clone()));
            }
        }
    }
    pairs
}

/// Who drops what. Addresses that several nodes have name none of them and are left out; a
/// grudge that would name the control node is refused.
pub(super) fn grudges(
    cut: &Cut,
    way: Way,
    targets: &[Target],
    control: &[IpAddr],
) -> Result<Grudges, FaultError> {
    if control.is_empty() {
        return Err(refused(
            "no host says under which address it sees the control node, so it cannot be kept \
             from being cut off",
        ));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = cut.groups.iter().flatten().find(|node| !seen.insert(*node)) {
        return Err(refused(&format!("{twice} is in two groups")));
    }
    if way != Way::Both && cut.groups.is_empty() {
        return Err(refused(
            "one way only needs groups: without them there is no first one",
        ));
    }
    let own = own_addresses(targets);
    let mut grudges = Grudges::new();
    for (node, enemy) in &cut.severed {
        let addresses = usable(enemy, &own, control)?;
        usable(node, &own, control)?;
        let is_first = cut.groups.first().is_some_and(|first| first.contains(node));
        let (is_in, is_out) = match way {
            Way::Both => (true, true),
            Way::In => (is_first, false),
            Way::Out => (false, is_first),
        };
        if is_in || is_out {
            let drop = |address: &IpAddr| Drop {
                address: *address,
                is_in,
                is_out,
            };
            let drops = grudges.entry(node.clone()).or_default();
            drops.extend(addresses.iter().map(drop));
        }
    }
    if grudges.is_empty() {
        return Err(refused("it divides nobody"));
    }
    Ok(grudges)
}

fn own_addresses(targets: &[Target]) -> BTreeMap<&NodeName, BTreeSet<IpAddr>> {
    let shared = shared_addresses(targets);
    let own = targets.iter().map(|target| {
        let all: BTreeSet<_> = target.addresses.iter().copied().collect();
        (&target.name, all.difference(&shared).copied().collect())
    });
    own.collect()
}

fn usable<'a>(
    node: &NodeName,
    own: &'a BTreeMap<&NodeName, BTreeSet<IpAddr>>,
    control: &[IpAddr],
) -> Result<&'a BTreeSet<IpAddr>, FaultError> {
    let Some(addresses) = own.get(node) else {
        return Err(refused(&format!("{node} is no node of this run")));
    };
    if addresses.is_empty() {
        return Err(refused(&format!(
            "{node} has no address that is its alone; name one by jtest_peer_address"
        )));
    }
    match addresses.iter().find(|address| control.contains(address)) {
        None => Ok(addresses),
        Some(address) => Err(refused(&format!(
            "the address {address} of {node} is also the control node's, which is never cut \
             off; run jtest on a machine that is no node and no way to one"
        ))),
    }
}

fn refused(reason: &str) -> FaultError {
    FaultError::Refused(format!("partition: {reason}"))
}

#[cfg(test)]
#[path = "grudge_tests.rs"]
mod tests;
