//! What only shows when the values of a scenario are seen together.

use std::time::Duration;

use super::step::{Gap, Lasts};
use super::{Amount, QueueType, Scenario, Source, Step, WorkloadKind, consumers, limits, queue};
use crate::diagnostic::{Collector, Place};
use crate::duration;
use crate::yaml::{Kind, Value};

/// Checks a scenario whose values are each sound.
pub(super) fn check(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    queue::check(&scenario.queue, tree, to);
    consumers::check(scenario, tree, to);
    limits::check(scenario, tree, to);
    workload(scenario, tree, to);
    amount(scenario, tree, to);
    order(scenario, tree, to);
    unnoticed(scenario, tree, to);
}

fn workload(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let kind = scenario.workload.kind;
    let is_stream = scenario.queue.kind == QueueType::Stream;
    if (kind == WorkloadKind::Stream) != is_stream {
        to.error(
            place(
                tree,
                if is_stream {
                    "queue.type"
                } else {
                    "workload.kind"
                },
            ),
            "a stream and the workload `stream` need each other",
            "write both `workload.kind: stream` and `queue.type: stream`, or neither",
        );
    }
    if is_stream && scenario.queue.single_active_consumer {
        to.error(
            place(tree, "queue.single_active_consumer"),
            "readers of a stream take nothing from each other",
            "remove it",
        );
    }
    if kind == WorkloadKind::Metadata && scenario.cluster.source == Source::Existing {
        to.error(
            place(tree, "workload.kind"),
            "`metadata` makes users, policies and virtual hosts in a cluster that is not jtest's",
            "choose another `cluster.source`, or another workload",
        );
    }
}

fn amount(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let at = place(tree, "workload.amount");
    let last = last_injection(&scenario.schedule, Duration::ZERO);
    let load_ends = match (scenario.workload.amount, scenario.workload.rate) {
        (Amount::Schedule, _) => {
            if scenario.schedule.is_empty() {
                to.error(
                    at,
                    "the load is to last as long as the schedule, which has no step",
                    "give a duration (`amount: 1m`), or a fault in `schedule`",
                );
            }
            return;
        }
        (Amount::Duration(length), _) => length,
        (Amount::Messages(count), Some(rate)) => {
            Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(Duration::MAX)
        }
        (Amount::Messages(_), None) => return,
    };
    if let Some(last) = last.filter(|last| *last >= load_ends) {
        to.warning(
            at,
            format!(
                "the load ends after {}, before the last fault is injected after {}",
                duration::show(load_ends),
                duration::show(last)
            ),
            "let it last longer, or write `amount: schedule`",
        );
    }
}

/// Steps come one after another, so none can be due before those before it are over.
fn order(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let mut late = |path: &str, at: Duration, earliest: Duration| {
        to.error(
            place(tree, &format!("{path}.at")),
            format!(
                "a step is due after {} that cannot begin before {}, when the steps before it are over",
                duration::show(at),
                duration::show(earliest)
            ),
            format!(
                "begin at {} or later, or let both go on at once: `parallel: [[...], [...]]`",
                duration::show(earliest)
            ),
        );
    };
    list_ends(&scenario.schedule, "schedule", Duration::ZERO, &mut late);
}

/// A cut is seen by the brokers after up to 1.25 times `net_ticktime`.
fn unnoticed(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let ticktime = Duration::from_secs(u64::from(scenario.cluster.net_ticktime_s));
    let noticed = ticktime + ticktime / 4;
    Step::each_of(&scenario.schedule, "schedule", &mut |path, step| {
        if let Step::Fault(step) = step
            && let Lasts::For(span) = &step.lasts
            && step.fault.aim.is_groups()
            && span.max < noticed
        {
            to.warning(
                place(tree, &format!("{path}.duration")),
                format!(
                    "a cut of {span} may never be noticed by the brokers: with a net_ticktime of {} that takes up to {}",
                    duration::show(ticktime),
                    duration::show(noticed)
                ),
                "let the cut last longer or lower `cluster.net_ticktime`, unless that is what is to be tested"
            );
        }
    });
}

/// When a list of steps is over at the earliest, if it begins then. Steps that are due before
/// those before them are over are told, with their path, their time and the earliest possible.
fn list_ends(
    steps: &[Step],
    path: &str,
    from: Duration,
    late: &mut impl FnMut(&str, Duration, Duration),
) -> Duration {
    let mut now = from;
    for (index, step) in steps.iter().enumerate() {
        now = step_ends(step, &format!("{path}.{index}"), now, late);
    }
    now
}

fn step_ends(
    step: &Step,
    path: &str,
    from: Duration,
    late: &mut impl FnMut(&str, Duration, Duration),
) -> Duration {
    match step {
        Step::Fault(step) => {
            let at = step.at.unwrap_or(from);
            if at < from {
                late(path, at, from);
            }
            let times = repeated(step.repeat, step.lasts.least(), step.gap);
            at.max(from).saturating_add(times)
        }
        Step::Wait(span) => from.saturating_add(span.min),
        Step::Await(_) | Step::Heal(_) => from,
        Step::Repeat(repeat) => {
            let inner = list_ends(&repeat.steps, &format!("{path}.steps"), from, late);
            let once = inner.saturating_sub(from);
            from.saturating_add(repeated(repeat.times, once, repeat.gap))
        }
        Step::Parallel(branches) => {
            let ends = branches.iter().enumerate().map(|(index, branch)| {
                list_ends(branch, &format!("{path}.parallel.{index}"), from, late)
            });
            ends.max().unwrap_or(from)
        }
        Step::Mix(mix) => {
            let mut awaits = false;
            step.each(path, &mut |_, step| awaits |= step.condition().is_some());
            // A condition may come at once, and counts with all the time that it may take.
            let least = if awaits { Duration::ZERO } else { mix.lasts };
            from.saturating_add(least)
        }
    }
}

fn repeated(times: u32, once: Duration, gap: Gap) -> Duration {
    let gaps = gap.span().min.saturating_mul(times.saturating_sub(1));
    once.saturating_mul(times).saturating_add(gaps)
}

/// When a fault of these steps is injected last, at the earliest, if they begin then.
fn last_injection(steps: &[Step], from: Duration) -> Option<Duration> {
    let mut last = None;
    let mut now = from;
    for step in steps {
        let end = step_ends(step, "", now, &mut |_, _, _| {});
        let injected = match step {
            Step::Fault(step) => Some(end.saturating_sub(step.lasts.least())),
            Step::Wait(_) | Step::Await(_) | Step::Heal(_) => None,
            Step::Repeat(repeat) => last_injection(&repeat.steps, now).map(|first| {
                let once = list_ends(&repeat.steps, "", now, &mut |_, _, _| {});
                let last_begins = end.saturating_sub(once.saturating_sub(now));
                last_begins.saturating_add(first.saturating_sub(now))
            }),
            Step::Parallel(branches) => {
                let branches = branches.iter().map(|steps| last_injection(steps, now));
                branches.max().flatten()
            }
            Step::Mix(mix) => {
                let choices = mix.choose.iter();
                let choices = choices.map(|choice| last_injection(&choice.steps, now));
                choices.max().flatten()
            }
        };
        last = last.max(injected);
        now = end;
    }
    last
}

/// Where a value is, or the nearest thing around it that the file has.
pub(super) fn place(tree: &Value, path: &str) -> Place {
    let mut value = tree;
    let mut keys = path.split('.');
    while let Some(key) = keys.next() {
        let inner = match &value.kind {
            Kind::Mapping(_) => value.get(key),
            Kind::Sequence(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
            Kind::Null | Kind::Scalar { .. } => None,
        };
        match inner {
            Some(inner) => value = inner,
            // A choice of a mix may itself be its only step.
            None if key == "steps" => drop(keys.next()),
            None => break,
        }
    }
    value.place
}
