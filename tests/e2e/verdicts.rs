//! Whole runs: a valid one, a loss, and what they leave.

use std::path::Path;

use serde_json::Value;

use crate::lab::{Lab, finish};

/// One cut that is long enough to be noticed at this ticktime, and short enough for a test.
pub const SHORT: &[&str] = &[
    "--set",
    "cluster.net_ticktime=5s",
    "--set",
    "schedule.0.at=5s",
    "--set",
    "schedule.0.duration=25s",
];

fn results(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_cut_of_the_leader_loses_confirmed_messages_under_autoheal_and_none_of_a_quorum_queue() {
    let lab = Lab::hold();
    let before = lab.firewalls();

    let arguments = [&["--scenario", "mirrored-autoheal", "--seed", "7"], SHORT].concat();
    let (code, printed) = finish(&lab, lab.jtest("run", &arguments));
    assert_eq!(code, Some(1), "{printed}");
    let lost = results(&lab.latest());
    assert_eq!(lost["verdict"], "invalid");
    assert!(lost["total_queue"]["data"]["lost"].as_u64().unwrap() > 0);
    assert!(
        !lost["total_queue"]["data"]["losses"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(lost["coverage"]["verdict"], "valid", "{lost:#}");
    assert_left_everything(&lab);

    let arguments = [&arguments[..], &["--set", "queue.type=quorum"]].concat();
    let (code, printed) = finish(&lab, lab.jtest("run", &arguments));
    assert_eq!(code, Some(0), "{printed}");
    let kept = results(&lab.latest());
    assert_eq!(kept["verdict"], "valid");
    assert_eq!(kept["total_queue"]["data"]["lost"], 0);
    assert_eq!(kept["coverage"]["verdict"], "valid", "{kept:#}");
    assert_left_everything(&lab);

    assert_eq!(before, lab.firewalls());
}

fn assert_fits_the_schema(results: &Value) {
    let schema = serde_json::from_str(include_str!("../../docs/results.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(results).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Everything that a run leaves is there, and judging it again gives the same bytes.
fn assert_left_everything(lab: &Lab) {
    let directory = lab.latest();
    for file in [
        "run.json",
        "history.arrow",
        "events.jsonl",
        "results.json",
        "junit.xml",
        "report.html",
        "jtest.log",
    ] {
        let length = std::fs::metadata(directory.join(file)).map_or(0, |file| file.len());
        assert!(length > 0, "{file}");
    }
    for entry in std::fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(jtest::run_dir::FILES.contains(&name.as_str()), "{name}");
    }
    assert_fits_the_schema(&results(&directory));
    for host in 1..=5 {
        let node = directory.join(format!("nodes/n{host}"));
        let files = std::fs::read_dir(&node).unwrap().count();
        assert!(files > 0, "{}", node.display());
    }
    let judged = std::fs::read(directory.join("results.json")).unwrap();
    let verdict = results(&directory)["verdict"].as_str().unwrap().to_owned();
    let (code, printed) = {
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_jtest"));
        check.arg("check").arg(&directory);
        finish(lab, check)
    };
    assert_eq!(code, Some(i32::from(verdict != "valid")), "{printed}");
    assert_eq!(
        judged,
        std::fs::read(directory.join("results.json")).unwrap()
    );
}
