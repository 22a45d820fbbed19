//! An error at each stage: what was begun is undone, and what can be known is told.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, Running, finish};

/// A short cut, and little patience with a cluster that stays broken.
const QUICK: &[&str] = &[
    "--scenario",
    "mirrored-autoheal",
    "--set",
    "queue.type=quorum",
    "--set",
    "cluster.net_ticktime=5s",
    "--set",
    "cluster.systemd_restart=false",
    "--set",
    "schedule.0.at=2s",
    "--set",
    "schedule.0.duration=6s",
    "--set",
    "recovery_timeout=5s",
    "--set",
    "drain_timeout=10s",
];

const UNTIL_CUT: Duration = Duration::from_secs(300);

/// What a fault, a hold or a lease leaves on a host.
const TRACES: &str = "iptables-save | grep JTEST; ls -d /run/jtest /var/lib/jtest-faults 2>/dev/null; \
     systemctl list-timers --all --plain --no-legend | grep jtest; true";

fn assert_released(lab: &Lab) {
    for host in 1..=5 {
        assert_eq!(lab.on(host, TRACES).trim(), "", "on n{host}");
    }
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn an_error_at_each_stage_leaves_healed_hosts_and_all_that_is_known() {
    let lab = Lab::hold();

    lab.on(2, "mv /usr/sbin/iptables /usr/sbin/iptables.away");
    let (code, printed) = finish(&lab, lab.jtest("run", QUICK));
    lab.on(2, "mv /usr/sbin/iptables.away /usr/sbin/iptables");
    assert_eq!(code, Some(254), "{printed}");
    assert!(
        printed.contains("n2: partition needs iptables (apt-get install iptables)"),
        "{printed}"
    );
    assert_released(&lab);

    let wrong = [
        "--set",
        "cluster.source=installed",
        "--set",
        "cluster.version=2.8.7",
    ];
    let (code, printed) = finish(&lab, lab.jtest("run", &[QUICK, &wrong].concat()));
    assert_eq!(code, Some(254), "{printed}");
    for host in 1..=5 {
        assert!(
            printed.contains(&format!("n{host}: RabbitMQ ")),
            "{printed}"
        );
    }
    assert_released(&lab);

    // The other hosts are configured by then, and must not be taken for ready by the next run.
    let obstacle = "/etc/rabbitmq/advanced.config.jtest-new";
    lab.on(4, &format!("mkdir -p {obstacle}"));
    let changed = ["--set", "cluster.net_ticktime=6s"];
    let (code, printed) = finish(&lab, lab.jtest("run", &[QUICK, &changed].concat()));
    lab.on(4, &format!("rmdir {obstacle}"));
    assert_eq!(code, Some(255), "{printed}");
    assert!(
        printed.contains("n4: cannot configure the broker"),
        "{printed}"
    );
    assert!(printed.contains(obstacle), "{printed}");
    assert!(lab.latest().join("nodes/n4/unit.log").exists());
    assert_released(&lab);

    let mut running = Running::start(&lab, lab.jtest("run", QUICK));
    running.await_printed("fault 1: injected", UNTIL_CUT);
    assert!(
        running
            .printed()
            .contains("starting 5 brokers from nothing"),
        "{}",
        running.printed()
    );
    lab.on(3, "systemctl kill --signal=KILL rabbitmq-server");
    // To whoever asks the node, a start that hangs looks the same.
    lab.on(4, "rabbitmqctl -q stop_app");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("n4: its broker hangs in its start"),
        "{printed}"
    );
    let serving = lab.on(4, "rabbitmqctl -q eval 'rabbit:is_running().'");
    assert_eq!(serving.trim(), "true");
    assert!(
        printed.contains("recover: the cluster is not whole"),
        "{printed}"
    );
    assert_released(&lab);
    let run = lab.latest();
    let results = std::fs::read_to_string(run.join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    assert_eq!(results["verdict"], "unknown");
    assert!(
        results["total_queue"]["data"]["confirmed"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert!(
        results["total_queue"]["data"]["lost"].is_null(),
        "{results:#}"
    );
    let log = std::fs::read_to_string(run.join("nodes/n3/unit.log")).unwrap();
    assert!(
        log.contains("SIGKILL") || log.contains("status=9/KILL"),
        "{log}"
    );
}
