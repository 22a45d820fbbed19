//! A schedule written out: everything random drawn, everything repeated or chosen once for
//! each time.

use std::time::Duration;

use super::draw::Draw;
use super::{
    AwaitId, FaultId, Misfit, PlannedAwait, PlannedFault, PlannedLasts, PlannedStep, TimedFault,
    aim,
};
use crate::inventory::NodeName;
use crate::scenario::step::{Await, FaultStep, Gap, Heal, Lasts, Mix, Span, Step, choice_path};

/// More faults than anybody waits for.
const FAULTS_MAX: u32 = 10_000;
/// The same for everything else.
const STEPS_MAX: u32 = 50_000;

/// A schedule being written out.
pub(super) struct Unroll<'n> {
    nodes: &'n [NodeName],
    draw: Draw,
    faults: u32,
    awaits: u32,
    steps: u32,
}

/// The faults in force that have a name, in the order of their numbers.
type Open = Vec<(String, FaultId)>;

impl<'n> Unroll<'n> {
    pub(super) fn new(nodes: &'n [NodeName], seed: u64) -> Self {
        Self {
            nodes,
            draw: Draw::new(seed),
            faults: 0,
            awaits: 0,
            steps: 0,
        }
    }

    /// The whole schedule; an error is one that would never end, as far as anybody can wait.
    pub(super) fn schedule(mut self, steps: &[Step]) -> Result<Vec<PlannedStep>, Misfit> {
        let mut planned = Vec::new();
        self.list(steps, "schedule", &mut Open::new(), &mut planned)?;
        Ok(planned)
    }

    fn list(
        &mut self,
        steps: &[Step],
        path: &str,
        open: &mut Open,
        to: &mut Vec<PlannedStep>,
    ) -> Result<(), Misfit> {
        for (index, step) in steps.iter().enumerate() {
            self.step(step, &format!("{path}.{index}"), open, to)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        step: &Step,
        path: &str,
        open: &mut Open,
        to: &mut Vec<PlannedStep>,
    ) -> Result<(), Misfit> {
        self.count(path)?;
        match step {
            Step::Fault(step) => {
                for time in 0..step.repeat {
                    if time > 0 {
                        self.gap(step.gap, to);
                    }
                    let at = step.at.filter(|_| time == 0);
                    let fault = self.fault(step, at, path)?;
                    open.extend(step.name.clone().map(|name| (name, fault.id)));
                    to.push(PlannedStep::Fault(fault));
                }
            }
            Step::Wait(span) => to.push(PlannedStep::Wait(self.span(*span))),
            Step::Await(awaited) => to.push(PlannedStep::Await(self.awaited(awaited))),
            Step::Heal(Heal::All) => {
                open.clear();
                to.push(PlannedStep::HealAll);
            }
            Step::Heal(Heal::Named(name)) => {
                let healed = open.iter().filter(|(open, _)| open == name);
                to.push(PlannedStep::Heal(healed.map(|(_, id)| *id).collect()));
                open.retain(|(open, _)| open != name);
            }
            Step::Repeat(repeat) => {
                for time in 0..repeat.times {
                    if time > 0 {
                        self.gap(repeat.gap, to);
                    }
                    self.count(path)?;
                    self.list(&repeat.steps, &format!("{path}.steps"), open, to)?;
                }
            }
            Step::Parallel(branches) => to.push(self.parallel(branches, path, open)?),
            Step::Mix(mix) => self.mix(mix, path, open, to)?,
        }
        Ok(())
    }

    fn fault(
        &mut self,
        step: &FaultStep,
        at: Option<Duration>,
        path: &str,
    ) -> Result<TimedFault, Misfit> {
        if self.faults == FAULTS_MAX {
            return Err(endless(path, &format!("more than {FAULTS_MAX} faults")));
        }
        self.faults += 1;
        let id = FaultId(self.faults);
        let fault = PlannedFault {
            kind: step.fault.kind,
            aim: aim::draw(&step.fault.aim, self.nodes, &mut self.draw),
            settings: step.fault.settings.clone(),
        };
        let lasts = match &step.lasts {
            Lasts::Moment => PlannedLasts::Moment,
            Lasts::For(span) => PlannedLasts::For(self.span(*span)),
            Lasts::Until(until) => PlannedLasts::Until(self.awaited(until)),
            Lasts::UntilHealed => PlannedLasts::UntilHealed,
        };
        Ok(TimedFault {
            id,
            at,
            fault,
            lasts,
        })
    }

    fn awaited(&mut self, awaited: &Await) -> PlannedAwait {
        self.awaits += 1;
        PlannedAwait {
            id: AwaitId(self.awaits),
            condition: awaited.condition.clone(),
            within: awaited.within,
        }
    }

    /// What one list leaves in force can be healed by name after all of them, not by another.
    fn parallel(
        &mut self,
        branches: &[Vec<Step>],
        path: &str,
        open: &mut Open,
    ) -> Result<PlannedStep, Misfit> {
        let before = open.clone();
        let mut planned = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let mut own = before.clone();
            let mut steps = Vec::new();
            let path = format!("{path}.parallel.{index}");
            self.list(branch, &path, &mut own, &mut steps)?;
            open.retain(|known| own.contains(known) || !before.contains(known));
            open.extend(own.into_iter().filter(|known| !before.contains(known)));
            planned.push(steps);
        }
        Ok(PlannedStep::Parallel(planned))
    }

    fn mix(
        &mut self,
        mix: &Mix,
        path: &str,
        open: &mut Open,
        to: &mut Vec<PlannedStep>,
    ) -> Result<(), Misfit> {
        let total = mix.choose.iter().map(|choice| u64::from(choice.weight));
        let total = total.sum();
        let mut spent = Duration::ZERO;
        loop {
            self.count(path)?;
            let chosen = self.chosen(mix, total);
            let Some(choice) = mix.choose.get(chosen) else {
                return Ok(());
            };
            let begun = to.len();
            let mut own = open.clone();
            self.list(&choice.steps, &choice_path(path, chosen), &mut own, to)?;
            spent = spent.saturating_add(super::outline::length(&to[begun..]));
            if spent >= mix.lasts {
                return Ok(());
            }
            spent = spent.saturating_add(self.gap(mix.gap, to));
            if spent >= mix.lasts {
                return Ok(());
            }
        }
    }

    fn chosen(&mut self, mix: &Mix, total: u64) -> usize {
        let mut drawn = self.draw.below(total);
        let passed = mix.choose.iter().take_while(|choice| {
            let weight = u64::from(choice.weight);
            let passes = drawn >= weight;
            drawn = drawn.saturating_sub(weight);
            passes
        });
        passed.count()
    }

    fn gap(&mut self, gap: Gap, to: &mut Vec<PlannedStep>) -> Duration {
        let length = self.span(gap.span());
        if length > Duration::ZERO {
            to.push(PlannedStep::Wait(length));
        }
        length
    }

    /// A length of time in whole milliseconds, each equally likely.
    fn span(&mut self, span: Span) -> Duration {
        let range = span.max.saturating_sub(span.min).as_millis();
        let range = u64::try_from(range).unwrap_or(u64::MAX - 1);
        if range == 0 {
            return span.min;
        }
        let drawn = self.draw.below(range.saturating_add(1));
        span.min.saturating_add(Duration::from_millis(drawn))
    }

    fn count(&mut self, path: &str) -> Result<(), Misfit> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(endless(path, &format!("more than {STEPS_MAX} steps")));
        }
        Ok(())
    }
}

fn endless(path: &str, what: &str) -> Misfit {
    Misfit {
        path: path.to_owned(),
        message: format!("written out, the schedule has {what}"),
        remedy: "lower `repeat`, or the time of `mix`, or let what it chooses from take longer"
            .to_owned(),
    }
}
