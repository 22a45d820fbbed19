//! From a scenario and a seed to the exact timed list of fault steps.
//!
//! Pure: the same scenario, node names and seed give the same list on any machine. What
//! can only be known at injection (who leads the queue) stays symbolic in [`PlannedAim`].
//! Faults are numbered, and random choices drawn, in the order of injection.

mod aim;
mod draw;
mod planned;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::draw::Draw;
pub use self::planned::{Groups, Nodes, PlannedAim, PlannedFault, describe, words};
use crate::diagnostic::{did_you_mean, quoted};
use crate::inventory::NodeName;
use crate::scenario::{AimSpec, NodesSpec, PartitionSpec, Scenario, Step, duration, duration_ms};

/// Numbers the faults of a run, from 1, in the order of injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u32);

/// One fault with the times it is due, counted from the start of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        .map(|(id, (inject_at, step))| TimedFault {
            id: FaultId(id),
            inject_at,
            heal_at: inject_at.saturating_add(step.duration),
            fault: PlannedFault {
                kind: step.fault.kind,
                aim: aim::draw(&step.fault.aim, nodes, &mut draw),
                settings: step.fault.settings.clone(),
            },
        })
        .collect())
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
    let aim = &step.fault.aim;
    let key = match aim {
        AimSpec::Groups(_) => "groups",
        AimSpec::On(_) => "on",
    };
    let mut misfit = |message: String, remedy: String| {
        misfits.push(Misfit {
            path: format!("schedule.{index}.{key}"),
            message,
            remedy,
        });
    };
    let least = aim::nodes_min(aim);
    if nodes.len() < least {
        misfit(
            format!(
                "this {} needs at least {least} nodes, the inventory has {}",
                step.fault.kind.name,
                nodes.len()
            ),
            "add hosts to the inventory".to_owned(),
        );
    }
    let named: Vec<&String> = match aim {
        AimSpec::Groups(PartitionSpec::Groups(groups)) => groups.iter().flatten().collect(),
        AimSpec::On(NodesSpec::Named(names)) => names.iter().collect(),
        AimSpec::Groups(_) | AimSpec::On(_) => Vec::new(),
    };
    for name in named {
        if !nodes.iter().any(|node| node.0 == *name) {
            misfit(
                format!("the inventory has no node {}", quoted(name)),
                did_you_mean(name, nodes.iter().map(|node| node.0.as_str())),
            );
        }
    }
    if let AimSpec::Groups(PartitionSpec::Groups(groups)) = aim
        && let [only] = groups.as_slice()
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
        "{:>5}  {:>9}  {:>9}  {:>9}  what\n",
        "fault", "inject", "heal", "lasts"
    );
    for fault in faults {
        lines.push_str(&format!(
            "{:>5}  {:>9}  {:>9}  {:>9}  {} {}\n",
            fault.id.0,
            format!("+{}", duration::show(fault.inject_at)),
            format!("+{}", duration::show(fault.heal_at)),
            duration::show(fault.heal_at.saturating_sub(fault.inject_at)),
            fault.fault.kind.name,
            fault.fault,
        ));
    }
    lines
}

#[cfg(test)]
mod tests;
