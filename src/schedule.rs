//! From a scenario and a seed to the exact timed list of fault steps.
//!
//! Pure: the same scenario, node names and seed give the same list on any machine. What
//! can only be known at injection (who leads the queue) stays symbolic in [`Groups`].
//! Faults are numbered, and random choices drawn, in the order of injection.

mod draw;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::draw::Draw;
use crate::diagnostic::{did_you_mean, quoted};
use crate::inventory::NodeName;
use crate::scenario::{FaultSpec, PartitionSpec, Scenario, Step, duration, duration_ms};

/// Numbers the faults of a run, from 1, in the order of injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u32);

/// One fault with the times it is due, counted from the start of the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedFault {
    /// Its number in this run.
    pub id: FaultId,
    /// When it is injected.
    #[serde(with = "duration_ms")]
    pub inject_at: Duration,
    /// When it is healed.
    #[serde(with = "duration_ms")]
    pub heal_at: Duration,
    /// What it is.
    pub fault: PlannedFault,
}

/// A fault with everything random already decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedFault {
    /// See [`Groups`].
    Partition(Groups),
}

/// How a partition divides the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// Every node of the inventory in exactly one group; at least two groups, none empty.
    Named(Vec<Vec<NodeName>>),
    /// The leader of the queue with the first `others` nodes of `order` (the leader
    /// left out) against the rest.
    WithLeader {
        /// All nodes, shuffled by the seed.
        order: Vec<NodeName>,
        /// How many nodes go with the leader.
        others: usize,
    },
}

impl Groups {
    /// The groups once the leader is known, never empty; `None` when the plan does not know
    /// this leader.
    pub fn resolve(&self, leader: &NodeName) -> Option<Vec<Vec<NodeName>>> {
        match self {
            Self::Named(groups) => Some(groups.clone()),
            Self::WithLeader { order, others } => {
                let mut rest: Vec<NodeName> = order.clone();
                let at = rest.iter().position(|node| node == leader)?;
                let mut side = vec![rest.remove(at)];
                side.extend(rest.drain(..(*others).min(rest.len())));
                Some(vec![side, rest])
            }
        }
    }

    /// Whether the leader of the queue has to be looked up at injection.
    pub fn need_leader(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::WithLeader { .. } => true,
        }
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(groups) => f.write_str(&describe(groups)),
            Self::WithLeader { order, others } => {
                f.write_str("leader")?;
                if *others > 0 {
                    write!(f, " and the first {others} of {}", words(order))?;
                }
                f.write_str(" | the others")
            }
        }
    }
}

/// Groups in words: `n1 n2 | n3 n4 n5`.
pub fn describe(groups: &[Vec<NodeName>]) -> String {
    let groups: Vec<String> = groups.iter().map(|group| words(group)).collect();
    groups.join(" | ")
}

fn words(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    names.join(" ")
}

/// Why a scenario does not fit the nodes of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the scenario, such as `schedule.0.groups`.
    pub path: String,
    /// What does not fit.
    pub message: String,
    /// What the user can do about it.
    pub remedy: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.message, self.remedy)
    }
}

/// Everything of a scenario that does not fit the nodes of an inventory, in its order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario does not fit the inventory:\n{}", .0.iter().map(Misfit::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Misfits(pub Vec<Misfit>);

/// The timed list of faults, in the order of injection.
///
/// Nodes are taken in the inventory's order, which is part of what decides the draws.
pub fn plan(
    scenario: &Scenario,
    nodes: &[NodeName],
    seed: u64,
) -> Result<Vec<TimedFault>, Misfits> {
    let mut misfits = Vec::new();
    check_replicas(scenario, nodes, &mut misfits);
    for (index, step) in scenario.schedule.iter().enumerate() {
        check_step(index, step, nodes, &mut misfits);
    }
    if !misfits.is_empty() {
        return Err(Misfits(misfits));
    }
    let mut due: Vec<(Duration, &Step)> = scenario
        .schedule
        .iter()
        .flat_map(|step| step.injections().map(move |at| (at, step)))
        .collect();
    due.sort_by_key(|(at, _)| *at);
    let mut draw = Draw::new(seed);
    Ok((1..)
        .zip(due)
        .map(|(id, (inject_at, step))| {
            let FaultSpec::Partition(spec) = &step.fault;
            TimedFault {
                id: FaultId(id),
                inject_at,
                heal_at: inject_at.saturating_add(step.duration),
                fault: PlannedFault::Partition(groups(spec, nodes, &mut draw)),
            }
        })
        .collect())
}

/// How many nodes the largest minority has.
fn minority(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 2
}

fn groups(spec: &PartitionSpec, nodes: &[NodeName], draw: &mut Draw) -> Groups {
    match spec {
        PartitionSpec::Groups(named) => {
            let mut groups: Vec<Vec<NodeName>> = named
                .iter()
                .map(|group| group.iter().cloned().map(NodeName).collect())
                .collect();
            let rest: Vec<NodeName> = nodes
                .iter()
                .filter(|node| !groups.iter().flatten().any(|named| named == *node))
                .cloned()
                .collect();
            groups.extend(Some(rest).filter(|rest| !rest.is_empty()));
            Groups::Named(groups)
        }
        PartitionSpec::Minority => side(minority(nodes.len()), nodes, draw),
        PartitionSpec::Halves => side(nodes.len() / 2, nodes, draw),
        PartitionSpec::One => side(1, nodes, draw),
        PartitionSpec::LeaderMinority => Groups::WithLeader {
            order: draw.shuffled(nodes),
            others: minority(nodes.len()).saturating_sub(1),
        },
        PartitionSpec::LeaderAlone => Groups::WithLeader {
            order: draw.shuffled(nodes),
            others: 0,
        },
    }
}

/// The first `size` nodes of a shuffle against the rest, both sides in the inventory's order.
fn side(size: usize, nodes: &[NodeName], draw: &mut Draw) -> Groups {
    let chosen = draw.shuffled(nodes);
    let chosen = &chosen[..size];
    let (side, rest) = nodes
        .iter()
        .cloned()
        .partition(|node| chosen.contains(node));
    Groups::Named(vec![side, rest])
}

fn check_replicas(scenario: &Scenario, nodes: &[NodeName], misfits: &mut Vec<Misfit>) {
    let Some(replicas) = scenario.queue.replicas else {
        return;
    };
    if replicas as usize > nodes.len() {
        misfits.push(Misfit {
            path: "queue.replicas".to_owned(),
            message: format!("{replicas} replicas do not fit on {} nodes", nodes.len()),
            remedy: format!("ask for at most {}, or for `all`", nodes.len()),
        });
    }
}

fn check_step(index: usize, step: &Step, nodes: &[NodeName], misfits: &mut Vec<Misfit>) {
    let FaultSpec::Partition(spec) = &step.fault;
    let mut misfit = |message: String, remedy: String| {
        misfits.push(Misfit {
            path: format!("schedule.{index}.groups"),
            message,
            remedy,
        });
    };
    let least = match spec {
        PartitionSpec::Minority | PartitionSpec::LeaderMinority => 3,
        PartitionSpec::Halves
        | PartitionSpec::One
        | PartitionSpec::LeaderAlone
        | PartitionSpec::Groups(_) => 2,
    };
    if nodes.len() < least {
        misfit(
            format!(
                "this partition needs at least {least} nodes, the inventory has {}",
                nodes.len()
            ),
            "add hosts to the inventory".to_owned(),
        );
    }
    let PartitionSpec::Groups(groups) = spec else {
        return;
    };
    for name in groups.iter().flatten() {
        if !nodes.iter().any(|node| node.0 == *name) {
            misfit(
                format!("the inventory has no node {}", quoted(name)),
                did_you_mean(name, nodes.iter().map(|node| node.0.as_str())),
            );
        }
    }
    if let [only] = groups.as_slice()
        && nodes.iter().all(|node| only.contains(&node.0))
    {
        misfit(
            "one group holds every node, so nothing would be cut".to_owned(),
            "leave out the nodes of the other side: they form a group of their own".to_owned(),
        );
    }
}

/// The schedule as a table for people, one line for each fault, each ending in a line feed.
pub fn table(faults: &[TimedFault]) -> String {
    let mut lines = format!(
        "{:>5}  {:>9}  {:>9}  {:>9}  partition\n",
        "fault", "inject", "heal", "lasts"
    );
    for fault in faults {
        let PlannedFault::Partition(groups) = &fault.fault;
        lines.push_str(&format!(
            "{:>5}  {:>9}  {:>9}  {:>9}  {groups}\n",
            fault.id.0,
            format!("+{}", duration::show(fault.inject_at)),
            format!("+{}", duration::show(fault.heal_at)),
            duration::show(fault.heal_at.saturating_sub(fault.inject_at)),
        ));
    }
    lines
}

#[cfg(test)]
mod tests;
