//! Every fault of the table, on real hosts with real brokers: it bites, it is proven, it is undone.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, eventually, finish};

/// Faults with the node that they are done to and what is set, undone at their end; others are so in [`UNDONE`], and
/// left to the lease in [`many_faults_at_once_are_undone_by_the_hosts_themselves`].
const FAULTS: &[(&str, &str, &[&str])] = &[
    ("terminate", "n4", &[]),
    ("stop", "n5", &[]),
    ("restart", "n2,n3", &["rolling=1s"]),
    ("kill", "n3,n4", &["rolling=1s", "systemd_restart=true"]),
    ("kill", "n5", &["of=epmd", "systemd_restart=false"]),
    ("terminate", "n3", &["of=epmd"]),
    ("pause", "n4", &["of=epmd"]),
    ("loss", "n3", &["share=20%", "to=n5"]),
    ("clock-reset", "n2", &[]),
    ("kill-queue-process", "n5", &[]),
    ("clock-strobe", "n2", &["by=-30s"]),
    ("forget", "n4", &[]),
    ("flip-bits", "n5", &[]),
    ("truncate-file", "n5", &[]),
    ("reset", "n5", &[]),
    ("read-only-disk", "n5", &[]),
    ("shrink-queue", "n3", &[]),
];

/// The same for those that are left to the lease.
const LEFT_ALONE: &[(&str, &str, &[&str])] = &[
    ("shrink-queue", "n3", &[]),
    ("disk-alarm", "n3", &[]),
    ("memory-pressure", "n1", &["size=64MB"]),
    ("clock-drift", "n2", &["factor=1.5"]),
    ("stop-app", "n4", &[]),
    ("reset", "n5", &[]),
];

/// And these, when those are undone.
const LEFT_ALONE_THEN: &[(&str, &str, &[&str])] = &[
    ("clock-strobe", "n2", &["by=-30s"]),
    ("forget", "n5", &[]),
    ("stop", "n4", &[]),
    ("cpu-pressure", "n3", &["processes=1"]),
];

/// A load under faults that are undone while it goes on: the brokers close its connections, alarms block it, it is
/// what it was before, and the queue gets another leader. Every kind of condition is waited for.
const UNDONE: &str = "name: undone
workload:
  amount: schedule
  rate: 50
schedule:
  - wait: 3s
  - fault: close-connections
    on: all
  - wait: 3s
  - parallel:
      - - {fault: stop-app, on: [n4], duration: 10s}
        - {fault: memory-pressure, on: [n4], size: 64MB, duration: 10s}
      - - {fault: clock-bump, on: [n2], by: +90s, duration: 10s}
        - {fault: clock-drift, on: [n2], factor: 1.5, duration: 10s}
      - - {fault: cpu-pressure, on: [n3], duration: 10s}
        - {fault: file-descriptors, on: [n3], duration: 10s}
      - - {fault: fill-disk, on: [n5], to: 90%, duration: 10s}
        - {fault: slow-disk, on: [n5], duration: 10s}
  - await: {running: all}
    within: 1m
  - {fault: disk-alarm, on: [n3], until: {alarm: disk, on: [n3]}, within: 30s}
  - {fault: memory-alarm, on: [n1], until: {alarm: memory, on: [n1]}, within: 30s}
  - await: {rate: 50%}
    within: 1m
  - {fault: kill, on: leader, until: {leader: new}, within: 1m}
  - await: {running: all}
    within: 1m
  - await: {confirms: 100}
    within: 1m
";

fn inject(lab: &Lab, what: &[&str], options: &[&str]) -> (Option<i32>, String) {
    let mut arguments = what.to_vec();
    arguments.extend(options);
    finish(lab, lab.jtest_at(&["fault"], &arguments))
}

fn status(lab: &Lab) -> Vec<Value> {
    let (code, printed) = finish(
        lab,
        lab.jtest_at(&["fault", "status"], &["--output", "json"]),
    );
    assert_eq!(code, Some(0), "{printed}");
    let mut status: Value = serde_json::from_str(&printed).unwrap();
    serde_json::from_value(status["nodes"].take()).unwrap()
}

fn deploy(lab: &Lab) {
    let (code, printed) = finish(lab, lab.jtest("deploy", &[]));
    assert_eq!(code, Some(0), "{printed}");
    lab.on(2, "[ -e /usr/lib/*/faketime/libfaketimeMT.so.1 ] || apt-get install -qq -y libfaketime >/dev/null 2>&1");
}

fn await_brokers(lab: &Lab) {
    eventually("all brokers run", Duration::from_secs(120), || {
        lab.ask(1, "integer_to_list(length(rabbit_nodes:all_running()))") == "5"
    });
}

fn replicas(lab: &Lab) -> String {
    lab.ask(
        1,
        "{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"jtest.queue\">>)), \
         integer_to_list(length(maps:get(nodes, amqqueue:get_type_state(Queue))))",
    )
}

/// A queue that lacks a replica gets one, which is removed when that is undone, and by the host itself.
fn grow(lab: &Lab) {
    let on = |verb| {
        lab.on(
            5,
            &format!("rabbitmq-queues -q {verb} jtest.queue rabbit@n5"),
        )
    };
    on("delete_member");
    assert_eq!(replicas(lab), "4");
    let printed = done(lab, &["inject", "grow-queue", "n5", "--for", "2s"]);
    assert!(
        printed.contains("\nproven:") && printed.contains("\nhealed:"),
        "{printed}"
    );
    assert_eq!(replicas(lab), "4");
    done(lab, &["inject", "grow-queue", "n5", "--lease", "20s"]);
    assert_eq!(replicas(lab), "5");
    await_clean(lab);
    assert_eq!(replicas(lab), "4");
    on("add_member");
}

/// What a broker without its application cannot do is told, and leaves nothing to undo.
fn fail_without_the_application(lab: &Lab) {
    lab.on(4, "rabbitmqctl -q stop_app");
    let (code, printed) = inject(lab, &["inject", "shrink-queue", "n4"], &["--for", "1s"]);
    assert_eq!(code, Some(255), "{printed}");
    assert!(printed.contains("application is down here"), "{printed}");
    assert!(!printed.contains("cannot undo"), "{printed}");
    await_clean(lab);
    lab.on(4, "rabbitmqctl -q start_app");
}

/// Nobody undoes them; the hosts have to.
fn leave_alone(lab: &Lab, faults: &[(&str, &str, &[&str])]) {
    await_brokers(lab);
    for (kind, node, settings) in faults {
        let mut what = vec!["inject", *kind, *node];
        what.extend(*settings);
        let (code, printed) = inject(lab, &what, &["--lease", "20s"]);
        assert_eq!(code, Some(0), "{kind}: {printed}");
    }
    await_clean(lab);
    await_brokers(lab);
    eventually(
        "the queue has its replicas",
        Duration::from_secs(60),
        || replicas(lab) == "5",
    );
}

/// Does it and returns what it printed.
fn done(lab: &Lab, what: &[&str]) -> String {
    let (code, printed) = inject(lab, what, &[]);
    assert_eq!(code, Some(0), "{what:?}: {printed}");
    printed
}

/// Of several faults of a kind on a node the last to be undone brings back what was before the first; and what one
/// has taken away another has no use for.
fn add_up(lab: &Lab) {
    let told = |what: &[&str], expected: &str| {
        let printed = done(lab, what);
        assert!(printed.contains(expected), "{what:?}: {printed}");
    };
    let frees =
        "lists:flatten(io_lib:format(\"~p\", [vm_memory_monitor:get_vm_memory_high_watermark()]))";
    let before = lab.ask(3, frees);
    assert_ne!(before, "");
    done(lab, &["inject", "memory-alarm", "n3"]);
    let again = &["inject", "memory-alarm", "n3", "--for", "1s"];
    told(again, "undone; still in force is h1");
    assert_ne!(lab.ask(3, frees), before);
    done(lab, &["inject", "fill-disk", "n5", "to=70%"]);
    let fuller = &["inject", "fill-disk", "n5", "to=80%", "--for", "1s"];
    told(fuller, "80 % are meant");
    let used = "df --output=pcent /var/lib/rabbitmq | tail -n 1 | tr -d ' %'";
    let used: u32 = lab.on(5, used).trim().parse().unwrap();
    assert!((69..=72).contains(&used), "{used}");
    done(lab, &["pause", "n4"]);
    told(&["pause", "n4", "--for", "1s"], "undone; still in force is");
    told(
        &["inject", "disk-alarm", "n4", "--for", "1s"],
        "nothing to do:\n  n4: nothing was done: the broker is frozen, by pause n4",
    );
    told(&["unpause", "n3"], "nothing to undo");
    told(&["unpause", "n4"], "undone: pause n4");
    done(lab, &["kill", "n4"]);
    told(&["kill", "n4"], "ended it before");
    told(&["stop", "n4"], "ended it before");
    told(&["start", "n1,n4"], "undone: stop n4");
    told(&["restart", "n1"], "has come");
    told(&["renew", "--lease", "30m"], "the lease ends in 1");
    finish(lab, lab.jtest("heal", &[]));
    assert_eq!(lab.ask(3, frees), before);
    await_brokers(lab);
    let printed = done(lab, &["random", "--for", "10s", "--seed", "7"]);
    assert!(printed.starts_with("seed 7\nh1: "), "{printed}");
    assert!(printed.contains("healed:"), "{printed}");
    let cut = &["partition", "--random", "--seed", "7", "--for", "2s"];
    told(cut, "h1: partition n1 n4 | n2 n3 n5\non all its nodes");
}

fn await_clean(lab: &Lab) {
    eventually("the hosts are clean", Duration::from_secs(120), || {
        status(lab).iter().all(|node| {
            node["held_by"] == Value::Null && node["faults"] == Value::Array(Vec::new())
        })
    });
}

fn assert_clean(lab: &Lab) {
    for node in status(lab) {
        assert_eq!(node["faults"], Value::Array(Vec::new()), "{node}");
        assert_eq!(node["held_by"], Value::Null, "{node}");
        assert_eq!(node["broker"], "active", "{node}");
    }
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn each_fault_bites_and_is_undone() {
    let lab = Lab::hold();
    deploy(&lab);
    let firewalls = lab.firewalls();
    for (kind, node, settings) in FAULTS {
        let mut what = vec!["inject", *kind, *node];
        what.extend(*settings);
        let (code, printed) = inject(&lab, &what, &["--for", "2s"]);
        assert_eq!(code, Some(0), "{kind}: {printed}");
        assert!(
            printed.contains("\nproven:") || printed.starts_with("proven:"),
            "{kind}: {printed}"
        );
        assert!(printed.contains("healed:"), "{kind}: {printed}");
        assert!(
            !printed.contains("not proven") && !printed.contains("not healed"),
            "{kind}: {printed}"
        );
    }
    fail_without_the_application(&lab);
    await_brokers(&lab);
    assert_clean(&lab);
    assert_eq!(lab.firewalls(), firewalls);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn faults_of_a_run_are_undone_while_its_load_goes_on() {
    let lab = Lab::hold();
    deploy(&lab);
    await_brokers(&lab);
    let firewalls = lab.firewalls();
    // It needs another leader.
    let leads = "rabbitmqctl -q list_queues name leader 2>/dev/null | grep -c 'jtest.queue.*rabbit@n1' || true";
    let follower = if lab.on(1, leads).trim() == "1" {
        "n2"
    } else {
        "n1"
    };
    let (code, printed) = inject(&lab, &["inject", "transfer-leadership", follower], &[]);
    assert_eq!(code, Some(0), "{printed}");
    let scenario = lab.directory().join("undone.yaml");
    std::fs::write(&scenario, UNDONE).unwrap();
    let run = lab.jtest("run", &["--scenario", scenario.to_str().unwrap()]);
    let (code, printed) = finish(&lab, run);
    assert_eq!(code, Some(0), "{printed}");
    for told in [
        "connections, none is left of them",
        "12 of 12 faults proven and undone, 7 of 7 conditions came",
    ] {
        assert!(printed.contains(told), "{told}: {printed}");
    }
    assert_clean(&lab);
    assert_eq!(lab.firewalls(), firewalls);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn what_nobody_undoes_the_hosts_undo_and_faults_of_a_kind_add_up() {
    let lab = Lab::hold();
    deploy(&lab);
    let firewalls = lab.firewalls();
    leave_alone(&lab, LEFT_ALONE);
    leave_alone(&lab, LEFT_ALONE_THEN);
    grow(&lab);
    await_brokers(&lab);
    add_up(&lab);
    await_brokers(&lab);
    assert_clean(&lab);
    assert_eq!(lab.firewalls(), firewalls);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn many_faults_at_once_are_undone_by_the_hosts_themselves() {
    let lab = Lab::hold();
    deploy(&lab);
    let firewalls = lab.firewalls();
    // What only a broker in the majority answers comes before the cuts.
    for what in [
        &["inject", "memory-alarm", "n1"] as &[&str],
        &["clock", "n2", "+90s"],
        &["inject", "file-descriptors", "n1"],
        &["inject", "read-only-disk", "n1"],
        &["inject", "fill-disk", "n5", "to=90%"],
        &["inject", "slow-disk", "n5"],
        &["partition", "n1,n2"],
        &["flaky", "n3", "20%"],
        &["inject", "rate", "n3", "rate=1mbit"],
        &["partition", "n3"],
        &["kill", "n4"],
        &["pause", "n3"],
        &["inject", "terminate", "n2", "systemd_restart=false"],
        &["inject", "pause", "n5", "of=epmd"],
        &["inject", "memory-pressure", "n5", "size=32MB"],
    ] {
        let (code, printed) = inject(&lab, what, &["--lease", "40s"]);
        assert_eq!(code, Some(0), "{what:?}: {printed}");
    }
    let in_force: usize = status(&lab)
        .iter()
        .map(|node| node["faults"].as_array().unwrap().len())
        .sum();
    // The first cut is on all five, the second too.
    assert_eq!(in_force, 5 + 5 + 13);
    await_clean(&lab);
    let left = lab.on_all("ls -d /run/jtest /var/lib/jtest-faults /var/lib/rabbitmq/.jtest* /run/systemd/system/jtest* 2>/dev/null; \
            systemctl list-units --all --plain --no-legend 'jtest*'; tc qdisc show dev eth0 | grep htb || true");
    assert_eq!(left, ["", "", "", "", ""]);
    assert_eq!(lab.firewalls(), firewalls);
    // Mnesia does not survive a cut from the others while its disk is read-only, and its broker goes on without a table.
    lab.on(1, "systemctl restart rabbitmq-server");
    await_brokers(&lab);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn faults_by_hand_add_up_and_are_undone_one_by_one() {
    let lab = Lab::hold();
    for (what, expected) in [
        (
            &["partition", "n1,n2", "n3"] as &[&str],
            "h1: partition n1 n2 | n3 | n4 n5",
        ),
        (&["partition", "majorities-ring"], "h2: partition ring"),
        (&["flaky", "n5", "10%"], "h3: loss n5, share 10%"),
    ] {
        let (_, printed) = inject(&lab, what, &["--seed", "1", "--lease", "5m"]);
        assert!(printed.contains(expected), "{printed}");
    }
    let nodes = status(&lab);
    assert_eq!(
        nodes[4]["faults"].as_array().unwrap().len(),
        3,
        "{}",
        nodes[4]
    );
    assert!(
        nodes[0]["lease_left_s"].as_u64().unwrap() > 200,
        "{}",
        nodes[0]
    );
    assert!(nodes[0]["held_by"].as_str().unwrap().contains("by-hand"));
    let (code, printed) = finish(&lab, lab.jtest("run", &[]));
    assert_eq!(code, Some(254), "{printed}");
    assert!(printed.contains("is held by run by-hand"), "{printed}");
    let (code, printed) = inject(&lab, &["fast"], &[]);
    assert!(
        code == Some(0) && printed.contains("undone: loss n5"),
        "{printed}"
    );
    let (code, printed) = inject(&lab, &["join"], &[]);
    assert!(
        code == Some(0) && printed.contains("undone: partition ring"),
        "{printed}"
    );
    assert!(
        status(&lab)
            .iter()
            .all(|node| node["held_by"] == Value::Null)
    );
    let (_, printed) = finish(
        &lab,
        lab.jtest_at(&["fault", "events"], &["--since", "10m"]),
    );
    assert!(
        printed.contains("n5  fault h3: loss n5, share 10%; by ")
            && printed.contains(" (run by-hand)"),
        "{printed}"
    );
    assert!(
        printed.contains("n5  undone h3: loss n5, share 10%; by ") && printed.contains("taken by "),
        "{printed}"
    );
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn what_was_in_force_when_a_host_lost_power_is_undone_by_the_doctor() {
    let lab = Lab::hold();
    let firewalls = lab.firewalls();
    for what in [
        &["inject", "fill-disk", "n5", "to=60%"] as &[&str],
        &["inject", "cpu-pressure", "n5", "processes=1"],
        &["partition", "n5"],
        &["flaky", "n5,n1", "20%"],
    ] {
        // Without brokers there is nothing to prove some of it by.
        let (_, printed) = inject(&lab, what, &["--lease", "5m"]);
        assert!(printed.contains("in force until it is undone"), "{printed}");
    }
    lab.script(&["stop", "5"]);
    lab.script(&["start", "5"]);
    let (_, printed) = finish(&lab, lab.jtest("doctor", &["--heal"]));
    assert!(
        printed.contains("n1: left alone: somebody holds it"),
        "{printed}"
    );
    assert!(printed.contains("n5: undone: "), "{printed}");
    for undone in [
        "loss n1 n5",
        "partition n5 |",
        "cpu-pressure n5",
        "fill-disk n5",
    ] {
        assert!(printed.contains(undone), "{undone}: {printed}");
    }
    let left = "ls -d /run/jtest /var/lib/jtest-faults /var/lib/rabbitmq/.jtest* 2>/dev/null; iptables-save | grep JTEST || true";
    assert_eq!(lab.on(5, left), "");
    let (code, printed) = finish(&lab, lab.jtest_at(&["fault", "heal"], &[]));
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(lab.firewalls(), firewalls);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_queueing_discipline_of_somebody_else_is_left_as_it_is() {
    let lab = Lab::hold();
    let shown = "tc qdisc show dev eth0; tc class show dev eth0";
    let default = lab.on(3, shown);
    lab.on(3, "tc qdisc add dev eth0 root handle 7: htb default 1 && tc class add dev eth0 parent 7: classid 7:1 htb rate 100mbit");
    let before = lab.on(3, shown);
    let (code, printed) = inject(&lab, &["inject", "rate", "n3", "rate=1mbit"], &[]);
    let after = lab.on(3, shown);
    lab.on(3, "tc qdisc del dev eth0 root");
    assert!(code.is_some_and(|code| code > 1), "{printed}");
    assert!(
        printed.contains("eth0 has a queueing discipline of its own already"),
        "{printed}"
    );
    assert_eq!(after, before);
    let (code, printed) = inject(
        &lab,
        &["inject", "rate", "n3", "rate=1mbit"],
        &["--for", "1s"],
    );
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(lab.on(3, shown), default);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let lab = Lab::hold();
    let kept = std::fs::read_to_string(lab.inventory()).unwrap();
    std::fs::write(
        lab.inventory(),
        kept.replace("jtest_disposable: true", "jtest_disposable: false"),
    )
    .unwrap();
    // n2 is a host whose data lie on the file system of everything else.
    let shadow = "/usr/local/sbin/findmnt";
    lab.on(
        2,
        &format!("printf '#!/bin/sh\\necho /\\n' >{shadow}; chmod +x {shadow}"),
    );
    for (what, expected) in [
        (&["partition", "n1,n9"] as &[&str], "no node `n9`"),
        (&["partition", "n1,n2,n3,n4,n5"], "nothing would be cut"),
        (&["inject", "flod", "n1"], "there is no fault `flod`"),
        (&["inject", "partition", "n1"], "has a verb of its own"),
        (&["flaky", "n1", "130%"], "a percentage from 0% to 100%"),
        (
            &["inject", "fill-disk", "n1", "to=99.5%"],
            "a percentage from 0% to 99%",
        ),
        (
            &["inject", "fill-disk", "n2"],
            "own-filesystem (a file system of its own",
        ),
        (
            &["inject", "slow-disk", "n2"],
            "own-filesystem (a file system of its own",
        ),
        (&["fast", "n9"], "there is no node `n9`"),
        (
            &["inject", "memory-pressure", "n1", "size=900GB"],
            "more than half of what is available",
        ),
        (&["inject", "reset", "n1"], "jtest_disposable: true"),
        (&["inject", "kill", "leader"], "looked up in a run only"),
        (
            &["inject", "reboot", "n1"],
            "own-kernel (a real or virtual machine",
        ),
        (
            &["inject", "lose-unsynced", "n1"],
            "own-kernel (a real or virtual machine",
        ),
        (
            &["inject", "lose-unsynced", "n2"],
            "own-ext4 (an ext4 file system of its own",
        ),
        (
            &["inject", "power-cycle", "n1"],
            "sysrq (a real or virtual machine",
        ),
    ] {
        let (code, printed) = inject(&lab, what, &[]);
        assert!(code.is_some_and(|code| code > 1), "{what:?}: {printed}");
        assert!(printed.contains(expected), "{what:?}: {printed}");
    }
    lab.on(2, &format!("rm {shadow}"));
    for node in status(&lab) {
        assert_eq!(node["faults"], Value::Array(Vec::new()), "{node}");
        assert_eq!(node["held_by"], Value::Null, "{node}");
    }
}
