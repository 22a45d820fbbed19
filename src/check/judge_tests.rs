use std::fs;

use proptest::prelude::*;

use super::*;
use crate::check::testing::{Run, names};
use crate::history::operation::Phase;
use crate::history::recorder::Recorder;
use crate::manifest::MANIFEST_FILE;
use crate::synth::{Defect, Shape, Synth};

const FILES: [&str; 3] = [MANIFEST_FILE, EVENTS_FILE, HISTORY_FILE];

#[test]
fn the_three_verdicts() {
    let verdict = |run: Run<'_>| judge(run.write().path()).map(|results| results.verdict);
    assert!(matches!(verdict(Run::default()), Ok(Verdict::Valid)));
    let lost = Run {
        lost: 4..6,
        ..Run::default()
    };
    assert!(matches!(verdict(lost), Ok(Verdict::Invalid)));
    let undrained = Run {
        lost: 4..6,
        drained: false,
        ..Run::default()
    };
    assert!(matches!(verdict(undrained), Ok(Verdict::Unknown)));
}

#[test]
fn a_run_that_ended_before_its_load_is_unknown_and_says_where() {
    let deploy = |began: bool| match began {
        true => Event::StageBegan {
            stage: Stage::Deploy,
        },
        false => Event::StageEnded {
            stage: Stage::Deploy,
            error: Some("n4: no space left\nE: dpkg\n".into()),
        },
    };
    for (events, reason) in [
        (vec![], "load: it never began; "),
        (
            vec![deploy(true)],
            "deploy: the run ended in the middle of it; ",
        ),
        (
            vec![deploy(true), deploy(false)],
            "deploy: n4: no space left; E: dpkg; ",
        ),
    ] {
        let directory = Run::default().write();
        let path = directory.path();
        let lines: Vec<_> = events
            .into_iter()
            .map(|event| serde_json::to_string(&Record { time: 1, event }).expect("JSON") + "\n")
            .collect();
        fs::write(path.join(EVENTS_FILE), lines.concat()).expect("events.jsonl");
        let (_, recording) =
            Recorder::create(&path.join(HISTORY_FILE), &names(), "cafe").expect("history.arrow");
        recording.finish().expect("an empty history");
        let results = judge(path).expect("results");
        assert_eq!(results.verdict, Verdict::Unknown);
        assert_eq!(results.total_queue.data.lost, None);
        let whole = format!("evidence is missing: {reason}the drain is not proven complete");
        assert_eq!(results.reasons[0], whole);
    }
}

#[test]
fn a_load_that_failed_after_confirms_does_not_come_before_what_they_show() {
    let undrained = Run {
        drained: false,
        ..Run::default()
    };
    let directory = undrained.write();
    let path = directory.path().join(EVENTS_FILE);
    let failed = Record {
        time: 1,
        event: Event::StageEnded {
            stage: Stage::Load,
            error: Some("a client panicked".into()),
        },
    };
    let events = fs::read_to_string(&path).expect("events.jsonl");
    let failed = serde_json::to_string(&failed).expect("JSON");
    fs::write(&path, format!("{events}{failed}\n")).expect("events.jsonl");
    let reasons = judge(directory.path()).expect("results").reasons;
    assert!(
        reasons[0].starts_with("whether messages were lost is not known"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("load: a client panicked"),
        "{reasons:?}"
    );
}

#[test]
fn a_fault_without_load_under_it_proves_nothing() {
    let idle = Run {
        load_from_s: 9,
        ..Run::default()
    };
    let results = judge(idle.write().path()).expect("results");
    assert_eq!(results.verdict, Verdict::Unknown);
    assert_eq!(results.coverage.data.faults[0].operations, 0);
    assert_eq!(
        results.reasons,
        ["not all faults were exercised: no client began or ended anything during fault 1"]
    );
    let results = judge(Run::default().write().path()).expect("results");
    assert!(results.coverage.data.faults[0].operations > 0);
}

#[test]
fn the_same_directory_gives_the_same_bytes() {
    let run = Run {
        lost: 4..6,
        log: b"2026-11-23 10:51:05+00:00 [info] <0.1.0> node rabbit@n2 down: net_tick_timeout\n",
        ..Run::default()
    };
    let directory = run.write();
    let bytes = || to_json(&judge(directory.path()).expect("results")).expect("JSON");
    let first = bytes();
    fs::write(directory.path().join(RESULTS_FILE), &first).expect("results.json");
    assert_eq!(first, bytes());
    assert!(String::from_utf8_lossy(&first).contains("net_tick_timeout"));
}

#[test]
fn logs_never_make_a_verdict() {
    let directory = Run::default().write();
    let mut with = judge(directory.path()).expect("results");
    fs::remove_dir_all(directory.path().join("nodes")).expect("logs to remove");
    let without = judge(directory.path()).expect("results");
    with.logs = Default::default();
    assert_eq!(with, without);
}

#[test]
fn another_version_is_refused_with_the_remedy() {
    let directory = Run::default().write();
    let path = directory.path().join(MANIFEST_FILE);
    let text = fs::read_to_string(&path).expect("run.json");
    let newer = text.replacen("\"format_version\": 4", "\"format_version\": 9", 1);
    fs::write(&path, newer).expect("run.json");
    let error = judge(directory.path()).expect_err("a refusal").to_string();
    assert!(
        error.ends_with(
            "run.json has format version 9, this jtest reads 4; use the jtest that made the run"
        ),
        "{error}"
    );
}

#[test]
fn a_run_cut_off_anywhere_is_never_valid() {
    let directory = Run::default().write();
    for (file, end) in [(EVENTS_FILE, "\"event\":\"drained\""), (HISTORY_FILE, "")] {
        let path = directory.path().join(file);
        let whole = fs::read(&path).expect("a file");
        let needed = String::from_utf8_lossy(&whole)
            .find(end)
            .filter(|at| *at > 0)
            .unwrap_or(whole.len());
        for length in (0..needed).step_by(7).chain(needed - 9..needed) {
            fs::write(&path, &whole[..length]).expect("a shorter file");
            if let Ok(results) = judge(directory.path()) {
                assert_eq!(
                    results.verdict,
                    Verdict::Unknown,
                    "{file} of {length} bytes"
                );
            }
        }
        fs::write(&path, &whole).expect("the whole file");
    }
    let results = judge(directory.path()).expect("results");
    assert_eq!(results.verdict, Verdict::Valid);
}

#[test]
fn a_file_without_end_is_refused() {
    for file in FILES {
        let directory = Run::default().write();
        let path = directory.path().join(file);
        fs::remove_file(&path).expect("a file to remove");
        std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
        let error = judge(directory.path()).expect_err("a refusal").to_string();
        assert!(error.contains("a pipe or a device"), "{error}");
    }
    let directory = Run::default().write();
    let manifest = fs::File::create(directory.path().join(MANIFEST_FILE)).expect("run.json");
    manifest.set_len(1 << 40).expect("a large file");
    let error = judge(directory.path()).expect_err("a refusal").to_string();
    assert!(error.contains("is larger than"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_panics(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..4),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let directory = Run { lost: 4..6, ..Run::default() }.write();
        let path = directory.path().join(FILES[file]);
        let mut bytes = fs::read(&path).expect("a file");
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        fs::write(&path, &bytes).expect("a damaged file");
        if let Ok(results) = judge(directory.path()) {
            to_json(&results).expect("JSON");
        }
    }
}

#[test]
fn a_history_that_was_changed_is_never_judged_valid_or_invalid() {
    let synth = |defect| Synth {
        shape: Shape::Queue,
        operations: 40,
        defect,
        seed: 3,
    };
    let lost = Some((Defect::Lost, 1));
    for defect in [None, lost] {
        let directory = tempfile::tempdir().expect("a directory");
        synth(defect).write(directory.path()).expect("a run");
        let path = directory.path().join(HISTORY_FILE);
        let whole = fs::read(&path).expect("history.arrow");
        let before = judge(directory.path()).expect("results").verdict;
        assert_eq!(before == Verdict::Valid, defect.is_none());
        let mut judged = 0;
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("history.arrow");
            if let Ok(results) = judge(directory.path()) {
                judged += 1;
                assert_eq!(results.verdict, Verdict::Unknown, "byte {at}");
                assert_eq!(results.total_queue.data.lost, None, "byte {at}");
            }
        }
        assert!(judged > 10, "{judged}");
    }
}

#[test]
fn publishes_that_end_without_having_begun_are_damage() {
    let directory = Run::default().write();
    let path = directory.path().join(HISTORY_FILE);
    let (recorder, guard) = Recorder::create(&path, &names(), "cafe").expect("history.arrow");
    recorder.record(Entry {
        phase: Phase::Ok,
        ..Default::default()
    });
    guard.finish().expect("the history's end");
    let results = judge(directory.path()).expect("results");
    assert_eq!(results.verdict, Verdict::Unknown);
    assert_eq!(results.evidence.data.damage.len(), 1);
    assert_eq!(results.total_queue.data.lost, None);
}
