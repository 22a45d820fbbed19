//! The workloads `queue` and `order`: producers at each node, publishing with publisher confirms,
//! persistent and mandatory; and consumers that read meanwhile, until all producers have ended.
//!
//! What no consumer has acknowledged by then is left to the drain.

use super::consumer::Consumer;
use super::load::{LoadContext, LoadSummary, publish_and_read};
use super::producer::Producer;

/// Runs all producers to their end, and the consumers until then.
pub async fn run(context: LoadContext) -> LoadSummary {
    publish_and_read(
        context,
        |number, endpoint, start, context| Producer::new(number, endpoint, start, context).run(),
        |place, endpoint, context, ended| Consumer::new(place, endpoint, context, ended).run(),
    )
    .await
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
