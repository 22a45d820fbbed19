//! The drain: reading every node's queues to their proven end.
//!
//! All nodes are drained at once, each queue through a connection of its own to each, because after a split
//! each side may hold messages that the other has not. The end is proven by the brokers: once
//! all consumers are quiet, two answers in a row of nothing ready and nothing unacknowledged on
//! every node, nothing received in between, and the same once more after the consumers have
//! acknowledged everything and are gone. Whatever cannot be had makes the drain incomplete.
//! The two answers are further apart than a quorum queue takes to refresh its counts (5 s).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::drainer::{Drainer, NodeState, Shared};
use super::{Credentials, Endpoint, Record, Tally};
use crate::clock::RunClock;
use crate::event::{DrainProof, Emit};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;

/// How long all consumers must have received nothing before the brokers are asked.
const QUIET: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const LOOKS_PER_PROGRESS: u32 = 4;
/// For one round of asking all nodes.
const ASK_DEADLINE: Duration = Duration::from_secs(60);
/// For all consumers to acknowledge and close.
const FINISH_DEADLINE: Duration = Duration::from_secs(30);
const ASKS_IN_A_ROW: u32 = 2;
const ASK_INTERVAL: Duration = Duration::from_secs(6);
/// The logical processes of drain consumers begin here, far above the producers'.
pub(super) const FIRST_PROCESS: u32 = 1 << 31;

/// What the drain needs.
#[derive(Clone)]
pub struct DrainContext {
    /// Every node of the run, also one whose broker is dead.
    pub endpoints: Vec<Endpoint>,
    /// How to log in.
    pub credentials: Credentials,
    /// The queues to be read, each with the number by which the history knows it.
    pub queues: Vec<(u16, String)>,
    /// Tells our messages from others.
    pub run_id: String,
    /// Where the history goes.
    pub recorder: Arc<dyn Record>,
    /// Where events go.
    pub emit: Arc<dyn Emit>,
    /// The run's clock.
    pub clock: RunClock,
    /// Counts, as the load left them.
    pub tally: Arc<Tally>,
    /// How long it may take in all.
    pub deadline: Duration,
}

/// What a node says of all queues together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Messages ready for delivery.
    pub ready: u64,
    /// Messages delivered and not acknowledged.
    pub unacknowledged: u64,
}

/// What every node says; `Err` tells why it did not answer. A node that is absent did not either.
pub type Counts = BTreeMap<NodeName, Result<NodeCounts, String>>;

/// Drains the queues through every node, at most until the deadline. `ask` asks all nodes.
pub async fn run<A, F>(context: DrainContext, ask: A) -> DrainProof
where
    A: Fn() -> F,
    F: Future<Output = Counts>,
{
    let of_node = || context.queues.iter().map(|_| Shared::default()).collect();
    let states = context.endpoints.iter().map(|_| of_node()).collect();
    let mut drain = Drain {
        until: Instant::now() + context.deadline,
        states,
        ask,
        last: None,
        processes: Arc::new(AtomicU32::new(FIRST_PROCESS)),
        abnormal: Vec::new(),
        context,
    };
    let mut complete = false;
    while !complete && Instant::now() < drain.until {
        complete = drain.round().await;
    }
    if !complete {
        drain.ask_empty().await;
    }
    drain.context.tally.emit(&drain.context.emit);
    drain.proof(complete)
}

struct Drain<A> {
    context: DrainContext,
    until: Instant,
    /// By node and queue.
    states: Vec<Vec<Shared>>,
    ask: A,
    last: Option<Result<Counts, String>>,
    processes: Arc<AtomicU32>,
    abnormal: Vec<String>,
}

impl<A, F> Drain<A>
where
    A: Fn() -> F,
    F: Future<Output = Counts>,
{
    /// Attaches consumers, reads until the nodes say empty, detaches, and asks again.
    async fn round(&mut self) -> bool {
        let (end, ended) = watch::channel(false);
        let mut drainers = self.attach(&ended);
        let empty = self.read_until_empty().await;
        let _no_drainer_left = end.send(true);
        let in_order = self.join(&mut drainers).await;
        let received = self.received();
        empty && in_order && self.ask_empty().await && received == self.received()
    }

    fn attach(&mut self, ended: &watch::Receiver<bool>) -> JoinSet<bool> {
        let mut drainers = JoinSet::new();
        for (endpoint, states) in self.context.endpoints.iter().zip(&self.states) {
            for ((queue, name), state) in self.context.queues.iter().zip(states) {
                let drainer = Drainer {
                    endpoint: endpoint.clone(),
                    queue: *queue,
                    name: name.clone(),
                    context: self.context.clone(),
                    state: state.clone(),
                    processes: Arc::clone(&self.processes),
                    end: ended.clone(),
                };
                drainers.spawn(drainer.run());
            }
        }
        drainers
    }

    /// Whether the nodes said so, as often as it takes, before the deadline.
    async fn read_until_empty(&mut self) -> bool {
        let (mut in_a_row, mut looks) = (0, 0);
        let mut asked = Instant::now();
        while in_a_row < ASKS_IN_A_ROW {
            if Instant::now() >= self.until {
                return false;
            }
            if looks % LOOKS_PER_PROGRESS == 0 {
                self.context.tally.emit(&self.context.emit);
            }
            looks += 1;
            let quiet = self.is_quiet();
            if !quiet {
                in_a_row = 0;
            }
            if !quiet || (in_a_row > 0 && asked.elapsed() < ASK_INTERVAL) {
                sleep(LOOK_INTERVAL).await;
                continue;
            }
            asked = Instant::now();
            let received = self.received();
            if self.ask_empty().await && received == self.received() && self.is_attached() {
                in_a_row += 1;
            } else {
                in_a_row = 0;
                sleep(LOOK_INTERVAL).await;
            }
        }
        true
    }

    /// Whether all consumers acknowledged everything and closed in good order.
    async fn join(&mut self, drainers: &mut JoinSet<bool>) -> bool {
        let mut in_order = true;
        let until = Instant::now() + FINISH_DEADLINE;
        loop {
            match timeout_at(until, drainers.join_next()).await {
                Ok(Some(Ok(ended_in_order))) => in_order &= ended_in_order,
                Ok(Some(Err(error))) => {
                    in_order = false;
                    self.abnormal
                        .push(format!("a consumer ended abnormally: {error}"));
                }
                Ok(None) => return in_order,
                Err(_elapsed) => {
                    drainers.shutdown().await;
                    return false;
                }
            }
        }
    }

    /// Asks all nodes; whether each answered that it has nothing.
    async fn ask_empty(&mut self) -> bool {
        let answer = timeout(ASK_DEADLINE, (self.ask)()).await;
        let answer =
            answer.map_err(|_elapsed| format!("no answer within {} s", ASK_DEADLINE.as_secs()));
        let empty = answer.as_ref().is_ok_and(|counts| {
            self.context
                .endpoints
                .iter()
                .all(|endpoint| counts.get(&endpoint.name) == Some(&Ok(NodeCounts::default())))
        });
        self.last = Some(answer);
        empty
    }
}

impl<A> Drain<A> {
    fn states(&self) -> impl Iterator<Item = NodeState> {
        self.states.iter().flatten().map(Shared::get)
    }

    fn received(&self) -> u64 {
        self.states().map(|state| state.received).sum()
    }

    fn is_attached(&self) -> bool {
        self.states().all(|state| state.attached)
    }

    fn is_quiet(&self) -> bool {
        let quiet = Nanos::try_from(QUIET.as_nanos()).unwrap_or(Nanos::MAX);
        let before = self.context.clock.now() - quiet;
        self.states()
            .all(|state| state.attached && state.active <= before)
    }

    fn proof(&self, complete: bool) -> DrainProof {
        let mut evidence = Vec::new();
        for (endpoint, states) in self.context.endpoints.iter().zip(&self.states) {
            let said = self.said(&endpoint.name);
            evidence.push(format!("{}: {}; {said}", endpoint.name, in_words(states)));
        }
        evidence.extend(self.abnormal.iter().cloned());
        evidence.push(if complete {
            format!(
                "every node said so {ASKS_IN_A_ROW} times, {} s apart, with all consumers quiet, \
                 and again after they were gone",
                ASK_INTERVAL.as_secs()
            )
        } else {
            let seconds = self.context.deadline.as_secs();
            format!("not proven empty within {seconds} s")
        });
        DrainProof { complete, evidence }
    }

    /// What a node last said of its queues, in words.
    fn said(&self, node: &NodeName) -> String {
        match &self.last {
            None => "its counts were never asked, because consumers were not quiet".to_owned(),
            Some(Err(error)) => format!("its counts: {error}"),
            Some(Ok(counts)) => match counts.get(node) {
                None => "its counts: not answered".to_owned(),
                Some(Err(error)) => format!("its counts: {error}"),
                Some(Ok(counts)) => format!(
                    "it says {} ready, {} unacknowledged",
                    counts.ready, counts.unacknowledged
                ),
            },
        }
    }
}

/// What the drainers of one node did.
fn in_words(states: &[Shared]) -> String {
    let (mut received, mut retries, mut trouble) = (0, 0, None);
    for state in states.iter().map(Shared::get) {
        received += state.received;
        retries += state.retries;
        trouble = trouble.or(state.trouble);
    }
    match trouble {
        None => format!("received {received}"),
        Some(trouble) => {
            format!("received {received}, connected again {retries} times ({trouble})")
        }
    }
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
