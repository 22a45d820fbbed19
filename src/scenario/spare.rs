//! A scenario without what hosts cannot have, as far as it is one choice of several.

use super::step::{Choice, Mix, Repeat};
use super::{FaultSpec, Scenario, Step};

impl Scenario {
    /// Leaves out of its mixes each choice with a fault of which this holds. A mix that would have no choice left
    /// keeps them all, and so does everything outside of mixes: that is refused elsewhere.
    #[must_use]
    pub fn spared(&self, is_impossible: &dyn Fn(&FaultSpec) -> bool) -> Self {
        Self {
            schedule: steps(&self.schedule, is_impossible),
            ..self.clone()
        }
    }
}

fn steps(all: &[Step], is_impossible: &dyn Fn(&FaultSpec) -> bool) -> Vec<Step> {
    all.iter().map(|one| step(one, is_impossible)).collect()
}

fn step(step: &Step, is_impossible: &dyn Fn(&FaultSpec) -> bool) -> Step {
    match step {
        Step::Fault(_) | Step::Wait(_) | Step::Await(_) | Step::Heal(_) => step.clone(),
        Step::Repeat(repeat) => Step::Repeat(Repeat {
            steps: steps(&repeat.steps, is_impossible),
            ..repeat.clone()
        }),
        Step::Parallel(branches) => {
            let branches = branches.iter();
            Step::Parallel(
                branches
                    .map(|branch| steps(branch, is_impossible))
                    .collect(),
            )
        }
        Step::Mix(mix) => Step::Mix(spared(mix, is_impossible)),
    }
}

fn spared(mix: &Mix, is_impossible: &dyn Fn(&FaultSpec) -> bool) -> Mix {
    let choices = mix.choose.iter().map(|choice| Choice {
        weight: choice.weight,
        steps: steps(&choice.steps, is_impossible),
    });
    let (left, _): (Vec<_>, Vec<_>) =
        choices.partition(|choice| !has_any(&choice.steps, is_impossible));
    if left.is_empty() {
        return mix.clone();
    }
    Mix {
        choose: left,
        ..mix.clone()
    }
}

fn has_any(steps: &[Step], is_impossible: &dyn Fn(&FaultSpec) -> bool) -> bool {
    steps.iter().any(|step| match step {
        Step::Fault(step) => is_impossible(&step.fault),
        Step::Wait(_) | Step::Await(_) | Step::Heal(_) => false,
        Step::Repeat(repeat) => has_any(&repeat.steps, is_impossible),
        Step::Parallel(branches) => branches.iter().any(|branch| has_any(branch, is_impossible)),
        Step::Mix(mix) => mix
            .choose
            .iter()
            .any(|choice| has_any(&choice.steps, is_impossible)),
    })
}

#[cfg(test)]
mod tests {
    use crate::inventory::NodeName;
    use crate::scenario::{FaultSpec, builtin};
    use crate::schedule;

    fn everything() -> crate::scenario::Scenario {
        let parsed = builtin("everything").unwrap().parse(&[]);
        parsed.unwrap().0
    }

    fn kinds(scenario: &crate::scenario::Scenario) -> Vec<&'static str> {
        let nodes: Vec<_> = (1..=5).map(|n| NodeName(format!("n{n}"))).collect();
        let mut kinds = Vec::new();
        for seed in 0..40 {
            let plan = schedule::plan(scenario, &nodes, seed).unwrap();
            kinds.extend(plan.faults().iter().map(|fault| fault.fault.kind.name));
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    #[test]
    fn a_mix_does_without_what_is_impossible() {
        let scenario = everything();
        let is_clock = |fault: &FaultSpec| fault.kind.name.starts_with("clock-");
        assert!(kinds(&scenario).contains(&"clock-bump"));
        let spared = scenario.spared(&is_clock);
        let left = kinds(&spared);
        assert!(left.contains(&"kill") && left.contains(&"partition"));
        assert!(
            !left.iter().any(|kind| kind.starts_with("clock-")),
            "{left:?}"
        );
        assert_eq!(scenario.spared(&|_| false), scenario);
        assert_eq!(scenario.spared(&|_| true), scenario);
    }
}
