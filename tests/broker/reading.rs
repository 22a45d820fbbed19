//! Consumers that read while producers publish, on a broker that behaves.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use jtest::history::operation::{Action, Cause, Entry, Phase};
use jtest::scenario::{Amount, Consumers, Receiving};
use jtest::workload::{drain, queue};

use crate::bench::{Broker, Memory, bench, workload};

/// Every value is received once, by a consumer or in the drain; every ack is of what its consumer received,
/// and ends well.
async fn read(name: &str, broker: &Broker, consumers: Consumers) -> (Vec<Entry>, Vec<Entry>) {
    let mut workload = workload(Amount::Messages(1_500), 100);
    workload.producers = 2;
    workload.consumers = consumers;
    let bench = bench(name, slice::from_ref(broker), workload).await;
    let summary = queue::run(bench.load).await;
    assert_eq!(summary.errors, Vec::<String>::new());
    let proof = drain::run(bench.drain, || broker.counts(name)).await;
    assert!(proof.complete, "{proof:?}");
    let mut received = BTreeMap::<_, usize>::new();
    let memory: &Memory = &bench.memory;
    let by = |action, phase| {
        let mut entries = memory.of(action);
        entries.retain(|entry| entry.phase == phase);
        entries
    };
    let (pushed, got) = (by(Action::Deliver, Phase::Ok), by(Action::Get, Phase::Ok));
    let drained = by(Action::Drain, Phase::Ok);
    for entry in pushed.iter().chain(&got).chain(&drained) {
        *received
            .entry((entry.producer, entry.sequence))
            .or_default() += 1;
    }
    assert_eq!(received.len(), 3_000);
    assert!(received.values().all(|times| *times == 1));
    let delivered: BTreeSet<_> = pushed.iter().chain(&got).map(key).collect();
    assert!(!delivered.is_empty());
    let acked: BTreeSet<_> = by(Action::Ack, Phase::Ok).iter().map(key).collect();
    assert_eq!(acked, delivered);
    assert_eq!(by(Action::Ack, Phase::Invoke).len(), delivered.len());
    (pushed, got)
}

fn key(entry: &Entry) -> (u32, Option<u64>, u32, u64) {
    (entry.process, entry.tag, entry.producer, entry.sequence)
}

fn consumers(by: Receiving, ack_batch: u16) -> Consumers {
    Consumers {
        count: 2,
        by,
        prefetch: 50,
        ack_batch,
    }
}

pub async fn what_consumers_acknowledge_does_not_come_again(broker: Broker) {
    let (pushed, got) = read("pushed", &broker, consumers(Receiving::Push, 1)).await;
    assert!(got.is_empty());
    let processes: BTreeSet<u32> = pushed.iter().map(|entry| entry.process).collect();
    assert_eq!(processes.into_iter().collect::<Vec<_>>(), [2, 3]);
    let (pushed, got) = read("mixed", &broker, consumers(Receiving::Mixed, 20)).await;
    assert!(!pushed.is_empty() && !got.is_empty());
    assert!(
        got.iter()
            .all(|entry| entry.cause == Cause::None && !entry.redelivered)
    );
}
