//! What an event says in a line, with its time.

use crate::diagnostic::{on_one_line, visible};
use crate::event::{Event, Record};
use crate::history::operation::Nanos;

/// What one event says in a line; `None` for what only moves the status.
pub(super) fn line(record: &Record) -> Option<String> {
    let text = match &record.event {
        Event::StageBegan { stage } => format!("{stage}"),
        Event::StageEnded { stage, error } => format!("{stage} failed: {}", error.as_ref()?),
        Event::Intervened { node, what } => format!("  {node}: {what}"),
        Event::Note { node, text } => match node {
            Some(node) => format!("  {node}: {text}"),
            None => format!("  {text}"),
        },
        Event::FaultAsked {
            fault,
            kind,
            description,
            ..
        } => format!("  fault {}: {kind} {description}", fault.0),
        Event::FaultInjected {
            fault,
            first,
            last,
            spread_us,
        } => {
            let spread = spread_us.map_or_else(
                || format!("within {:.1} ms", (last - first) as f64 / 1e6),
                |us| format!("spread {:.1} ms", us as f64 / 1e3),
            );
            format!("  fault {}: injected, {spread}", fault.0)
        }
        Event::FaultProven { fault, proof } => format!(
            "  fault {}: {}",
            fault.0,
            proof_text(proof.proven, "proven", "NOT PROVEN", &proof.evidence)
        ),
        Event::FaultIdle { fault, evidence } => format!(
            "  fault {}: nothing to do: {}",
            fault.0,
            evidence.join("; ")
        ),
        Event::FaultHealed { fault, proof, .. } => format!(
            "  fault {}: {}",
            fault.0,
            proof_text(
                proof.proven,
                "healed",
                "heal asked, NOT PROVEN",
                &proof.evidence
            )
        ),
        Event::FaultFailed { fault, error } => format!("  fault {}: failed: {error}", fault.0),
        Event::AwaitBegan {
            description,
            within,
            ..
        } => format!("  waiting up to {} s for {description}", within.as_secs()),
        Event::AwaitEnded { proof, .. } => format!(
            "  {}",
            proof_text(
                proof.proven,
                "it came",
                "it DID NOT COME, the schedule ends here",
                &proof.evidence
            )
        ),
        Event::Drained { proof } => format!(
            "  drain {}",
            proof_text(
                proof.complete,
                "proven complete",
                "NOT PROVEN COMPLETE",
                &proof.evidence
            )
        ),
        Event::Interrupted { by } => {
            format!("{by}: healing, collecting, judging (once more: heal and go)")
        }
        Event::ClusterView { .. }
        | Event::ClockMeasured { .. }
        | Event::HistoryEnded { .. }
        | Event::Progress { .. } => return None,
    };
    Some(format!(
        "{} {}",
        stamp(record.time),
        visible(&on_one_line(&text))
    ))
}

fn proof_text(proven: bool, yes: &str, no: &str, evidence: &[String]) -> String {
    let word = if proven { yes } else { no };
    evidence
        .first()
        .map_or_else(|| word.to_owned(), |first| format!("{word}: {first}"))
}

pub(super) fn stamp(time: Nanos) -> String {
    format!("[{:>7.1}s]", time as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Proof, Stage};
    use crate::inventory::NodeName;
    use crate::schedule::FaultId;

    fn check(event: Event, expected: Option<&str>) {
        let record = Record {
            time: 12_345_678_901,
            event,
        };
        assert_eq!(line(&record).as_deref(), expected);
    }

    #[test]
    fn events_as_lines() {
        check(
            Event::StageBegan {
                stage: Stage::Deploy,
            },
            Some("[   12.3s] deploy"),
        );
        check(
            Event::FaultProven {
                fault: FaultId(2),
                proof: Proof {
                    proven: false,
                    evidence: vec!["no packet was dropped".into()],
                },
            },
            Some("[   12.3s]   fault 2: NOT PROVEN: no packet was dropped"),
        );
        check(
            Event::Note {
                node: Some(NodeName("n1".into())),
                text: "evil \u{1b}[2J\ntext".into(),
            },
            Some("[   12.3s]   n1: evil \\u{1b}[2J; text"),
        );
        check(
            Event::StageEnded {
                stage: Stage::Deploy,
                error: None,
            },
            None,
        );
        check(
            Event::StageEnded {
                stage: Stage::Connect,
                error: Some("2 hosts cannot be used:\n  n1: no\n  n2: no\n".into()),
            },
            Some("[   12.3s] connect failed: 2 hosts cannot be used: n1: no; n2: no"),
        );
    }
}
