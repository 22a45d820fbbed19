//! A fault as a step of a schedule names it: kind, aim and settings.

use super::{AimSpec, FaultSpec, NodesSpec, PartitionSpec};
use crate::catalog::{Aim, KINDS, Kind, KindRef, Settings, Takes};
use crate::diagnostic::{Collector, quoted};
use crate::yaml::{Fields, Kind as ValueKind, Value};

/// Which fault, to whom, with what set.
pub(super) fn fault(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<FaultSpec> {
    fields.require("fault", "partition", to);
    let kinds: Vec<_> = KINDS.iter().map(|kind| (kind.name, kind)).collect();
    let kind = fields.choice("fault", &kinds, to);
    let aim = match kind.map(|kind| kind.aim) {
        Some(Aim::Nodes) => {
            let on = fields.require("on", "one", to);
            on.and_then(|on| nodes(on, to)).map(AimSpec::On)
        }
        Some(Aim::Groups) => {
            let groups = fields.require("groups", "minority", to);
            groups
                .and_then(|groups| partition(groups, to))
                .map(AimSpec::Groups)
        }
        // What is said of a fault that is not known is read as far as it can be: all mistakes at once.
        None => {
            let on = fields.take("on").and_then(|on| nodes(on, to));
            let groups = fields.take("groups");
            let groups = groups.and_then(|groups| partition(groups, to));
            for parameter in KINDS.iter().flat_map(|kind| kind.parameters) {
                fields.know(&[parameter.name]);
            }
            on.map(AimSpec::On).or(groups.map(AimSpec::Groups))
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
    let names = names("`on`", value, to)?;
    if names.is_empty() {
        to.error(
            value.place,
            "a fault on no node",
            "name at least one node, such as `[n1]`",
        );
    }
    Some(NodesSpec::Named(names))
}

/// A list of nodes, none of them twice.
pub(super) fn names(what: &str, value: &Value, to: &mut Collector<'_>) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for item in value.sequence(what, to)? {
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
    Some(names)
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
