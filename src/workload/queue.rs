//! The queue workload: one producer per node, publishing to one queue with publisher confirms,
//! persistent and mandatory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use super::ledger::Counts;
use super::producer::Producer;
use super::{Credentials, Endpoint, Record, Tally};
use crate::clock::RunClock;
use crate::event::Emit;
use crate::inventory::NodeName;
use crate::scenario::{Queue, Workload};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What the load needs.
#[derive(Clone)]
pub struct LoadContext {
    /// Every node has a producer of its own; its number is its place in this list.
    pub endpoints: Vec<Endpoint>,
    /// How to log in.
    pub credentials: Credentials,
    /// The queue; it exists.
    pub queue: Queue,
    /// What is published when.
    pub workload: Workload,
    /// In every message.
    pub run_id: String,
    /// Where the history goes.
    pub recorder: Arc<dyn Record>,
    /// Where events go.
    pub emit: Arc<dyn Emit>,
    /// The run's clock.
    pub clock: RunClock,
    /// Counts, to be handed on to the drain.
    pub tally: Arc<Tally>,
    /// Becomes true when no new attempt shall begin. For `Amount::Schedule` this is its end.
    pub stop: watch::Receiver<bool>,
}

/// What the load did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadSummary {
    /// In the order of the endpoints.
    pub producers: Vec<ProducerSummary>,
    /// What must not happen: a producer that panicked, a confirm that contradicts another. The
    /// history is then not to be trusted as complete.
    pub errors: Vec<String>,
}

/// What one producer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSummary {
    /// Its node.
    pub node: NodeName,
    /// Its attempts and how they ended.
    pub counts: Counts,
    /// Connections that were established.
    pub connections: u32,
    /// Why it ended before its values did, if so.
    pub gave_up: Option<String>,
}

/// Runs all producers to their end: the workload's amount, the stop, or each one's last
/// reconnect. After that an outstanding confirm is awaited for at most the confirm timeout.
pub async fn run(context: LoadContext) -> LoadSummary {
    let start = context.clock.now();
    let mut producers = JoinSet::new();
    for (number, endpoint) in (0u32..).zip(context.endpoints.iter().cloned()) {
        let producer = Producer::new(number, endpoint, start, context.clone());
        producers.spawn(async move { (number, producer.run().await) });
    }
    let mut summaries = Vec::new();
    let mut errors = Vec::new();
    let mut progress = interval(PROGRESS_INTERVAL);
    progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            joined = producers.join_next() => match joined {
                Some(Ok(summary)) => summaries.push(summary),
                Some(Err(error)) => errors.push(format!("a producer ended abnormally: {error}")),
                None => break,
            },
            _ = progress.tick() => context.tally.emit(&context.emit),
        }
    }
    context.tally.emit(&context.emit);
    summaries.sort_by_key(|(number, _)| *number);
    let producers: Vec<_> = summaries.into_iter().map(|(_, summary)| summary).collect();
    for producer in &producers {
        let contradictions = producer.counts.contradictions;
        if contradictions > 0 {
            errors.push(format!(
                "{}: {contradictions} confirms or returns contradict others",
                producer.node
            ));
        }
    }
    LoadSummary { producers, errors }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
