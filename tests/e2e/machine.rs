//! Faults that need a kernel of their own on each host, which namespaces have not: `scripts/test --machine`.
//! Three hosts without brokers are enough.
//!
//! What is left to the lease is left by a jtest that is gone: none of the verbs of `jtest fault` waits for it.

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

/// Long enough for the next verb, which begins it anew.
const LEASE: &[&str] = &["--lease", "4m"];

/// Until a host has found that its lease has run out, and undone everything.
const UNTIL_UNDONE: Duration = Duration::from_secs(400);

/// What is done to packets by netem, and how it shows. No damage or loss comes before what echoes have to prove.
const PACKETS: &[(&[&str], &str)] = &[
    (&["slow", "n1", "75ms±20ms"], "n1: an echo takes "),
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
];

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
    impair(&lab, &[]);
    let (code, printed) = finish(&lab, lab.jtest_at(&["fault"], &["slow", "n1", "1s"]));
    assert_ne!(code, Some(0), "{printed}");
    assert!(
        printed.contains("a delay is in force here already"),
        "{printed}"
    );
    let printed = fault(&lab, &["fast"]);
    for undone in [
        "delay",
        "duplicate",
        "rate",
        "corrupt",
        "reorder",
        "loss-bursts",
    ] {
        assert!(printed.contains(&format!("undone: {undone} ")), "{printed}");
    }
    assert_eq!(disciplines(&lab), before);
}

/// All that is done to packets, proven.
fn impair(lab: &Lab, options: &[&str]) {
    for (what, proof) in PACKETS {
        let printed = fault(lab, &[what, options].concat());
        assert!(
            printed.contains("proven:\n") && printed.contains(proof),
            "{what:?}: {printed}"
        );
    }
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

/// How a clock shows that it went wrong.
const MOVED: &str = "the host's clock has moved by ";

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
fn system_clocks_go_wrong_and_are_set_right() {
    let lab = machines();
    for what in [
        &["clock", "n1", "-90s"] as &[&str],
        &["inject", "clock-drift", "n2", "factor=1.5"],
        &["inject", "clock-strobe", "n3", "by=-30s"],
    ] {
        exercise(&lab, &[what, &["--for", "5s"]].concat(), MOVED);
    }
    assert!((1..=3).all(|host| clock(&lab, host).abs() < 3.0));
    lab.on(2, "date --set=-1hour");
    assert!(clock(&lab, 2) < -3000.0);
    exercise(&lab, &["inject", "clock-reset", "n2"], "n2: the clock is ");
    assert!(clock(&lab, 2).abs() < 3.0);
}

const LOSE: &[&str] = &["inject", "lose-unsynced", "n1"];

/// How a loss shows.
const LOST: &str = "what was written last and not synced is gone";

/// Whether the service in the broker's place, or that of the time, runs.
const ACTIVE: &str = "systemctl is-active rabbitmq-server ntpd | paste -s || true";

/// In a broker's place: counts, in a file that it never syncs and where a loss of the file system does not reach.
/// And a time service.
const SERVICES: &str = "cd /run/systemd/system
cat >rabbitmq-server.service <<'END'
[Service]
WorkingDirectory=/var/lib/rabbitmq
ExecStart=/bin/sh /run/counting
END
cat >/run/counting <<'END'
n=$(cat /run/counted 2>/dev/null || echo 0)
while :; do n=$((n + 1)); echo $n >/run/counted; echo $n >>counted; sleep 0.2; done
END
printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >ntpd.service
cd /var/lib/rabbitmq
echo synced >kept
sync kept
systemctl start rabbitmq-server ntpd";

const NO_SERVICES: &str = "systemctl stop rabbitmq-server ntpd
cd /run/systemd/system
rm rabbitmq-server.service ntpd.service
systemctl daemon-reload
cd /var/lib/rabbitmq
rm /run/counting /run/counted counted kept";

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn what_was_not_synced_is_lost_with_the_file_system_which_comes_back() {
    let lab = machines();
    lab.on(1, SERVICES);
    lab.on(
        1,
        "systemd-run --quiet --unit=test-opener --working-directory=/var/lib/rabbitmq sleep infinity",
    );
    let (code, printed) = finish(&lab, lab.jtest_at(&["fault"], LOSE));
    assert_ne!(code, Some(0), "{printed}");
    assert!(
        printed.contains("others have files open below /var/lib/rabbitmq: ")
            && printed.contains("(sleep)"),
        "{printed}"
    );
    assert_eq!(lab.on(1, ACTIVE).trim(), "active\tactive");
    lab.on(1, "systemctl stop test-opener");
    exercise(&lab, &[LOSE, &["--for", "5s"]].concat(), LOST);
    assert_eq!(lab.on(1, ACTIVE).trim(), "active\tactive");
    assert_eq!(left(&lab, 1), "");
    lab.on(1, NO_SERVICES);
}

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn what_nobody_undoes_the_hosts_undo_by_themselves() {
    let lab = machines();
    let before = disciplines(&lab);
    let mounted = "findmnt --noheadings --mountpoint /var/lib/rabbitmq";
    let mounted_before = lab.on(1, mounted);
    lab.on(1, SERVICES);
    impair(&lab, LEASE);
    for what in [
        &["clock", "n1", "+90s"] as &[&str],
        &["inject", "clock-drift", "n2", "factor=1.5"],
        &["inject", "clock-strobe", "n3", "by=-30s"],
    ] {
        let printed = fault(&lab, &[what, LEASE].concat());
        assert!(printed.contains(MOVED), "{what:?}: {printed}");
    }
    let astray = clock(&lab, 1);
    assert!((85.0..95.0).contains(&astray), "{astray}");
    assert_eq!(lab.on(1, ACTIVE).trim(), "active\tinactive");
    let printed = fault(&lab, &[LOSE, LEASE].concat());
    assert!(printed.contains(LOST), "{printed}");
    assert_ne!(lab.on(1, ACTIVE).split('\t').next(), Some("active"));
    let counted = |file: &str| -> u64 {
        let last = lab.on(1, &format!("tail -n 1 {file} 2>/dev/null || echo 0"));
        last.trim().parse().unwrap()
    };
    let (written, kept) = (
        counted("/run/counted"),
        counted("/var/lib/rabbitmq/counted"),
    );
    assert!(kept < written, "{kept} of {written}");
    assert_eq!(lab.on(1, "cat /var/lib/rabbitmq/kept").trim(), "synced");
    eventually("the hosts have undone it", UNTIL_UNDONE, || {
        (1..=3).all(|host| left(&lab, host).is_empty())
    });
    assert_eq!(disciplines(&lab), before);
    assert_eq!(lab.on(1, mounted), mounted_before);
    assert_eq!(lab.on(1, ACTIVE).trim(), "active\tactive");
    for host in 1..=3 {
        let offset = clock(&lab, host);
        assert!(offset.abs() < 3.0, "n{host}: {offset}");
    }
    lab.on(1, NO_SERVICES);
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
