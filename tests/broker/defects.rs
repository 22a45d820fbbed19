//! A broker that misbehaves, by a proxy before a real one: each defect is found, named rightly and
//! attributed to the right messages; a clean pass through the proxy is valid.

use std::collections::BTreeSet;
use std::slice;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jtest::check::Verdict;
use jtest::check::losses::Losses;
use jtest::check::results::{TotalQueue, Value};
use jtest::check::total_queue::{self, Tally};
use jtest::history::operation::Phase;
use jtest::scenario::Amount;
use jtest::workload::message::Codec;
use jtest::workload::{drain, queue};

use crate::bench::{Bench, Broker, bench, workload};
use crate::proxy::{Defect, Plan, Proxy};

/// How many messages a load has; `JTEST_MESSAGES` asks for another number.
static MESSAGES: LazyLock<u64> = LazyLock::new(|| {
    let asked = std::env::var("JTEST_MESSAGES").ok();
    asked.map_or(3_000, |count| count.parse().unwrap())
});

/// What the accounting says of a load through a proxy that treats these messages so.
async fn judged(
    broker: &Broker,
    defect: Option<Defect>,
    places: BTreeSet<u64>,
) -> (Verdict, TotalQueue, BTreeSet<Value>) {
    let name = "treated";
    let mut work = workload(Amount::Messages(*MESSAGES), 100);
    work.confirm_timeout = Duration::from_secs(2);
    work.reconnect_pause = Duration::from_millis(50);
    let Bench {
        memory,
        mut load,
        drain,
        stop: _stop,
    } = bench(name, slice::from_ref(broker), work).await;
    let codec = Codec::new(&load.run_id, load.workload.body_bytes);
    let plan = Arc::new(Plan::new(defect, places, codec));
    let real = &load.endpoints[0];
    let proxy = Proxy::start(format!("{}:{}", real.address, real.port), Arc::clone(&plan)).await;
    load.endpoints[0].address = proxy.address.ip().to_string();
    load.endpoints[0].port = proxy.address.port();

    let summary = queue::run(load).await;
    assert_eq!(summary.errors, Vec::<String>::new(), "{defect:?}");
    let proof = drain::run(drain, || broker.counts(name)).await;
    assert!(proof.complete, "{defect:?}: {proof:?}");
    memory.assert_sound();

    let entries = memory.entries.lock().unwrap().clone();
    let mut tally = Tally::default();
    for entry in &entries {
        tally.add(entry).unwrap();
    }
    let nodes = vec![broker.endpoint().name; 8];
    let mut sums = tally.sums(&nodes);
    let mut losses = Losses::new(&tally, &nodes, &[], None);
    entries.iter().for_each(|entry| losses.add(entry));
    losses.finish(&mut sums);
    let finding = total_queue::finding(sums, true);
    let unknown = memory.publishes(Phase::Info).len() as u64;
    assert_eq!(finding.data.counts.info, unknown);
    let treated = plan.treated().into_iter().map(|id| Value {
        producer: id.producer,
        sequence: id.sequence,
    });
    (finding.verdict, finding.data, treated.collect())
}

fn lost(data: &TotalQueue) -> BTreeSet<Value> {
    data.lost_values.iter().map(|lost| lost.value).collect()
}

async fn is_found(broker: &Broker, defect: Defect, places: BTreeSet<u64>) {
    let count = places.len() as u64;
    let (verdict, data, treated) = judged(broker, Some(defect), places).await;
    let told = format!("{defect:?} {count} times: {data:?}");
    match defect {
        Defect::Discard => {
            assert_eq!(verdict, Verdict::Invalid, "{told}");
            assert_eq!(lost(&data), treated, "{told}");
        }
        Defect::Repeat => {
            assert_eq!(
                (verdict, data.duplicates),
                (Verdict::Valid, count),
                "{told}"
            );
        }
        Defect::Invent => {
            assert_eq!(verdict, Verdict::Invalid, "{told}");
            let real = |value: &Value| Value {
                sequence: value.sequence - (1 << 40),
                ..*value
            };
            let unexpected: BTreeSet<Value> = data.unexpected_values.iter().map(real).collect();
            assert_eq!(unexpected, treated, "{told}");
        }
        Defect::Corrupt => {
            assert_eq!(verdict, Verdict::Invalid, "{told}");
            assert_eq!((data.foreign, lost(&data)), (count, treated), "{told}");
        }
        Defect::NackKept => {
            assert_eq!(
                (verdict, data.counts.fail),
                (Verdict::Valid, count),
                "{told}"
            );
            assert_eq!(data.nacked_received, count, "{told}");
        }
        Defect::ReturnKept => {
            assert_eq!(verdict, Verdict::Invalid, "{told}");
            let unexpected: BTreeSet<Value> = data.unexpected_values.iter().copied().collect();
            assert_eq!((data.counts.fail, unexpected), (count, treated), "{told}");
        }
        // One may cut off others that were on their way.
        Defect::Hang | Defect::Close => {
            assert_eq!((verdict, data.lost), (Verdict::Valid, Some(0)), "{told}");
            assert!(data.counts.info >= count, "{told}");
        }
        Defect::Reorder | Defect::Delay => {
            assert_eq!((verdict, data.lost), (Verdict::Valid, Some(0)), "{told}");
            assert_eq!((data.confirmed, data.duplicates), (*MESSAGES, 0), "{told}");
        }
    }
}

/// One in the middle; or many, spread evenly.
fn places(count: u64) -> BTreeSet<u64> {
    (0..count)
        .map(|n| (2 * n + 1) * *MESSAGES / (2 * count))
        .collect()
}

pub async fn a_clean_pass_is_valid(broker: Broker) {
    let (verdict, data, _) = judged(&broker, None, BTreeSet::new()).await;
    assert_eq!(verdict, Verdict::Valid, "{data:?}");
    assert_eq!((data.confirmed, data.received), (*MESSAGES, *MESSAGES));
    assert_eq!((data.duplicates, data.foreign), (0, 0));
}

pub async fn what_a_broker_must_not_drop_or_add_is_found(broker: Broker) {
    are_found(&broker, &[Defect::Discard, Defect::Repeat, Defect::Invent]).await;
}

pub async fn what_a_broker_must_not_change_or_refuse_is_found(broker: Broker) {
    are_found(&broker, &[Defect::Corrupt, Defect::ReturnKept]).await;
}

async fn are_found(broker: &Broker, defects: &[Defect]) {
    for defect in defects {
        is_found(broker, *defect, places(1)).await;
        is_found(broker, *defect, places(200)).await;
    }
}

pub async fn what_a_broker_may_do_is_no_defect(broker: Broker) {
    for defect in [Defect::NackKept, Defect::Reorder, Defect::Delay] {
        is_found(&broker, defect, places(1)).await;
        is_found(&broker, defect, places(50)).await;
    }
    for defect in [Defect::Hang, Defect::Close] {
        is_found(&broker, defect, places(1)).await;
    }
}
