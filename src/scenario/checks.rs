//! What only shows when the values of a scenario are seen together.

use std::time::Duration;

use super::{AimSpec, Amount, QueueType, Scenario, duration};
use crate::diagnostic::{Collector, Place};
use crate::yaml::{Kind, Value};

/// Checks a scenario whose values are each sound.
pub(super) fn check(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    queue(scenario, tree, to);
    amount(scenario, tree, to);
    overlaps(scenario, tree, to);
    unnoticed(scenario, tree, to);
}

fn queue(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let Some(replicas) = scenario.queue.replicas else {
        return;
    };
    let at = place(tree, &["queue", "replicas"]);
    match scenario.queue.kind {
        QueueType::Classic => to.error(
            at,
            "a classic queue has one replica only",
            "remove `replicas`, or choose `type: quorum`",
        ),
        QueueType::Quorum if replicas % 2 == 0 => to.warning(
            at,
            format!(
                "{replicas} replicas survive no more than {} do",
                replicas - 1
            ),
            "choose an odd number",
        ),
        QueueType::Mirrored | QueueType::Quorum => {}
    }
}

fn amount(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let at = place(tree, &["workload", "amount"]);
    let last = scenario
        .schedule
        .iter()
        .filter_map(|step| step.injections().last());
    let load_ends = match (scenario.workload.amount, scenario.workload.rate) {
        (Amount::Schedule, _) => {
            if scenario.schedule.is_empty() {
                to.error(
                    at,
                    "the load is to last as long as the schedule, which has no fault",
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
    if let Some(last) = last.max().filter(|last| *last >= load_ends) {
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

/// One partition at a time: the firewall holds one grudge.
fn overlaps(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let mut due: Vec<(Duration, Duration, usize)> = Vec::new();
    for (index, step) in scenario.schedule.iter().enumerate() {
        due.extend(
            step.injections()
                .map(|at| (at, at.saturating_add(step.duration), index)),
        );
    }
    due.sort_unstable();
    let mut in_force = (Duration::ZERO, 0);
    let mut reported = Vec::new();
    for (injected, healed, index) in due {
        if injected < in_force.0 && !reported.contains(&index) {
            reported.push(index);
            to.error(
                place(tree, &["schedule", &index.to_string(), "at"]),
                format!(
                    "a partition is to begin after {} while that of `schedule.{}` lasts until {}",
                    duration::show(injected),
                    in_force.1,
                    duration::show(in_force.0)
                ),
                format!(
                    "one partition at a time: begin at {} or later",
                    duration::show(in_force.0)
                ),
            );
        }
        in_force = in_force.max((healed, index));
    }
}

/// A cut is seen by the brokers after up to 1.25 times `net_ticktime`.
fn unnoticed(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let ticktime = Duration::from_secs(u64::from(scenario.cluster.net_ticktime_s));
    let noticed = ticktime + ticktime / 4;
    for (index, step) in scenario.schedule.iter().enumerate() {
        if matches!(step.fault.aim, AimSpec::Groups(_)) && step.duration < noticed {
            to.warning(
                place(tree, &["schedule", &index.to_string(), "duration"]),
                format!(
                    "a cut of {} may never be noticed by the brokers: with a net_ticktime of {} that takes up to {}",
                    duration::show(step.duration),
                    duration::show(ticktime),
                    duration::show(noticed)
                ),
                "let the cut last longer or lower `cluster.net_ticktime`, unless that is what is to be tested"
            );
        }
    }
}

/// Where a value is, or the nearest thing around it that the file has.
fn place(tree: &Value, path: &[&str]) -> Place {
    let mut value = tree;
    for key in path {
        let inner = match &value.kind {
            Kind::Mapping(_) => value.get(key),
            Kind::Sequence(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
            Kind::Null | Kind::Scalar { .. } => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    value.place
}
