//! The `schedule` of a scenario: which fault when, read from YAML.

use std::time::Duration;

use super::parse::{HOUR, SECOND, length};
use super::{AimSpec, FaultSpec, NodesSpec, PartitionSpec, Step};
use crate::catalog::{Aim, KINDS, Kind, KindRef, Settings, Takes};
use crate::diagnostic::{Collector, quoted};
use crate::yaml::{Fields, Kind as ValueKind, Value};

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
    let fault = fault(fields, to);
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
        fault: fault?,
    })
}

/// Which fault, to whom, with what set.
fn fault(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<FaultSpec> {
    fields.require("fault", "partition", to);
    let kinds: Vec<_> = KINDS.iter().map(|kind| (kind.name, kind)).collect();
    let kind = fields.choice("fault", &kinds, to);
    let aim = match kind.map(|kind| kind.aim) {
        Some(Aim::Nodes) => {
            let on = fields.require("on", "one", to);
            on.and_then(|on| nodes(on, to)).map(AimSpec::On)
        }
        // The groups of a fault that is not known are read all the same: all mistakes at once.
        Some(Aim::Groups) | None => {
            let groups = fields.require("groups", "minority", to);
            groups
                .and_then(|groups| partition(groups, to))
                .map(AimSpec::Groups)
        }
    };
    let settings = settings(kind?, fields, to);
    Some(FaultSpec {
        kind: KindRef(kind?),
        aim: aim?,
        settings,
    })
}

fn settings(kind: &'static Kind, fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Settings {
    let mut settings = kind.defaults();
    for parameter in kind.parameters {
        let value = if parameter.is_required {
            fields.require(parameter.name, &parameter.takes.to_string(), to)
        } else {
            fields.take(parameter.name)
        };
        let Some(value) = value else { continue };
        let what = format!("`{}`", parameter.name);
        let text = match &value.kind {
            ValueKind::Sequence(items) if parameter.takes == Takes::Ports => {
                let ports = items.iter().filter_map(|item| item.text(&what, to));
                Some(ports.collect::<Vec<_>>().join(","))
            }
            _ => value.text(&what, to).map(str::to_owned),
        };
        match text.map(|text| parameter.takes.read(&text)) {
            Some(Ok(setting)) => {
                settings.insert(parameter.name.to_owned(), setting);
            }
            Some(Err(unfit)) => to.error(
                value.place,
                format!("{what}: {}", unfit.problem),
                unfit.remedy,
            ),
            None => {}
        }
    }
    settings
}

fn nodes(value: &Value, to: &mut Collector<'_>) -> Option<NodesSpec> {
    if !matches!(value.kind, ValueKind::Sequence(_)) {
        return value.choice(
            "`on` (unless it lists nodes, as `[n1, n2]`)",
            &NodesSpec::WORDS,
            to,
        );
    }
    let mut names: Vec<String> = Vec::new();
    for item in value.sequence("`on`", to)? {
        let name = item.text("a node's name", to)?;
        if names.iter().any(|seen| seen == name) {
            to.error(
                item.place,
                format!("the node {} is here twice", quoted(name)),
                "name each node once",
            );
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        to.error(
            value.place,
            "a fault on no node",
            "name at least one node, such as `[n1]`",
        );
    }
    Some(NodesSpec::Named(names))
}

fn partition(value: &Value, to: &mut Collector<'_>) -> Option<PartitionSpec> {
    if value.entries().is_none() && !matches!(value.kind, ValueKind::Sequence(_)) {
        return value.choice(
            "`groups` (unless it lists nodes, as `[[n1, n2], [n3]]`)",
            &PartitionSpec::WORDS,
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
