//! Routable and unroutable publishes interleaved: each completion must be the right one.

use jtest::history::operation::{Cause, Phase};
use jtest::scenario::{Amount, Queue, QueueType};
use jtest::workload::attempts::{Attempts, Carried};
use jtest::workload::message::{AttemptId, Codec};
use jtest::workload::publisher::{ChannelWire, Message, Publisher, Wire};

use crate::bench::{Broker, bench, credentials, workload};

/// Publishes `count` messages, those for which `routable` says so to the queue; gives the number
/// of returns that came attached to another message's confirm.
async fn publish_mixed(
    broker: &Broker,
    count: u64,
    window: usize,
    routable: impl Fn(u64) -> bool,
) -> u64 {
    let queue = format!("returns-{window}");
    let brokers = std::slice::from_ref(broker);
    let _bench = bench(&queue, brokers, workload(Amount::Schedule, 1)).await;
    // Only the first of them exists.
    let mut queues = Queue::new(&queue, QueueType::Classic);
    queues.count = 2;
    let wire = ChannelWire::open(&broker.endpoint(), &credentials(), "test", &queues)
        .await
        .unwrap();
    let mut publisher = Publisher::new(wire);
    let codec = Codec::new("returns", 32);
    let mut attempts = Attempts::default();
    let mut completions = Vec::new();
    let (mut sent, mut elsewhere) = (0, 0);
    while completions.len() < usize::try_from(count).unwrap() {
        while sent < count && publisher.is_free() && attempts.open() < window {
            let id = AttemptId {
                producer: 0,
                sequence: sent,
                attempt: 0,
            };
            let order = attempts.invoke(id, i64::MAX);
            let message = Message {
                queue: u16::from(!routable(sent)),
                id,
                body: codec.encode(id),
            };
            publisher.publish(order, message);
            sent += 1;
        }
        let batch = publisher.observe().await;
        assert_eq!(batch.lost, None);
        for (order, answer, carried) in batch.resolved {
            elsewhere += u64::from(match carried {
                Carried::Return(id) => id.sequence != order,
                Carried::Nothing => !routable(order),
                Carried::Unreadable => panic!("unreadable"),
            });
            attempts.resolve(order, answer, carried, &mut completions);
        }
        attempts.settle(&mut completions);
    }
    assert_eq!(attempts.open(), 0);
    assert_eq!(attempts.contradictions(), 0);
    for completion in &completions {
        let right = if routable(completion.id.sequence) {
            (Phase::Ok, Cause::None)
        } else {
            (Phase::Fail, Cause::Returned)
        };
        assert_eq!(
            (completion.phase, completion.cause),
            right,
            "{completion:?}"
        );
    }
    completions.sort_by_key(|completion| completion.id);
    completions.dedup_by_key(|completion| completion.id);
    assert_eq!(completions.len(), usize::try_from(count).unwrap());
    publisher.close().await;
    elsewhere
}

pub async fn every_completion_is_right_whatever_the_pairing(broker: Broker) {
    let mut elsewhere = 0;
    for (count, window) in [(1_000, 1), (5_000, 50), (15_000, 500)] {
        let mixed = |sequence: u64| sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 < 10;
        let in_bursts = |sequence: u64| (sequence / 37).is_multiple_of(2);
        let nothing = |_| false;
        let seen = [
            publish_mixed(&broker, count, window, mixed).await,
            publish_mixed(&broker, count, window, in_bursts).await,
            publish_mixed(&broker, count, window, nothing).await,
        ];
        eprintln!("window {window}: {seen:?} returns came with another confirm");
        elsewhere += seen.iter().sum::<u64>();
    }
    assert!(
        elsewhere > 0,
        "the pitfall did not show: this test proves nothing"
    );
}
