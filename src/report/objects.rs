//! Objects that are not where they should be, for a terminal.

use std::fmt::{self, Write};

use super::terminal::{EXAMPLES_MAX, seconds, wrapped};
use crate::check::metadata::{BrokenObject, ChangeTimes, Metadata};
use crate::history::operation::{Action, Phase};
use crate::inventory::NodeName;

/// The counts, and the first objects.
pub(super) fn write(out: &mut String, metadata: &Metadata) -> fmt::Result {
    writeln!(
        out,
        "The objects: {} made, {} removed; {} changes refused, {} without an answer",
        metadata.created, metadata.deleted, metadata.refused, metadata.unknown
    )?;
    for broken in metadata.broken.iter().take(EXAMPLES_MAX) {
        wrapped(out, &line(broken))?;
    }
    writeln!(out)
}

fn line(broken: &BrokenObject) -> String {
    let changes: Vec<String> = broken.changes.iter().map(change).collect();
    let mut line = format!(
        "{} {}: {}",
        broken.kind.word(),
        broken.name,
        changes.join(", ")
    );
    for (side, nodes) in [("on", &broken.on), ("not on", &broken.not_on)] {
        if !nodes.is_empty() {
            line += &format!("; {side} {}", names(nodes));
        }
    }
    line
}

fn change(change: &ChangeTimes) -> String {
    let what = if change.action == Action::Delete {
        "removed"
    } else {
        "made"
    };
    let outcome = match change.outcome {
        Phase::Ok => "confirmed",
        Phase::Fail => "refused",
        Phase::Invoke | Phase::Info => "nobody knows",
    };
    let node = change.node.as_ref().map_or("?", |node| node.0.as_str());
    let from = seconds(change.from_ns);
    format!("{what} through {node} from {from} ({outcome})")
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::object::ObjectKind;

    #[test]
    fn an_object_is_told_with_its_life() {
        let node = |name: &str| NodeName(name.to_owned());
        let metadata = Metadata {
            created: 4,
            deleted: 1,
            unknown: 2,
            missing: 1,
            disagreements: 1,
            broken: vec![BrokenObject {
                kind: ObjectKind::Vhost,
                name: "jtest.metadata.0.5".to_owned(),
                must_be: Some(true),
                changes: vec![ChangeTimes {
                    action: Action::Create,
                    node: Some(node("n1")),
                    from_ns: 2_000_000_000,
                    until_ns: Some(2_100_000_000),
                    outcome: Phase::Ok,
                }],
                on: vec![node("n1")],
                not_on: vec![node("n2"), node("n3")],
            }],
            ..Metadata::default()
        };
        let mut text = String::new();
        write(&mut text, &metadata).unwrap();
        insta::assert_snapshot!(text, @r"
        The objects: 4 made, 1 removed; 0 changes refused, 2 without an answer
          vhost jtest.metadata.0.5: made through n1 from 2.0 s (confirmed); on n1; not
            on n2 n3
        ");
    }
}
