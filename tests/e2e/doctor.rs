//! `jtest doctor` on the five hosts, as they are and with things amiss.

use crate::lab::{Lab, finish};

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_host_in_order_is_said_to_be_and_left_as_it_was() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let (code, printed) = finish(&lab, lab.jtest("doctor", &[]));
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("5 of 5 hosts are ready"), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 80));
    assert_eq!(before, lab.firewalls());
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn what_is_amiss_is_told_with_its_remedy() {
    let lab = Lab::hold();
    lab.script(&["stop", "5"]);
    lab.on(
        2,
        "iptables -A INPUT -p tcp --dport 25672 -j DROP; iptables -N JTEST-IN",
    );
    let (code, printed) = finish(&lab, lab.jtest("doctor", &[]));
    lab.on(
        2,
        "iptables -D INPUT -p tcp --dport 25672 -j DROP; iptables -X JTEST-IN",
    );
    lab.script(&["start", "5"]);
    assert_eq!(code, Some(1), "{printed}");
    for told in [
        "n5: not reachable over SSH",
        "n1 n2 n3 n4: it does not reach its peer n5 on any port",
        "n1 n3 n4: its peer n2 does not answer on port 25672",
        "n2: left by an earlier run: chains in its firewall",
        "jtest heal",
        "n2: its firewall has 1 rule of others",
        "0 of 5 hosts are ready",
    ] {
        assert!(printed.contains(told), "{told:?} is not in\n{printed}");
    }
}
