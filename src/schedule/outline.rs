//! When what of a plan happens, as far as a plan can tell: conditions come when they come, so
//! each counts with all the time that it may take, and what is after it may be earlier.

use std::time::Duration;

use super::{AwaitId, FaultId, Plan, PlannedLasts, PlannedStep, TimedFault};

/// A moment of a plan, counted from the beginning of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// At the latest.
    pub time: Duration,
    /// Whether not earlier, either.
    pub is_exact: bool,
}

/// Something with a beginning and an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlined<Id> {
    /// Which.
    pub id: Id,
    /// When it begins.
    pub from: Moment,
    /// When it is over.
    pub until: Moment,
}

/// The times of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// From injection to heal, in the order of the faults' numbers.
    pub faults: Vec<Outlined<FaultId>>,
    /// From when a condition is waited for, in the order of their numbers.
    pub awaits: Vec<Outlined<AwaitId>>,
    /// When the last step is over.
    pub end: Moment,
}

/// The times of a plan.
pub fn outline(plan: &Plan) -> Outline {
    let mut sketch = Sketch::default();
    let end = sketch.list(&plan.steps, START);
    sketch.heal(|_| true, end);
    sketch.faults.sort_by_key(|fault| fault.id);
    sketch.awaits.sort_by_key(|awaited| awaited.id);
    Outline {
        faults: sketch.faults,
        awaits: sketch.awaits,
        end,
    }
}

/// How long steps take, counted from their beginning.
pub(super) fn length(steps: &[PlannedStep]) -> Duration {
    Sketch::default().list(steps, START).time
}

const START: Moment = Moment {
    time: Duration::ZERO,
    is_exact: true,
};

#[derive(Default)]
struct Sketch {
    faults: Vec<Outlined<FaultId>>,
    awaits: Vec<Outlined<AwaitId>>,
    /// Those of the faults that wait to be healed.
    open: Vec<FaultId>,
}

impl Sketch {
    fn list(&mut self, steps: &[PlannedStep], from: Moment) -> Moment {
        steps.iter().fold(from, |now, step| self.step(step, now))
    }

    fn step(&mut self, step: &PlannedStep, now: Moment) -> Moment {
        match step {
            PlannedStep::Fault(fault) => self.fault(fault, now),
            PlannedStep::Wait(length) => now.after(*length),
            PlannedStep::Await(awaited) => self.awaited(awaited.id, now, awaited.within),
            PlannedStep::Heal(ids) => {
                self.heal(|id| ids.contains(&id), now);
                now
            }
            PlannedStep::HealAll => {
                self.heal(|_| true, now);
                now
            }
            PlannedStep::Parallel(branches) => {
                let ends: Vec<Moment> =
                    branches.iter().map(|steps| self.list(steps, now)).collect();
                Moment {
                    time: ends.iter().map(|end| end.time).max().unwrap_or(now.time),
                    is_exact: ends.iter().all(|end| end.is_exact),
                }
            }
        }
    }

    fn fault(&mut self, fault: &TimedFault, now: Moment) -> Moment {
        let from = match fault.at {
            Some(at) if at >= now.time => Moment {
                time: at,
                is_exact: true,
            },
            Some(_) | None => now,
        };
        let until = match &fault.lasts {
            PlannedLasts::For(length) => from.after(*length),
            PlannedLasts::Until(until) => self.awaited(until.id, from, until.within),
            PlannedLasts::Moment => from,
            PlannedLasts::UntilHealed => {
                self.open.push(fault.id);
                from
            }
        };
        self.faults.push(Outlined {
            id: fault.id,
            from,
            until,
        });
        until
    }

    fn awaited(&mut self, id: AwaitId, from: Moment, within: Duration) -> Moment {
        let until = Moment {
            time: from.time.saturating_add(within),
            is_exact: false,
        };
        self.awaits.push(Outlined { id, from, until });
        until
    }

    fn heal(&mut self, is_healed: impl Fn(FaultId) -> bool, now: Moment) {
        let (healed, open): (Vec<_>, Vec<_>) = self.open.drain(..).partition(|id| is_healed(*id));
        self.open = open;
        for fault in &mut self.faults {
            if healed.contains(&fault.id) {
                fault.until = now;
            }
        }
    }
}

impl Moment {
    fn after(self, length: Duration) -> Self {
        Self {
            time: self.time.saturating_add(length),
            ..self
        }
    }
}
