//! What must survive: signals, `kill -9`, a dead node, a second jtest.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use jtest::check::judge::HISTORY_FILE;
use jtest::history::reader::Reader;
use jtest::manifest::Manifest;
use serde_json::Value;

use crate::lab::{Lab, Running, eventually, finish};
use crate::verdicts::{SHORT, UNTIL_CUT, assert_left_a_verdict, assert_left_everything, results};

const LEASE: Duration = Duration::from_secs(20);

/// A cut that no test waits for the end of.
const LONG: &[&str] = &[
    "--set",
    "schedule.0.at=3s",
    "--set",
    "schedule.0.duration=5m",
];

fn start_and_await_cut(lab: &Lab, more: &[&str]) -> Running {
    let arguments = [&["--scenario", "mirrored-autoheal"], SHORT, LONG, more].concat();
    let mut running = Running::start(lab, lab.jtest("run", &arguments));
    running.await_printed("fault 1: injected", UNTIL_CUT);
    running
}

/// What a run judged that did not come to its drain: unknown, and never a count of losses.
fn assert_unknown(directory: &Path, stage: &str, why: &str) -> Value {
    let results = results(directory);
    assert_eq!(results["verdict"], "unknown");
    assert!(
        results["total_queue"]["data"]["lost"].is_null(),
        "{results:#}"
    );
    let told = &results["evidence"]["data"]["failed_stages"][stage];
    assert_eq!(told.as_str(), Some(why), "{results:#}");
    results
}

/// When the history's last entry was made, since the run's begin; and whether it was written to its end.
fn end_of_history(directory: &Path) -> (Duration, bool) {
    let mut reader = Reader::open(&directory.join(HISTORY_FILE)).unwrap();
    let mut last = 0;
    while let Some(batch) = reader.next_batch().unwrap() {
        last = last.max(*batch.times().last().unwrap());
    }
    let last = Duration::from_nanos(u64::try_from(last).unwrap());
    (last, reader.is_complete())
}

/// Whether anything of jtest's is left on any host: chains, the hold, the lease.
fn has_traces(lab: &Lab) -> bool {
    let traces = lab.on_all(
        "iptables-save | grep -c JTEST; ls /run/jtest/hold* 2>/dev/null; systemctl list-timers --all --plain --no-legend | grep jtest; true",
    );
    traces.iter().any(|traces| traces.trim() != "0")
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn one_signal_heals_collects_and_judges_and_a_second_jtest_is_refused_meanwhile() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let mut running = start_and_await_cut(&lab, &[]);

    let run = lab.latest();

    let (code, printed) = finish(&lab, lab.jtest("run", SHORT));
    assert_eq!(code, Some(254), "{printed}");
    assert!(printed.contains(&running.id().to_string()), "{printed}");
    let refused = lab.latest();
    assert_ne!(refused, run);
    let told = results(&refused)["reasons"].to_string();
    assert!(
        told.contains("connect: ") && told.contains("is held by"),
        "{told}"
    );
    assert_left_a_verdict(&refused);

    running.signal("INT");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(!has_traces(&lab));
    assert_eq!(before, lab.firewalls());
    assert_unknown(&run, "load", "interrupted");
    assert!(end_of_history(&run).1);
    assert_left_everything(&lab, &run);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn two_signals_heal_and_go() {
    let lab = Lab::hold();
    let mut running = start_and_await_cut(&lab, &[]);
    running.signal("TERM");
    running.await_printed("SIGTERM", Duration::from_secs(10));
    running.signal("TERM");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(!has_traces(&lab));
    assert_unknown(&lab.latest(), "load", "interrupted");
    assert!(end_of_history(&lab.latest()).1);
    assert_left_a_verdict(&lab.latest());
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn killed_in_mid_cut_the_hosts_heal_themselves_and_the_history_is_judged() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let lease = LEASE.as_secs().to_string() + "s";
    let mut running = start_and_await_cut(&lab, &["--lease", &lease]);
    let killed = SystemTime::now();
    running.signal("KILL");
    running.end();
    eventually(
        "every host heals itself",
        LEASE + Duration::from_secs(15),
        || !has_traces(&lab),
    );
    assert_eq!(before, lab.firewalls());

    let run = lab.latest();
    let started = Manifest::read(&run).unwrap().started;
    let started: jiff::Timestamp = started.parse().unwrap();
    let killed = killed.duration_since(started.into()).unwrap();
    let (last, is_complete) = end_of_history(&run);
    assert!(!is_complete);
    assert!(
        last + Duration::from_secs(1) > killed,
        "killed at {killed:?}, and the history ends at {last:?}"
    );
    let mut check = Command::new(env!("CARGO_BIN_EXE_jtest"));
    check.arg("check").arg(&run);
    let (code, printed) = finish(&lab, check);
    assert_eq!(code, Some(2), "{printed}");
    let results = assert_unknown(&run, "load", "the run ended in the middle of it");
    assert!(results["total_queue"]["data"]["confirmed"].as_u64() > Some(0));
    assert_left_a_verdict(&run);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn heal_undoes_everything_from_any_state_and_is_safe_twice() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let mut running = start_and_await_cut(&lab, &["--lease", "5m"]);
    running.signal("KILL");
    running.end();
    for _ in 0..2 {
        let (code, printed) = finish(&lab, lab.jtest("heal", &[]));
        assert_eq!(code, Some(0), "{printed}");
        assert!(!has_traces(&lab));
        assert_eq!(before, lab.firewalls());
    }
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_node_that_loses_power_in_the_run_makes_the_verdict_unknown_at_most() {
    let lab = Lab::hold();
    // Whatever a dead host is asked for is tried again for as long as its lease.
    let lease = ["--lease", "20s"];
    let arguments = [&["--scenario", "mirrored-autoheal"], SHORT, &lease[..]].concat();
    let mut running = Running::start(&lab, lab.jtest("run", &arguments));
    running.await_printed("fault 1: injected", UNTIL_CUT);
    lab.script(&["stop", "3"]);
    let (status, printed) = running.end();
    lab.script(&["start", "3"]);
    assert_eq!(status.code(), Some(2), "{printed}");
    let directory = lab.latest();
    assert_left_a_verdict(&directory);
    assert!(end_of_history(&directory).1);
    assert!(directory.join("nodes/n1/log").exists());
    assert!(!has_traces(&lab));
}
