//! The queue workload: one producer per node, publishing to one queue with publisher confirms,
//! persistent and mandatory.

use tokio::task::JoinSet;

use super::load::{LoadContext, LoadSummary, gather};
use super::producer::Producer;

/// Runs all producers to their end.
pub async fn run(context: LoadContext) -> LoadSummary {
    let start = context.clock.now();
    let mut producers = JoinSet::new();
    for (number, endpoint) in (0u32..).zip(context.endpoints.iter().cloned()) {
        let producer = Producer::new(number, endpoint, start, context.clone());
        producers.spawn(async move { (number, producer.run().await) });
    }
    gather(producers, &context).await
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
