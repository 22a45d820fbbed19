//! An error at each stage: what was begun is undone, and what can be known is told.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{Lab, Running, finish};
use crate::sources::CALM;
use crate::verdicts::{assert_left_a_verdict, results};

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
    for (host, traces) in (1..).zip(lab.on_all(TRACES)) {
        assert_eq!(traces.trim(), "", "on n{host}");
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
    assert_left_a_verdict(&lab.latest());
    let told = results(&lab.latest())["reasons"].to_string();
    assert!(told.contains("deploy: n4: cannot configure"), "{told}");
    assert_released(&lab);

    let mut running = Running::start(&lab, lab.jtest("run", &[QUICK, &changed].concat()));
    running.await_printed("brokers from nothing", Duration::from_secs(60));
    running.signal("INT");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(lab.latest().join("nodes/n4/unit.log").exists());
    assert_left_a_verdict(&lab.latest());
    let told = results(&lab.latest())["reasons"].to_string();
    assert!(told.contains("deploy: interrupted"), "{told}");
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
    std::fs::create_dir(lab.latest().join("report.html")).unwrap();
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
    assert!(printed.contains("report failed: "), "{printed}");
    let run = lab.latest();
    let results = results(&run);
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

/// A run on a host that takes the connection and says nothing; and the other end of that connection.
fn run_on_silent_host(home: &Path) -> (Child, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let inventory = home.join("silent.yaml");
    let text = format!(
        "all:\n  hosts:\n    n1:\n      ansible_host: 127.0.0.1\n      ansible_port: {port}\n"
    );
    std::fs::write(&inventory, text).unwrap();
    let scenario = home.join("calm.yaml");
    std::fs::write(&scenario, CALM).unwrap();
    let running = Command::new(env!("CARGO_BIN_EXE_jtest"))
        .args(["--host-keys", "off", "--inventory"])
        .arg(inventory)
        .arg("--scenario")
        .arg(scenario)
        .arg("--runs")
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (running, accept(&listener))
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        if let Ok((stream, _)) = listener.accept() {
            return stream;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no connection");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end(mut running: Child) -> (Option<i32>, String) {
    let mut printed = String::new();
    let mut stderr = running.stderr.take().unwrap();
    stderr.read_to_string(&mut printed).unwrap();
    (running.wait().unwrap().code(), printed)
}

#[test]
fn hosts_that_cannot_be_reached_leave_a_verdict() {
    let home = tempfile::tempdir().unwrap();
    let latest = || home.path().join("latest").canonicalize().unwrap();

    let (running, host) = run_on_silent_host(home.path());
    drop(host);
    let (code, printed) = end(running);
    assert_eq!(code, Some(255), "{printed}");
    assert!(printed.contains("1 of 1 hosts cannot be used"), "{printed}");
    assert_left_a_verdict(&latest());
    let told = results(&latest())["reasons"].to_string();
    assert!(
        told.contains("connect: 1 of 1 hosts cannot be used"),
        "{told}"
    );

    let (running, host) = run_on_silent_host(home.path());
    let killed = Command::new("kill")
        .args(["-s", "TERM", &running.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let (code, printed) = end(running);
    drop(host);
    assert_eq!(code, Some(2), "{printed}");
    assert_left_a_verdict(&latest());
    let told = results(&latest())["reasons"].to_string();
    assert!(told.contains("connect: interrupted"), "{told}");

    // What cannot be judged is told beside what went wrong before.
    let (running, host) = run_on_silent_host(home.path());
    std::fs::create_dir(latest().join("results.json")).unwrap();
    drop(host);
    let (code, printed) = end(running);
    assert_eq!(code, Some(255), "{printed}");
    assert!(printed.contains("1 of 1 hosts cannot be used"), "{printed}");
    assert!(printed.contains("check failed: write "), "{printed}");
}
