//! The workloads `queue` and `order`: producers at each node, publishing with publisher confirms,
//! persistent and mandatory; and consumers that read meanwhile, until all producers have ended.
//!
//! What no consumer has acknowledged by then is left to the drain.

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::consumer::Consumer;
use super::load::{LoadContext, LoadSummary, gather};
use super::producer::Producer;

/// Runs all producers to their end, and the consumers until then.
pub async fn run(context: LoadContext) -> LoadSummary {
    let start = context.clock.now();
    let (end, ended) = watch::channel(false);
    let mut consumers = JoinSet::new();
    for place in 0..context.consumers() {
        if let Some(endpoint) = context.endpoint(place) {
            let consumer = Consumer::new(place, endpoint, context.clone(), ended.clone());
            consumers.spawn(consumer.run());
        }
    }
    let mut producers = JoinSet::new();
    for number in 0..context.producers() {
        let Some(endpoint) = context.endpoint(number) else {
            break;
        };
        let producer = Producer::new(number, endpoint, start, context.clone());
        producers.spawn(async move { (number, producer.run().await) });
    }
    let mut summary = gather(producers, &context).await;
    let _nobody_reads = end.send(true);
    let consumers = gather(consumers, &context).await;
    summary.clients.extend(consumers.clients);
    summary.errors.extend(consumers.errors);
    summary
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
