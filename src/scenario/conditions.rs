//! The conditions that a schedule waits for, read from YAML.

use super::faults::names;
use super::step::{Alarm, Condition, Leader, Whom};
use crate::catalog::{Setting, Takes};
use crate::diagnostic::Collector;
use crate::inventory::NodeName;
use crate::yaml::{Fields, Kind, Value};

const CONFIRMS_MAX: u64 = 1_000_000_000;

/// Each with what could be written.
const CONDITIONS: [&str; 5] = ["running", "leader", "alarm", "confirms", "rate"];

pub(super) fn condition(value: &Value, to: &mut Collector<'_>) -> Option<Condition> {
    let mut fields = value.fields("a condition", to)?;
    let given: Vec<&str> = CONDITIONS
        .into_iter()
        .filter(|key| fields.take(key).is_some())
        .collect();
    let condition = match given.as_slice() {
        ["running"] => running(&mut fields, to),
        ["leader"] => leader(&mut fields, to),
        ["alarm"] => alarm(&mut fields, to),
        ["confirms"] => fields
            .u64("confirms", 1..=CONFIRMS_MAX, to)
            .map(Condition::Confirms),
        ["rate"] => rate(&mut fields, to),
        [] => {
            to.error(
                value.place,
                "a condition that says nothing",
                "write one of `{running: all}`, `{leader: new}`, `{alarm: memory, on: [n1]}`, \
                 `{confirms: 500}` and `{rate: 90%}`",
            );
            None
        }
        several => {
            to.error(
                value.place,
                format!("`{}` in one condition", several.join("` and `")),
                "wait for one after the other: make each a step of its own",
            );
            None
        }
    };
    fields.finish(to);
    condition
}

fn running(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<Condition> {
    let by = fields.take("by").map(|by| whom("`by`", by, to));
    let value = fields.take("running")?;
    if is_none(value) {
        if by.is_none() {
            to.error(
                value.place,
                "`running: none` does not say who sees it",
                "add `by: [n1]`: a paused node sees nobody running",
            );
        }
        return Some(Condition::Running {
            nodes: Whom::Nobody,
            by: by??,
        });
    }
    let nodes = whom("`running`", value, to);
    let by = by.unwrap_or_else(|| nodes.clone());
    Some(Condition::Running {
        nodes: nodes?,
        by: by?,
    })
}

fn is_none(value: &Value) -> bool {
    matches!(&value.kind, Kind::Scalar { text, .. } if text == "none")
}

fn leader(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<Condition> {
    let value = fields.take("leader")?;
    let leader = if matches!(value.kind, Kind::Sequence(_)) {
        Leader::Named(nodes("`leader`", value, to)?)
    } else {
        value.choice(
            "`leader` (unless it lists nodes, as `[n1, n2]`)",
            &[("any", Leader::Any), ("new", Leader::New)],
            to,
        )?
    };
    Some(Condition::Leader(leader))
}

fn alarm(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<Condition> {
    let alarms = [("memory", Alarm::Memory), ("disk", Alarm::Disk)];
    let of = fields.choice("alarm", &alarms, to);
    let on = fields.require("on", "[n1]", to);
    let on = on.and_then(|on| whom("`on`", on, to));
    Some(Condition::Alarm { of: of?, on: on? })
}

fn rate(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<Condition> {
    let value = fields.take("rate")?;
    let text = value.text("`rate`", to)?;
    match Takes::Percent.read(text) {
        Ok(Setting::Percent(share)) if share > 0.0 => Some(Condition::Rate(share)),
        Ok(_) | Err(_) => {
            to.error(
                value.place,
                format!("`rate` cannot be {}", crate::diagnostic::quoted(text)),
                "write a share of what it was before, such as `90%`",
            );
            None
        }
    }
}

fn whom(what: &str, value: &Value, to: &mut Collector<'_>) -> Option<Whom> {
    if matches!(value.kind, Kind::Sequence(_)) {
        return nodes(what, value, to).map(Whom::Named);
    }
    value.choice(
        &format!("{what} (unless it lists nodes, as `[n1, n2]`)"),
        &[
            ("all", Whom::All),
            ("leader", Whom::Leader),
            ("leader-side", Whom::LeaderSide),
            ("other-side", Whom::OtherSide),
            ("majority-side", Whom::MajoritySide),
            ("minority-side", Whom::MinoritySide),
        ],
        to,
    )
}

fn nodes(what: &str, value: &Value, to: &mut Collector<'_>) -> Option<Vec<NodeName>> {
    let names = names(what, value, to)?;
    if names.is_empty() {
        to.error(
            value.place,
            format!("{what} lists no node"),
            "name at least one node, such as `[n1]`",
        );
    }
    Some(names.into_iter().map(NodeName).collect())
}
