//! Faults that need a kernel of their own on each host, which namespaces have not: `scripts/test --machine`.
//! Three hosts without brokers are enough.

use std::time::{Duration, UNIX_EPOCH};

use crate::lab::{Lab, eventually, finish};

fn machines() -> Lab {
    let lab = Lab::hold();
    assert_eq!(
        lab.on(1, "systemd-detect-virt").trim(),
        "uml",
        "needs hosts with kernels of their own; scripts/test --machine runs it"
    );
    lab
}

fn fault(lab: &Lab, what: &[&str]) -> String {
    let (code, printed) = finish(lab, lab.jtest_at(&["fault"], what));
    assert_eq!(code, Some(0), "{what:?}: {printed}");
    printed
}

/// What of ours lies on a host.
fn left(lab: &Lab, host: u8) -> String {
    lab.on(
        host,
        "ls -d /run/jtest /run/jtest-clock /var/lib/jtest-faults 2>/dev/null; iptables-save | grep JTEST || true",
    )
}

fn disciplines(lab: &Lab) -> Vec<String> {
    (1..=3)
        .map(|host| lab.on(host, "tc qdisc show dev eth0; tc filter show dev eth0"))
        .collect()
}

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn packets_are_late_doubled_damaged_and_overtaken_until_that_is_undone() {
    let lab = machines();
    let before = disciplines(&lab);
    for (what, proof) in [
        (
            &["slow", "n1", "75ms±20ms"] as &[&str],
            "n1: an echo takes ",
        ),
        (&["duplicate", "n1", "20%"], "echoes came twice"),
        (
            &["inject", "rate", "n2", "rate=1mbit", "to=n3"],
            "bytes passed in a second",
        ),
        (
            &["inject", "corrupt", "n2", "share=20%"],
            "echoes did not come",
        ),
        (
            &["inject", "reorder", "n3", "share=30%"],
            "echoes were overtaken",
        ),
        (
            &[
                "inject",
                "loss-bursts",
                "n3",
                "share=20%",
                "correlation=50%",
            ],
            "packets dropped so far",
        ),
    ] {
        let printed = fault(&lab, what);
        assert!(
            printed.contains("proven:\n") && printed.contains(proof),
            "{what:?}: {printed}"
        );
    }
    let (code, printed) = finish(&lab, lab.jtest_at(&["fault"], &["slow", "n1", "1s"]));
    assert_ne!(code, Some(0), "{printed}");
    assert!(
        printed.contains("a delay is in force here already"),
        "{printed}"
    );
    fault(&lab, &["fast"]);
    assert_eq!(disciplines(&lab), before);
}

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn what_lay_on_a_host_is_gone_after_it_lost_power() {
    let lab = machines();
    let before = disciplines(&lab);
    fault(&lab, &["slow", "n2", "50ms"]);
    fault(&lab, &["partition", "n2", "n1,n3"]);
    lab.script(&["stop", "2"]);
    lab.script(&["start", "2"]);
    let (code, printed) = finish(&lab, lab.jtest("doctor", &[]));
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("faults that nobody has undone (")
            && printed.contains("partition n2 | n1 n3"),
        "{printed}"
    );
    fault(&lab, &["heal"]);
    assert_eq!(disciplines(&lab), before);
    assert_eq!(left(&lab, 2), "");
}

/// What a fault says when it bit, and what when it is over.
fn exercise(lab: &Lab, what: &[&str], proof: &str) {
    let printed = fault(lab, what);
    assert!(
        printed.contains("proven:\n") && printed.contains(proof),
        "{what:?}: {printed}"
    );
    assert!(!printed.contains("not healed"), "{what:?}: {printed}");
}

/// A host's clock minus this machine's, in seconds.
fn clock(lab: &Lab, host: u8) -> f64 {
    let now = || {
        let since = UNIX_EPOCH.elapsed().unwrap();
        since.as_secs_f64()
    };
    let before = now();
    let there: f64 = lab.on(host, "date +%s.%N").trim().parse().unwrap();
    there - f64::midpoint(before, now())
}

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn system_clocks_go_wrong_and_are_set_right_by_the_hosts_themselves() {
    let lab = machines();
    // A time service, to be held meanwhile and given back.
    lab.on(
        1,
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/run/systemd/system/ntpd.service; systemctl start ntpd",
    );
    fault(&lab, &["clock", "n1", "+90s", "--lease", "3m"]);
    let astray = clock(&lab, 1);
    assert!((85.0..95.0).contains(&astray), "{astray}");
    assert!(clock(&lab, 2).abs() < 3.0);
    assert_eq!(
        lab.on(1, "systemctl is-active ntpd || true").trim(),
        "inactive"
    );
    fault(
        &lab,
        &["inject", "clock-drift", "n2", "factor=1.5", "--lease", "3m"],
    );
    exercise(
        &lab,
        &[
            "inject",
            "clock-strobe",
            "n3",
            "by=-30s",
            "--for",
            "20s",
            "--lease",
            "3m",
        ],
        "n3: the host's clock has moved by -",
    );
    eventually(
        "the hosts have set their clocks right",
        Duration::from_secs(240),
        || {
            (1..=3).all(|host| clock(&lab, host).abs() < 3.0)
                && lab.on(1, "systemctl is-active ntpd || true").trim() == "active"
        },
    );
    for host in 1..=3 {
        assert_eq!(left(&lab, host), "", "n{host}");
    }
    lab.on(
        1,
        "systemctl stop ntpd; rm /run/systemd/system/ntpd.service; systemctl daemon-reload",
    );
}

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn hosts_reboot_and_lose_power() {
    let lab = machines();
    exercise(&lab, &["inject", "reboot", "n1"], "n1: it booted: boot id ");
    exercise(
        &lab,
        &["inject", "power-cycle", "n2,n3"],
        "n3: it booted: boot id ",
    );
    fault(&lab, &["partition", "n1", "n2,n3"]);
    let printed = fault(&lab, &["inject", "power-cycle", "n1"]);
    assert!(
        printed.contains("what was written last and not synced is gone"),
        "{printed}"
    );
    // The verbs after it find what lay on n1 without a hold, and undo it.
    fault(&lab, &["heal"]);
    for host in 1..=3 {
        assert_eq!(left(&lab, host), "", "n{host}");
    }
}
