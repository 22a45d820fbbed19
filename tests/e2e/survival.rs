//! What must survive: signals, `kill -9`, a dead node, a second jtest.

use std::time::Duration;

use crate::lab::{Lab, Running, eventually, finish};
use crate::verdicts::SHORT;

const UNTIL_CUT: Duration = Duration::from_secs(300);
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

/// Whether anything of jtest's is left on any host: chains, the hold, the lease.
fn has_traces(lab: &Lab) -> bool {
    (1..=5).any(|host| {
        let traces = lab.on(
            host,
            "iptables-save | grep -c JTEST; ls /run/jtest/hold* 2>/dev/null; systemctl list-timers --all --plain --no-legend | grep jtest; true",
        );
        traces.trim() != "0"
    })
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn one_signal_heals_collects_and_judges_and_a_second_jtest_is_refused_meanwhile() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let mut running = start_and_await_cut(&lab, &[]);

    let (code, printed) = finish(&lab, lab.jtest("run", SHORT));
    assert_eq!(code, Some(254), "{printed}");
    assert!(printed.contains(&running.id().to_string()), "{printed}");

    running.signal("INT");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(!has_traces(&lab));
    assert_eq!(before, lab.firewalls());
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
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn killed_in_mid_cut_the_hosts_heal_themselves_and_the_history_is_judged() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let lease = LEASE.as_secs().to_string() + "s";
    let mut running = start_and_await_cut(&lab, &["--lease", &lease]);
    running.signal("KILL");
    running.end();
    eventually(
        "every host heals itself",
        LEASE + Duration::from_secs(15),
        || !has_traces(&lab),
    );
    assert_eq!(before, lab.firewalls());

    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_jtest"));
    check.arg("check").arg(lab.runs().join("latest"));
    let (code, printed) = finish(&lab, check);
    assert_eq!(code, Some(2), "{printed}");
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
    assert!(directory.join("results.json").exists());
    assert!(directory.join("nodes/n1").exists());
    assert!(!has_traces(&lab));
}
