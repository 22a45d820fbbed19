//! From whom a scenario aims a fault at to which nodes these are, by the seed.

use super::draw::Draw;
use super::planned::{Groups, Nodes, PlannedAim};
use crate::inventory::NodeName;
use crate::scenario::{AimSpec, NodesSpec, PartitionSpec};

/// How many nodes the largest minority has.
fn minority(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 2
}

/// The fewest nodes that such an aim makes sense with.
pub(super) fn nodes_min(aim: &AimSpec) -> usize {
    match aim {
        AimSpec::Groups(spec) => match spec {
            PartitionSpec::Bridge
            | PartitionSpec::Minority
            | PartitionSpec::LeaderMinority
            | PartitionSpec::LeaderMajority => 3,
            // With four or fewer, each node's majority is everybody.
            PartitionSpec::MajoritiesRing => 5,
            PartitionSpec::Halves
            | PartitionSpec::One
            | PartitionSpec::Random
            | PartitionSpec::LeaderAlone
            | PartitionSpec::Groups(_) => 2,
        },
        AimSpec::On(NodesSpec::Minority) => 3,
        AimSpec::On(_) => 1,
    }
}

pub(super) fn draw(aim: &AimSpec, nodes: &[NodeName], draw: &mut Draw) -> PlannedAim {
    match aim {
        AimSpec::Groups(spec) => PlannedAim::Groups(groups(spec, nodes, draw)),
        AimSpec::On(spec) => PlannedAim::On(on(spec, nodes, draw)),
    }
}

fn groups(spec: &PartitionSpec, nodes: &[NodeName], draw: &mut Draw) -> Groups {
    let count = nodes.len();
    match spec {
        PartitionSpec::Groups(named) => named_groups(named, nodes),
        PartitionSpec::Minority => side(minority(count), nodes, draw),
        PartitionSpec::Halves => side(count / 2, nodes, draw),
        PartitionSpec::One => side(1, nodes, draw),
        PartitionSpec::Random => random(nodes, draw),
        PartitionSpec::MajoritiesRing => Groups::MajoritiesRing(draw.shuffled(nodes)),
        PartitionSpec::Bridge => bridge(nodes, draw),
        PartitionSpec::LeaderMinority => Groups::WithLeader {
            order: draw.shuffled(nodes),
            others: minority(count).saturating_sub(1),
        },
        PartitionSpec::LeaderMajority => Groups::WithLeader {
            order: draw.shuffled(nodes),
            others: (count - minority(count)).saturating_sub(1),
        },
        PartitionSpec::LeaderAlone => Groups::WithLeader {
            order: draw.shuffled(nodes),
            others: 0,
        },
    }
}

fn named_groups(named: &[Vec<String>], nodes: &[NodeName]) -> Groups {
    let mut groups: Vec<Vec<NodeName>> = named
        .iter()
        .map(|group| group.iter().cloned().map(NodeName).collect())
        .collect();
    let is_named = |node: &&NodeName| groups.iter().flatten().any(|named| named == *node);
    let rest: Vec<NodeName> = nodes
        .iter()
        .filter(|node| !is_named(node))
        .cloned()
        .collect();
    groups.extend(Some(rest).filter(|rest| !rest.is_empty()));
    Groups::Named(groups)
}

/// The nodes chosen and the others, both in the inventory's order.
fn split(nodes: &[NodeName], chosen: &[NodeName]) -> (Vec<NodeName>, Vec<NodeName>) {
    let all = nodes.iter().cloned();
    all.partition(|node| chosen.contains(node))
}

/// The first `size` nodes of a shuffle against the rest.
fn side(size: usize, nodes: &[NodeName], draw: &mut Draw) -> Groups {
    let (side, rest) = split(nodes, &draw.shuffled(nodes)[..size]);
    Groups::Named(vec![side, rest])
}

/// How many groups is drawn first; then each gets one node of a shuffle, the rest go anywhere.
fn random(nodes: &[NodeName], draw: &mut Draw) -> Groups {
    let count = 2 + draw.below(nodes.len() as u64 - 1) as usize;
    let mut groups = vec![Vec::new(); count];
    for (position, node) in draw.shuffled(nodes).into_iter().enumerate() {
        let group = if position < count {
            position
        } else {
            draw.below(count as u64) as usize
        };
        groups[group].push(node);
    }
    let place = |node: &NodeName| nodes.iter().position(|other| other == node);
    for group in &mut groups {
        group.sort_by_key(place);
    }
    groups.sort_by_key(|group| group.first().and_then(place));
    Groups::Named(groups)
}

fn bridge(nodes: &[NodeName], draw: &mut Draw) -> Groups {
    let mut order = draw.shuffled(nodes);
    let bridge = order.remove(0);
    let (rest, _) = split(nodes, &order);
    let (first, second) = split(&rest, &order[..order.len() / 2]);
    Groups::Bridge {
        bridge,
        sides: [first, second],
    }
}

fn on(spec: &NodesSpec, nodes: &[NodeName], draw: &mut Draw) -> Nodes {
    let count = nodes.len();
    let size = match spec {
        NodesSpec::Named(names) => {
            let named = nodes.iter().filter(|node| names.contains(&node.0));
            return Nodes::Named(named.cloned().collect());
        }
        NodesSpec::Leader => return Nodes::Leader,
        NodesSpec::Followers => return Nodes::Followers,
        NodesSpec::LeaderSide => return Nodes::LeaderSide,
        NodesSpec::OtherSide => return Nodes::OtherSide,
        NodesSpec::All => return Nodes::Named(nodes.to_vec()),
        NodesSpec::One => 1,
        NodesSpec::Minority => minority(count),
        NodesSpec::Majority => count / 2 + 1,
        NodesSpec::MinorityThird => (count / 3).max(1),
    };
    Nodes::Named(split(nodes, &draw.shuffled(nodes)[..size]).0)
}
