//! Faults that need a kernel of their own on each host, which namespaces have not: `scripts/test --machine`.
//! Three hosts without brokers are enough.

use crate::lab::{Lab, finish};

const SHARED_KERNEL: &str = "needs hosts with kernels of their own; scripts/test --machine runs it";

fn fault(lab: &Lab, what: &[&str]) -> String {
    let (code, printed) = finish(lab, lab.jtest_at(&["fault"], what));
    assert_eq!(code, Some(0), "{what:?}: {printed}");
    printed
}

fn disciplines(lab: &Lab) -> Vec<String> {
    (1..=3)
        .map(|host| lab.on(host, "tc qdisc show dev eth0; tc filter show dev eth0"))
        .collect()
}

#[test]
#[ignore = "needs hosts with kernels of their own; scripts/test --machine runs it"]
fn packets_are_late_doubled_damaged_and_overtaken_until_that_is_undone() {
    let lab = Lab::hold();
    assert_eq!(
        lab.on(1, "systemd-detect-virt").trim(),
        "uml",
        "{SHARED_KERNEL}"
    );
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
    let lab = Lab::hold();
    assert_eq!(
        lab.on(1, "systemd-detect-virt").trim(),
        "uml",
        "{SHARED_KERNEL}"
    );
    let before = disciplines(&lab);
    fault(&lab, &["slow", "n2", "50ms"]);
    fault(&lab, &["partition", "n2", "n1,n3"]);
    lab.script(&["stop", "2"]);
    lab.script(&["start", "2"]);
    fault(&lab, &["heal"]);
    assert_eq!(disciplines(&lab), before);
    assert_eq!(lab.on(2, "ls -d /run/jtest /var/lib/jtest-faults 2>/dev/null; iptables-save | grep -c JTEST || true").trim(), "0");
}
