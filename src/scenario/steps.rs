//! The `schedule` of a scenario: which fault when, read from YAML.

use std::time::Duration;

use super::parse::{HOUR, SECOND, length};
use super::{FaultSpec, PartitionSpec, Step};
use crate::diagnostic::{Collector, quoted};
use crate::yaml::{Fields, Value};

const AT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const REPEAT_MAX: u64 = 1000;
const STEPS_MAX: usize = 100;

pub(super) fn schedule(steps: Option<&[Value]>, to: &mut Collector<'_>) -> Vec<Step> {
    let steps = steps.unwrap_or_default();
    if let Some(beyond) = steps.get(STEPS_MAX) {
        to.error(
            beyond.place,
            format!("the schedule has {} entries", steps.len()),
            format!("write at most {STEPS_MAX}; one entry can `repeat`"),
        );
    }
    steps
        .iter()
        .take(STEPS_MAX)
        .filter_map(|value| {
            let mut fields = value.fields("an entry of the schedule", to)?;
            let step = step(&mut fields, to);
            fields.finish(to);
            step
        })
        .collect()
}

fn step(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<Step> {
    fields.require("at", "10s", to);
    fields.require("fault", "partition", to);
    fields.choice("fault", &[("partition", ())], to);
    let groups = fields.require("groups", "minority", to);
    fields.require("duration", "1m", to);
    let repeat = fields.u64("repeat", 1..=REPEAT_MAX, to).unwrap_or(1);
    if repeat > 1 {
        fields.require("pause", "1m", to);
    }
    let longest = 24 * HOUR;
    Some(Step {
        at: length(fields, "at", Duration::ZERO, Duration::ZERO..=AT_MAX, to),
        duration: length(fields, "duration", SECOND, SECOND / 10..=longest, to),
        repeat: u32::try_from(repeat).unwrap_or(1),
        pause: length(
            fields,
            "pause",
            Duration::ZERO,
            Duration::ZERO..=longest,
            to,
        ),
        fault: FaultSpec::Partition(partition(groups?, to)?),
    })
}

fn partition(value: &Value, to: &mut Collector<'_>) -> Option<PartitionSpec> {
    if value.entries().is_none() && !matches!(value.kind, crate::yaml::Kind::Sequence(_)) {
        return value.choice(
            "`groups` (unless it lists nodes, as `[[n1, n2], [n3]]`)",
            &[
                ("minority", PartitionSpec::Minority),
                ("halves", PartitionSpec::Halves),
                ("one", PartitionSpec::One),
                ("leader-minority", PartitionSpec::LeaderMinority),
                ("leader-alone", PartitionSpec::LeaderAlone),
            ],
            to,
        );
    }
    let mut groups: Vec<Vec<String>> = Vec::new();
    for group in value.sequence("`groups`", to)? {
        let mut names = Vec::new();
        for item in group.sequence("a group of nodes", to)? {
            let name = item.text("a node's name", to)?;
            if groups
                .iter()
                .flatten()
                .chain(&names)
                .any(|seen| seen == name)
            {
                to.error(
                    item.place,
                    format!("the node {} is here twice", quoted(name)),
                    "name each node once: it can be on one side only",
                );
            }
            names.push(name.to_owned());
        }
        if names.is_empty() {
            to.error(
                group.place,
                "a group without nodes",
                "name at least one node in it, or leave the group out",
            );
        }
        groups.push(names);
    }
    if groups.is_empty() {
        to.error(
            value.place,
            "a partition without groups",
            "name the nodes of each side, such as `[[n1, n2], [n3, n4, n5]]`; the rest form one more",
        );
    }
    Some(PartitionSpec::Groups(groups))
}
