//! What older brokers have not: RabbitMQ 4, on hosts of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, finish};
use crate::verdicts::results;

/// A cut that is noticed at this ticktime, then the death of a broker; all consumers subscribe.
const LOAD: &[&str] = &[
    "--set",
    "workload.protocol=amqp-1.0",
    "--set",
    "workload.consumers.by=push",
    "--set",
    "cluster.net_ticktime=5s",
    "--set",
    "schedule.0.at=3s",
    "--set",
    "schedule.0.duration=12s",
    "--set",
    "schedule.1.wait=8s",
    "--set",
    "schedule.2.duration=5s",
];

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn what_goes_in_and_out_by_amqp_1_0_survives_a_cut_and_a_kill() {
    let lab = Lab::hold_of("JTEST_TEST_NEWEST_LAB");
    let arguments = [&["--scenario", "consumers", "--seed", "1"], LOAD].concat();
    let (code, printed) = finish(&lab, lab.jtest("run", &arguments));
    assert_eq!(code, Some(0), "{printed}");
    let run = lab.latest();
    let judged = results(&run);
    assert_eq!(judged["verdict"], "valid", "{judged:#}");
    assert_eq!(judged["coverage"]["verdict"], "valid", "{judged:#}");
    let log = std::fs::read_to_string(run.join("nodes/n1/log/rabbit@n1.log")).unwrap();
    for client in ["jtest producer 0", "jtest consumer 6"] {
        let connected = format!("Connection from AMQP 1.0 container '{client}'");
        assert!(log.contains(&connected), "{connected}: {log}");
    }

    let export = Command::new(env!("CARGO_BIN_EXE_jtest"))
        .arg("export")
        .arg(&run)
        .args(["--format", "jsonl"])
        .output()
        .unwrap();
    assert!(export.status.success(), "{export:?}");
    let entries: Vec<Value> = export
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let of = |action: &str, phase: &str| -> Vec<&Value> {
        let entries = entries.iter();
        let of = entries.filter(|entry| entry["action"] == action && entry["phase"] == phase);
        of.collect()
    };
    let delivered = of("deliver", "ok");
    assert!(delivered.len() > 500, "{}", delivered.len());
    // Only what was under way when a connection or a broker was lost comes a second time.
    let few = delivered.len() / 5;
    let again = delivered
        .iter()
        .filter(|entry| entry["redelivered"] == true);
    assert!(again.count() < few);
    let acked: BTreeSet<_> = of("ack", "ok").into_iter().map(value).collect();
    assert!(acked.len() > delivered.len() - few, "{}", acked.len());
    let mut received = BTreeMap::<_, usize>::new();
    for entry in delivered.into_iter().chain(of("drain", "ok")) {
        *received.entry(value(entry)).or_default() += 1;
    }
    let twice = acked.iter().filter(|acked| received[*acked] > 1);
    assert!(twice.count() < few);
}

/// Which value an entry is about.
fn value(entry: &Value) -> (u64, u64) {
    let field = |name: &str| entry[name].as_u64().unwrap();
    (field("producer"), field("sequence"))
}
