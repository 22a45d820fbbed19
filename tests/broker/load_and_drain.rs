//! A load on brokers that behave, and its drain.

use std::slice;
use std::time::Duration;

use futures_util::future::join_all;
use jtest::history::operation::{Action, Cause, Phase};
use jtest::scenario::Amount;
use jtest::workload::drain::Counts;
use jtest::workload::{drain, queue};

use crate::bench::{Broker, Memory, bench, workload};

pub async fn what_is_confirmed_is_received_once(broker: Broker) {
    let bench = bench(
        "plain",
        slice::from_ref(&broker),
        workload(Amount::Messages(5_000), 100),
    )
    .await;
    let summary = queue::run(bench.load).await;
    assert_eq!(summary.errors, Vec::<String>::new());
    assert_eq!(summary.clients[0].counts.ok, 5_000);
    bench.memory.assert_sound();
    let proof = drain::run(bench.drain, || broker.counts("plain")).await;
    assert!(proof.complete, "{proof:?}");
    let received = bench.memory.received();
    assert_eq!(received.len(), 5_000);
    assert!(received.values().all(|times| *times == 1));
    assert_eq!(
        *bench.memory.progress.lock().unwrap(),
        [5_000, 5_000, 0, 0, 5_000]
    );
    assert_eq!(most_open(&bench.memory), 100);
}

/// How many attempts were open at once, at most.
fn most_open(memory: &Memory) -> usize {
    let entries = memory.of(Action::Publish);
    let open = entries.iter().scan(0usize, |open, entry| {
        match entry.phase {
            Phase::Invoke => *open += 1,
            Phase::Ok | Phase::Fail | Phase::Info => *open -= 1,
        }
        Some(*open)
    });
    open.max().unwrap()
}

pub async fn what_no_queue_takes_fails_and_is_sent_again(broker: Broker) {
    let mut workload = workload(Amount::Messages(300), 50);
    workload.resends = 2;
    let mut bench = bench("elsewhere", slice::from_ref(&broker), workload).await;
    bench.load.queue.name = "no-such-queue".to_owned();
    let summary = queue::run(bench.load).await;
    assert_eq!(summary.errors, Vec::<String>::new());
    bench.memory.assert_sound();
    let failed = bench.memory.publishes(Phase::Fail);
    assert_eq!(failed.len(), 900);
    assert!(failed.iter().all(|entry| entry.cause == Cause::Returned));
}

pub async fn separate_brokers_are_drained_each_through_itself(brokers: Vec<Broker>) {
    let count = u64::try_from(brokers.len()).unwrap() * 500;
    let bench = bench("split", &brokers, workload(Amount::Messages(500), 20)).await;
    let summary = queue::run(bench.load).await;
    assert_eq!(summary.clients.len(), brokers.len());
    let ask = async || {
        let answers = join_all(brokers.iter().map(|broker| broker.counts("split"))).await;
        answers.into_iter().flatten().collect()
    };
    let proof = drain::run(bench.drain, ask).await;
    assert!(proof.complete, "{proof:?}");
    assert_eq!(u64::try_from(bench.memory.received().len()).unwrap(), count);
    assert_eq!(bench.memory.lost(), []);
}

pub async fn an_open_loop_keeps_its_rate_and_ends_with_its_duration(broker: Broker) {
    let mut workload = workload(Amount::Duration(Duration::from_secs(3)), 10);
    workload.rate = Some(100.0);
    let bench = bench("paced", slice::from_ref(&broker), workload).await;
    let summary = queue::run(bench.load).await;
    assert!(summary.clients[0].counts.attempts <= 301);
    let invoked = bench.memory.publishes(Phase::Invoke);
    let due: Vec<i64> = invoked.iter().filter_map(|entry| entry.intended).collect();
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 10_000_000));
    assert!(due.last().unwrap() - due.first().unwrap() > 1_000_000_000);
    assert!(
        invoked
            .iter()
            .all(|entry| entry.time >= entry.intended.unwrap())
    );
}

pub async fn a_stop_ends_the_load_and_waits_for_its_confirms(broker: Broker) {
    let bench = bench(
        "stopped",
        slice::from_ref(&broker),
        workload(Amount::Schedule, 50),
    )
    .await;
    let load = tokio::spawn(queue::run(bench.load));
    while bench.memory.publishes(Phase::Ok).len() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.stop.send(true).unwrap();
    let summary = tokio::time::timeout(Duration::from_secs(5), load)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(summary.clients[0].counts.info, 0);
    bench.memory.assert_sound();
}

pub async fn a_node_that_does_not_answer_leaves_the_drain_incomplete(broker: Broker) {
    let mut bench = bench(
        "unproven",
        slice::from_ref(&broker),
        workload(Amount::Messages(10), 1),
    )
    .await;
    queue::run(bench.load).await;
    bench.drain.deadline = Duration::from_secs(4);
    let proof = drain::run(bench.drain, async || Counts::new()).await;
    assert!(!proof.complete);
    assert!(proof.evidence[0].contains("received 10"), "{proof:?}");
    assert!(proof.evidence[0].contains("not answered"), "{proof:?}");
}
