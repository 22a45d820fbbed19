//! `docs/results.schema.json` against the types, and results against the schema.

use jsonschema::Validator;
use serde_json::{Value as Json, json};

use super::Verdict;
use super::fifo::{FalseEmpty, Fifo, Overtaking};
use super::judge::{judge, to_json};
use super::lock::{HoldTimes, Lock, Overlap};
use super::results::{AwaitCoverage, Finding, LogPattern, LostValue, Results, Value};
use super::testing::Run;
use super::window::Window;
use crate::inventory::NodeName;
use crate::scenario::Checker;
use crate::schedule::{AwaitId, FaultId};

const SCHEMA: &str = "docs/results.schema.json";

/// With this in the environment the file is made again.
const WRITE: &str = "JTEST_WRITE_SCHEMA";

fn from_types() -> String {
    let mut schema = schemars::schema_for!(Results).to_value();
    let about = "https://json-schema.org/draft/2020-12/schema";
    assert_eq!(
        schema["$schema"], about,
        "the draft that docs/results.md names"
    );
    as_prose(&mut schema);
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

/// Links of the code's documentation lead nowhere in a schema.
fn as_prose(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Json::String(text) if name == "description" => {
                        *text = text
                            .replace("[`LISTED_MAX`]", &super::results::LISTED_MAX.to_string())
                            .replace(
                                "[`crate::manifest::FORMAT_VERSION`] of the run directory",
                                "Of the run directory",
                            )
                            .replace("[`", "`")
                            .replace("`]", "`")
                            .replace('\n', " ");
                    }
                    value => as_prose(value),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(as_prose),
        _ => {}
    }
}

fn validator() -> Validator {
    let schema = serde_json::from_str(&from_types()).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn check(validator: &Validator, results: &Results) {
    let bytes = to_json(results).expect("JSON");
    let value: Json = serde_json::from_slice(&bytes).expect("JSON");
    let errors: Vec<_> = validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}

#[test]
fn the_schema_is_that_of_the_types() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA);
    let made = from_types();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &made).expect(SCHEMA);
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "{SCHEMA} is not what the types of results.json say; if they were meant to change, tell it in \
         docs/results.md and make the schema again: {WRITE}=1 cargo test --lib the_schema_is_that_of_the_types"
    );
}

#[test]
fn judged_runs_are_valid() {
    let validator = validator();
    let log = b"2026-11-23 10:51:05+00:00 [info] <0.1.0> node rabbit@n2 down: net_tick_timeout\n";
    for run in [
        Run::default(),
        Run {
            lost: 4..6,
            log,
            ..Run::default()
        },
        Run {
            lost: 4..6,
            drained: false,
            ..Run::default()
        },
        Run {
            load_from_s: 9,
            ..Run::default()
        },
    ] {
        check(&validator, &judge(run.write().path()).expect("results"));
    }
}

#[test]
fn everything_that_results_can_hold_is_valid() {
    let lost = Run {
        lost: 4..6,
        ..Run::default()
    };
    let mut results = judge(lost.write().path()).expect("results");
    let value = Value {
        producer: 1,
        sequence: 2,
    };
    let node = NodeName("n1".into());
    results.findings.lock = Some(finding(Lock {
        overlapping: vec![Overlap {
            held: hold(None, None),
            also: hold(Some(node.clone()), Some(7)),
        }],
        ..Lock::default()
    }));
    results.findings.fifo = Some(finding(Fifo {
        overtaken: vec![Overtaking {
            value,
            enqueued_ns: 1,
            by: value,
            by_enqueued_from_ns: 2,
            by_dequeued_ns: 3,
            dequeued_from_ns: None,
        }],
        falsely_empty: vec![FalseEmpty {
            from_ns: 1,
            until_ns: 2,
            inside: value,
        }],
        early_values: vec![value],
        ..Fifo::default()
    }));
    results.coverage.data.awaits = vec![AwaitCoverage {
        condition: AwaitId(1),
        description: "all".into(),
        fault: Some(FaultId(1)),
        began_ns: Some(1),
        ended_ns: None,
        came: false,
        evidence: vec!["none".into()],
    }];
    results.reported = vec![Checker::TotalQueue];
    let windows = [
        Window::Before,
        Window::During(FaultId(1)),
        Window::After(FaultId(1)),
    ];
    let lost = windows.map(|window| LostValue {
        value,
        attempt: 0,
        node: node.clone(),
        published_ns: None,
        confirmed_ns: 1,
        window,
    });
    results.total_queue.data.lost_values = lost.into();
    results
        .evidence
        .data
        .failed_stages
        .insert("load".into(), "no".into());
    check(&validator(), &results);
}

#[test]
fn what_results_never_hold_is_not_valid() {
    let results = judge(
        Run {
            lost: 4..6,
            ..Run::default()
        }
        .write()
        .path(),
    )
    .expect("results");
    let whole = serde_json::to_value(&results).expect("JSON");
    let validator = validator();
    assert!(validator.is_valid(&whole));
    for (place, value) in [
        ("/verdict", json!("maybe")),
        ("/seed", json!("1")),
        ("/total_queue/data/lost", json!(-1)),
        ("/total_queue/data/losses/0/window", json!({"amid": 1})),
        ("/coverage/data/faults/0/proven", json!(null)),
        ("/evidence", json!({})),
        ("/total_queue/data/producers/0/ok", json!("many")),
    ] {
        let mut broken = whole.clone();
        *broken.pointer_mut(place).expect(place) = value;
        assert!(!validator.is_valid(&broken), "{place}");
    }
    let patterns = serde_json::to_string(&LogPattern::AutohealDecision).expect("JSON");
    assert!(from_types().contains(&patterns));
}

fn finding<T>(data: T) -> Finding<T> {
    Finding {
        verdict: Verdict::Unknown,
        summary: "a summary".into(),
        data,
    }
}

fn hold(node: Option<NodeName>, until_ns: Option<i64>) -> HoldTimes {
    HoldTimes {
        process: 1,
        node,
        from_ns: 1,
        until_ns,
    }
}
