//! From a scenario and a seed to the exact tree of fault steps.
//!
//! Pure: the same scenario, node names and seed give the same plan on any machine. What can only
//! be known while it runs (who leads the queue, when a condition comes) stays symbolic.
//! Random choices are drawn, and faults and conditions numbered, in the order of the scenario,
//! with everything repeated or chosen written out.

mod aim;
mod draw;
mod fit;
mod outline;
mod picture;
mod planned;
mod unroll;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::draw::Draw;
pub use self::outline::{Moment, Outline, Outlined, outline};
pub use self::picture::{table, timeline};
pub use self::planned::{Groups, Nodes, PlannedAim, PlannedFault, describe, needs, words};
use self::unroll::Unroll;
use crate::catalog::{Group, Kind};
use crate::duration::duration_ms;
use crate::inventory::NodeName;
use crate::scenario::step::{Condition, optional_ms};
use crate::scenario::{FaultSpec, Scenario};

/// A load that lasts as long as the schedule goes on for this long after its last step.
pub const LOAD_TAIL: Duration = Duration::from_secs(10);

/// For the proof of a fault whose end is not planned; the next step comes after it.
pub const PROOF_MAX: Duration = Duration::from_secs(30);

/// The same where the fault is over when it is done: a broker may have to start first, a host to boot.
pub fn moment_proof_max(kind: &Kind) -> Duration {
    Duration::from_secs(if kind.group == Group::Host { 300 } else { 120 })
}

/// Numbers the faults of a run, from 1, in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct FaultId(pub u32);

/// Numbers the conditions of a run, from 1, in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct AwaitId(pub u32);

/// Everything that is done to the hosts in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    /// Done one after another.
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedStep {
    /// Injects a fault.
    Fault(TimedFault),
    /// Does nothing for so long.
    Wait(#[serde(with = "duration_ms")] Duration),
    /// Waits until a condition holds.
    Await(PlannedAwait),
    /// Heals those of these faults that are in force.
    Heal(Vec<FaultId>),
    /// Heals every fault that waits for it.
    HealAll,
    /// Several lists side by side.
    Parallel(Vec<Vec<PlannedStep>>),
}

/// One fault with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedFault {
    /// Its number in this run.
    pub id: FaultId,
    /// Not before so long after the load began.
    #[serde(with = "optional_ms")]
    pub at: Option<Duration>,
    /// What it is.
    pub fault: PlannedFault,
    /// How long it stays.
    pub lasts: PlannedLasts,
}

/// How long a fault stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedLasts {
    /// It is over when it is done.
    Moment,
    /// So long.
    For(#[serde(with = "duration_ms")] Duration),
    /// Until a condition holds.
    Until(PlannedAwait),
    /// Until a later step heals it, or the end of the plan.
    UntilHealed,
}

/// A condition that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedAwait {
    /// Its number in this run.
    pub id: AwaitId,
    /// What has to hold.
    pub condition: Condition,
    /// How long it may take.
    #[serde(with = "duration_ms")]
    pub within: Duration,
}

/// Why there is no plan of a scenario for some nodes.
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

/// Everything of a scenario that keeps it from being planned for some nodes, in its order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario cannot be planned on these nodes:\n{}", .0.iter().map(Misfit::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Misfits(pub Vec<Misfit>);

/// One fault by itself, everything random drawn from the seed.
pub fn plan_fault(
    spec: &FaultSpec,
    nodes: &[NodeName],
    seed: u64,
) -> Result<PlannedFault, Misfits> {
    let misfits = fit::check_fault(spec, nodes);
    if !misfits.is_empty() {
        return Err(Misfits(misfits));
    }
    Ok(PlannedFault {
        kind: spec.kind,
        aim: aim::draw(&spec.aim, nodes, &mut Draw::new(seed)),
        settings: spec.settings.clone(),
    })
}

/// The plan of a scenario.
///
/// Nodes are taken in the inventory's order, which is part of what decides the draws.
pub fn plan(scenario: &Scenario, nodes: &[NodeName], seed: u64) -> Result<Plan, Misfits> {
    let misfits = fit::check(scenario, nodes);
    if !misfits.is_empty() {
        return Err(Misfits(misfits));
    }
    let unrolled = Unroll::new(nodes, seed).schedule(&scenario.schedule);
    let steps = unrolled.map_err(|misfit| Misfits(vec![misfit]))?;
    Ok(Plan { steps })
}

impl Plan {
    /// All its faults, in their order.
    pub fn faults(&self) -> Vec<&TimedFault> {
        let mut faults = Vec::new();
        each(&self.steps, &mut |step| {
            if let PlannedStep::Fault(fault) = step {
                faults.push(fault);
            }
        });
        faults
    }

    /// All its conditions, in their order, each with the fault that it ends.
    pub fn awaits(&self) -> Vec<(&PlannedAwait, Option<FaultId>)> {
        let mut awaits = Vec::new();
        each(&self.steps, &mut |step| match step {
            PlannedStep::Await(awaited) => awaits.push((awaited, None)),
            PlannedStep::Fault(fault) => {
                if let PlannedLasts::Until(until) = &fault.lasts {
                    awaits.push((until, Some(fault.id)));
                }
            }
            PlannedStep::Wait(_)
            | PlannedStep::Heal(_)
            | PlannedStep::HealAll
            | PlannedStep::Parallel(_) => {}
        });
        awaits
    }

    /// How long it takes at the most, every condition with all the time that it may take; what
    /// the hosts take to inject and to heal is not in it.
    pub fn longest(&self) -> Duration {
        let proofs = self.faults().into_iter().map(|fault| match fault.lasts {
            PlannedLasts::Moment => moment_proof_max(&fault.fault.kind),
            PlannedLasts::UntilHealed => PROOF_MAX,
            PlannedLasts::For(_) | PlannedLasts::Until(_) => Duration::ZERO,
        });
        let proofs = proofs.fold(Duration::ZERO, Duration::saturating_add);
        outline(self).end.time.saturating_add(proofs)
    }
}

fn each<'p>(steps: &'p [PlannedStep], see: &mut impl FnMut(&'p PlannedStep)) {
    for step in steps {
        see(step);
        if let PlannedStep::Parallel(branches) = step {
            for branch in branches {
                each(branch, see);
            }
        }
    }
}

#[cfg(test)]
mod tests;
