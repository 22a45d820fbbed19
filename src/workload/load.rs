//! The load of a run: what every workload is given and tells, and which there are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::administration::Administration;
pub use super::ledger::Counts;
use super::{Credentials, Endpoint, Record, Tally, fifo, lock, metadata, queue, stream};
use crate::clock::RunClock;
use crate::event::Emit;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::scenario::{Amount, Queue, Workload, WorkloadKind};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What the load needs.
#[derive(Clone)]
pub struct LoadContext {
    /// The nodes; clients take them in turn, so that each has as many.
    pub endpoints: Vec<Endpoint>,
    /// How to log in.
    pub credentials: Credentials,
    /// The queues; they exist.
    pub queue: Queue,
    /// What is done when.
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
    /// Becomes true when nothing new shall begin. For `Amount::Schedule` this is its end.
    pub stop: watch::Receiver<bool>,
    /// The brokers, to those who change more than messages in them.
    pub administration: Option<Administration>,
}

impl LoadContext {
    /// Whether nothing new shall begin.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    fn nodes(&self) -> u32 {
        u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX)
    }

    /// How many clients there are that publish; their numbers begin at 0.
    pub(super) fn producers(&self) -> u32 {
        self.workload.all_producers(self.nodes())
    }

    /// How many clients there are that only read; their numbers come after the producers'.
    pub(super) fn consumers(&self) -> u32 {
        self.workload.all_consumers(&self.queue, self.nodes())
    }

    /// The node of a client, counted among its like.
    pub(super) fn endpoint(&self, place: u32) -> Option<Endpoint> {
        let place = place.checked_rem(self.nodes())?;
        self.endpoints.get(usize::try_from(place).ok()?).cloned()
    }

    /// The logical process of a client's connection, both counted from 0: no two have the same.
    pub(super) fn process(&self, client: u32, connection: u32) -> u32 {
        let clients = self.workload.clients(&self.queue, self.nodes());
        connection.wrapping_mul(clients).wrapping_add(client)
    }

    /// How many operations each client has to do and when their time is over, if they begin now.
    pub(super) fn bounds(&self, start: Nanos) -> (Option<u64>, Option<Nanos>) {
        match self.workload.amount {
            Amount::Messages(count) => (Some(count), None),
            Amount::Duration(duration) => {
                let nanos = Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX);
                (None, Some(start.saturating_add(nanos)))
            }
            Amount::Schedule => (None, None),
        }
    }
}

/// What the load did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadSummary {
    /// Producers, then consumers, each in the order of the nodes.
    pub clients: Vec<ClientSummary>,
    /// What must not happen: a client that panicked, a confirm that contradicts another. The
    /// history is then not to be trusted as complete.
    pub errors: Vec<String>,
}

/// What one client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSummary {
    /// Its node.
    pub node: NodeName,
    /// Its operations (a producer's attempts) and how they ended.
    pub counts: Counts,
    /// Connections that were established.
    pub connections: u32,
    /// Why it ended before its work did, if so.
    pub gave_up: Option<String>,
}

/// Runs all clients to their end: the workload's amount, the stop, or each one's last
/// reconnect. After that an outstanding answer is awaited for at most the confirm timeout.
pub async fn run(context: LoadContext) -> LoadSummary {
    match context.workload.kind {
        WorkloadKind::Queue
        | WorkloadKind::Order
        | WorkloadKind::DeadLetter
        | WorkloadKind::Transient => queue::run(context).await,
        WorkloadKind::Lock => lock::run(context).await,
        WorkloadKind::Fifo => fifo::run(context).await,
        WorkloadKind::Metadata => metadata::run(context).await,
        WorkloadKind::Stream => stream::run(context).await,
    }
}

/// Runs all that publish to their end, and all that only read until then; each is given its place among its like and
/// its node, and those that read are told when nobody publishes any more.
pub(super) async fn publish_and_read<P, R>(
    context: LoadContext,
    publish: impl Fn(u32, Endpoint, Nanos, LoadContext) -> P,
    read: impl Fn(u32, Endpoint, LoadContext, watch::Receiver<bool>) -> R,
) -> LoadSummary
where
    P: Future<Output = ClientSummary> + Send + 'static,
    R: Future<Output = (u32, ClientSummary)> + Send + 'static,
{
    let start = context.clock.now();
    let (end, ended) = watch::channel(false);
    let mut readers = JoinSet::new();
    for place in 0..context.consumers() {
        if let Some(endpoint) = context.endpoint(place) {
            readers.spawn(read(place, endpoint, context.clone(), ended.clone()));
        }
    }
    let mut publishers = JoinSet::new();
    for number in 0..context.producers() {
        let Some(endpoint) = context.endpoint(number) else {
            break;
        };
        let publishing = publish(number, endpoint, start, context.clone());
        publishers.spawn(async move { (number, publishing.await) });
    }
    let mut summary = gather(publishers, &context).await;
    let _nobody_reads = end.send(true);
    let readers = gather(readers, &context).await;
    summary.clients.extend(readers.clients);
    summary.errors.extend(readers.errors);
    summary
}

/// Waits for all clients, which come with their numbers, and tells the progress meanwhile.
pub(super) async fn gather(
    mut clients: JoinSet<(u32, ClientSummary)>,
    context: &LoadContext,
) -> LoadSummary {
    let mut summaries = Vec::new();
    let mut errors = Vec::new();
    let mut progress = interval(PROGRESS_INTERVAL);
    progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            joined = clients.join_next() => match joined {
                Some(Ok(summary)) => summaries.push(summary),
                Some(Err(error)) => errors.push(format!("a client ended abnormally: {error}")),
                None => break,
            },
            _ = progress.tick() => context.tally.emit(&context.emit),
        }
    }
    context.tally.emit(&context.emit);
    summaries.sort_by_key(|(number, _)| *number);
    let clients: Vec<_> = summaries.into_iter().map(|(_, summary)| summary).collect();
    for client in &clients {
        let contradictions = client.counts.contradictions;
        if contradictions > 0 {
            errors.push(format!(
                "{}: {contradictions} confirms or returns contradict others",
                client.node
            ));
        }
    }
    LoadSummary { clients, errors }
}
