use std::fs::{self, File};
use std::os::unix::fs::symlink;

use jiff::Timestamp;

use super::gc::{Action, Decision, Policy, carry_out, plan};
use super::testing::{DAMAGED, INVALID, KILLED, VALID, made, runs};
use super::*;

fn all(path: &Path) -> Vec<RunSummary> {
    let runs = Runs::open(path).expect("runs");
    runs.summaries(&Filter::default()).expect("a list")
}

fn outcomes(path: &Path) -> Vec<(String, &'static str)> {
    let runs = all(path).into_iter();
    runs.map(|run| (run.run.clone(), run.outcome())).collect()
}

#[test]
fn runs_are_listed_newest_first_and_damage_is_told() {
    let directory = runs();
    let expected = [
        (KILLED, "unjudged"),
        (INVALID, "invalid"),
        (VALID, "valid"),
        (DAMAGED, "damaged"),
    ];
    let expected = expected.map(|(run, outcome)| (run.to_owned(), outcome));
    assert_eq!(outcomes(directory.path()), expected);
    let runs = all(directory.path());
    let [killed, invalid, valid, damaged] = runs.as_slice() else {
        panic!("{runs:?}");
    };
    assert!(
        killed
            .problem
            .as_deref()
            .is_some_and(|problem| problem.contains("`jtest check`"))
    );
    assert_eq!((invalid.lost, invalid.confirmed), (Some(6), Some(30)));
    assert_eq!((valid.lost, valid.seed), (Some(0), Some(1)));
    assert_eq!(valid.started, "2026-11-23T10:51:00Z");
    let problem = damaged.problem.as_deref().unwrap_or_default();
    assert!(
        problem.starts_with("results.json is damaged: EOF"),
        "{problem}"
    );
    assert_eq!(damaged.jtest_version.as_deref(), Some("0.1.0"));
}

#[test]
fn whatever_lies_around_never_stops_the_list() {
    let directory = runs();
    let path = directory.path();
    let whole = outcomes(path);
    fs::write(path.join("a-file"), "x").expect("a file");
    fs::create_dir_all(path.join("cut/notes/deep")).expect("a directory");
    symlink("/", path.join("root")).expect("a link");
    symlink("..", path.join("cut/20991231T235959Z")).expect("a link");
    assert_eq!(outcomes(path), whole, "what is no run is no run");

    let odd = |name: &str, file: &str, text: &[u8]| {
        fs::write(made(path, name).join(file), text).expect("a file");
    };
    odd("odd/20000101T000000Z", "run.json", b"[]");
    odd("odd/20000101T000001Z", "run.json", b"\xff\xfe");
    odd("odd/20000101T000002Z", "results.json", b"{}");
    made(path, "odd/20000101T000003Z/run.json");
    symlink(
        "/dev/zero",
        made(path, "odd/20000101T000004Z").join("run.json"),
    )
    .expect("a link");
    let huge = File::create(made(path, "odd/20000101T000005Z").join("run.json")).expect("a file");
    huge.set_len(1 << 40).expect("a long file");
    let pipe = made(path, "odd/20000101T000006Z").join("results.json");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    let deep = "[".repeat(100_000);
    odd("odd/20000101T000007Z", "run.json", deep.as_bytes());
    made(path, "odd/20000101T000008Z");
    let now = outcomes(path);
    assert_eq!(now[..4], whole);
    let damaged = now[4..].iter().filter(|(_, outcome)| *outcome == "damaged");
    assert_eq!((damaged.count(), now.len()), (8, 13), "{now:?}");
    assert_eq!(now[4], ("odd/20000101T000008Z".to_owned(), "unjudged"));
}

#[test]
fn a_run_that_goes_on_is_told() {
    let directory = runs();
    let handle = File::open(directory.path().join(KILLED)).expect("a directory");
    handle.try_lock().expect("a lock");
    assert_eq!(
        outcomes(directory.path())[0],
        (KILLED.to_owned(), "running")
    );
    drop(handle);
    assert_eq!(
        outcomes(directory.path())[0],
        (KILLED.to_owned(), "unjudged")
    );
}

#[test]
fn the_filter_finds_scenarios_and_verdicts() {
    let directory = runs();
    let runs = Runs::open(directory.path()).expect("runs");
    let found = |scenario: Option<&str>, verdict: Option<&str>| {
        let filter = Filter {
            scenario: scenario.map(str::to_owned),
            verdict: verdict.map(str::to_owned),
        };
        let runs = runs.summaries(&filter).expect("a list").into_iter();
        runs.map(|run| run.run).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("the"), None), [DAMAGED]);
    assert_eq!(found(None, Some("invalid")), [INVALID]);
    assert_eq!(found(Some("cut"), Some("damaged")), [""; 0]);
}

#[test]
fn two_runs_are_compared() {
    let directory = runs();
    let runs = Runs::open(directory.path()).expect("runs");
    let open = |run: &str| Dir::open(&directory.path().join(run)).expect("a run");
    let manifest = directory.path().join(INVALID).join("run.json");
    let text = fs::read_to_string(&manifest).expect("run.json");
    fs::write(
        &manifest,
        text.replace("\"seed\": 1", "\"seed\": 9")
            .replace("\"window\": ", "\"window\": 1"),
    )
    .expect("run.json");
    let compared =
        diff::diff([(VALID, &open(VALID)), (INVALID, &open(INVALID))]).expect("a comparison");
    let setup: Vec<_> = compared.setup.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(setup, ["seed", "workload.window"]);
    let values = |name: &str| {
        let row = compared
            .results
            .iter()
            .find(|row| row.name == name)
            .expect(name);
        row.values.each_ref().map(ToString::to_string)
    };
    assert_eq!(values("verdict"), ["\"valid\"", "\"invalid\""]);
    assert_eq!(values("total_queue.lost"), ["0", "6"]);
    assert_eq!(values("coverage.faults_proven_and_undone"), ["1", "1"]);
    assert_eq!(values("evidence.drain_complete"), ["true", "true"]);

    let refused =
        |run: &str| diff::diff([(VALID, &open(VALID)), (run, &open(run))]).expect_err("a refusal");
    assert!(
        refused(KILLED).starts_with("cut/20261124T110000Z: results.json is missing"),
        "{}",
        refused(KILLED)
    );
    assert!(
        refused(DAMAGED).contains("results.json is damaged"),
        "{}",
        refused(DAMAGED)
    );
    assert_eq!(runs.names().expect("names").len(), 4);
}

const ALL: Policy = Policy {
    keep_last: 0,
    older_than: None,
    keep_invalid: false,
};

fn decided(path: &Path, policy: &Policy) -> Vec<Decision> {
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
    plan(&Runs::open(path).expect("runs"), policy, now).expect("a plan")
}

fn removable(path: &Path, policy: &Policy) -> Vec<String> {
    let decisions = decided(path, policy).into_iter();
    let removed = decisions.filter(|decision| decision.action == Action::Remove);
    removed.map(|decision| decision.run).collect()
}

#[test]
fn old_runs_are_chosen() {
    let directory = runs();
    let path = directory.path();
    let hours = |hours: u64| Some(std::time::Duration::from_secs(hours * 3600));
    assert_eq!(removable(path, &ALL), [KILLED, INVALID, VALID, DAMAGED]);
    for (policy, expected) in [
        (
            Policy {
                keep_last: 1,
                ..ALL
            },
            &[INVALID, VALID][..],
        ),
        (
            Policy {
                keep_last: 2,
                ..ALL
            },
            &[VALID],
        ),
        (
            Policy {
                keep_invalid: true,
                ..ALL
            },
            &[KILLED, VALID, DAMAGED],
        ),
        (
            Policy {
                older_than: hours(24),
                ..ALL
            },
            &[VALID, DAMAGED],
        ),
        (
            Policy {
                older_than: hours(24),
                keep_last: 1,
                ..ALL
            },
            &[VALID],
        ),
        (
            Policy {
                older_than: hours(24 * 365),
                ..ALL
            },
            &[],
        ),
    ] {
        assert_eq!(removable(path, &policy), expected, "{policy:?}");
    }
    let running = File::open(path.join(KILLED)).expect("a directory");
    running.try_lock().expect("a lock");
    assert_eq!(removable(path, &ALL), [INVALID, VALID, DAMAGED]);
}

#[test]
fn only_runs_are_removed_and_links_are_not_followed() {
    let directory = runs();
    let path = directory.path();
    let outside = tempfile::tempdir().expect("a directory");
    let precious = outside.path().join("cut/20200101T000000Z");
    fs::create_dir_all(&precious).expect("a directory");
    fs::write(precious.join("run.json"), "mine").expect("a file");
    symlink(outside.path().join("cut"), path.join("linked")).expect("a link");
    symlink(&precious, path.join("cut/20200101T000000Z")).expect("a link");
    symlink(&precious, path.join(VALID).join("nodes/n1/log/link")).expect("a link");
    fs::write(path.join(DAMAGED).join("notes.txt"), "mine").expect("a file");
    fs::create_dir_all(path.join("cut/not-a-time")).expect("a directory");
    symlink(&precious, made(path, "odd/20200101T000000Z").join("nodes")).expect("a link");
    fs::write(path.join("odd/20200101T000000Z/run.json"), "").expect("a file");

    let mut decisions = decided(path, &ALL);
    let kept: Vec<_> = decisions
        .iter()
        .filter_map(|decision| decision.why.as_deref())
        .collect();
    assert_eq!(
        kept,
        [
            "notes.txt in it is not a run's; remove it by hand",
            "nodes in it is not a run's; remove it by hand"
        ]
    );
    let running = File::open(path.join(KILLED)).expect("a directory");
    running.try_lock().expect("a lock");
    carry_out(&Runs::open(path).expect("runs"), &mut decisions);
    let failed: Vec<_> = decisions
        .iter()
        .filter(|decision| decision.action == Action::Failed)
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0].run.as_str(), failed[0].why.as_deref()),
        (KILLED, Some("it is running"))
    );
    let left: Vec<_> = all(path).into_iter().map(|run| run.run).collect();
    assert_eq!(left, [KILLED, DAMAGED, "odd/20200101T000000Z"]);
    assert_eq!(
        fs::read_to_string(precious.join("run.json")).expect("a file"),
        "mine"
    );
    assert!(path.join("cut/not-a-time").is_dir() && path.join("linked").is_symlink());
    let latest = fs::read_link(path.join("latest")).expect("a link");
    assert_eq!(
        latest.to_str(),
        Some(KILLED),
        "it points to the newest that is left"
    );
}

#[test]
fn what_no_run_collects_keeps_its_directory() {
    let directory = runs();
    let path = directory.path();
    let foreign = path.join(VALID).join("nodes/n1/chapter1.tex");
    fs::write(foreign, "mine").expect("a file");
    let decisions = decided(path, &ALL);
    let decision = decisions.iter().find(|decision| decision.run == VALID);
    let decision = decision.expect("a decision");
    assert_eq!(decision.action, Action::Keep);
    assert_eq!(
        decision.why.as_deref(),
        Some("nodes/n1/chapter1.tex in it is not a run's; remove it by hand")
    );
}

#[test]
fn a_scenario_without_runs_goes_with_them() {
    let directory = runs();
    let path = directory.path();
    let mut decisions = decided(path, &ALL);
    carry_out(&Runs::open(path).expect("runs"), &mut decisions);
    assert!(
        decisions
            .iter()
            .all(|decision| decision.action == Action::Removed),
        "{decisions:?}"
    );
    assert_eq!(fs::read_dir(path).expect("the directory").count(), 0);
}
