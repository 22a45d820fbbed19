//! Counts while a run is on: for the terminal, the metrics, and conditions of the schedule. The
//! verdict counts again, from the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{Emit, Event, NodeProgress};
use crate::history::operation::{Nanos, Phase};
use crate::inventory::NodeName;

/// Upper ends of the latencies that are counted together, in nanoseconds. What takes longer has a
/// count of its own.
pub const LATENCY_BOUNDS: [Nanos; 14] = [
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Counts of a run so far, shared by all its clients.
#[derive(Debug)]
pub struct Tally {
    /// In the order of the run's nodes.
    nodes: Vec<(NodeName, NodeTally)>,
}

#[derive(Debug, Default)]
struct NodeTally {
    attempts: AtomicU64,
    ok: AtomicU64,
    fail: AtomicU64,
    info: AtomicU64,
    received: AtomicU64,
    /// By [`LATENCY_BOUNDS`], and one more for what is beyond them.
    latencies: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_sum: AtomicU64,
}

/// How long the operations of one node took that ended `ok`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How many took at most so long, by [`LATENCY_BOUNDS`] and not more than one bound before; the
    /// last count is of those beyond all bounds.
    pub counts: [u64; LATENCY_BOUNDS.len() + 1],
    /// Of all, in nanoseconds.
    pub sum: u64,
}

impl Tally {
    /// Nothing has happened yet at any node of the run, which come in its order.
    pub fn new(nodes: impl IntoIterator<Item = NodeName>) -> Self {
        let nodes = nodes.into_iter().map(|name| (name, NodeTally::default()));
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Counts an operation's entry. `took` is given where it ended `ok` and its beginning is known.
    pub(super) fn operated(&self, node: u16, phase: Phase, took: Option<Nanos>) {
        let Some((_, node)) = self.nodes.get(usize::from(node)) else {
            return;
        };
        let counter = match phase {
            Phase::Invoke => &node.attempts,
            Phase::Ok => &node.ok,
            Phase::Fail => &node.fail,
            Phase::Info => &node.info,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            let bucket = LATENCY_BOUNDS.partition_point(|bound| *bound < took);
            node.latencies[bucket].fetch_add(1, Ordering::Relaxed);
            let took = u64::try_from(took).unwrap_or(0);
            node.latency_sum.fetch_add(took, Ordering::Relaxed);
        }
    }

    /// Counts a received message.
    pub(super) fn received(&self, node: u16) {
        if let Some((_, node)) = self.nodes.get(usize::from(node)) {
            node.received.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many operations succeeded so far; of producers, publishes that were confirmed.
    pub fn confirms(&self) -> u64 {
        let ok = |(_, node): &(_, NodeTally)| node.ok.load(Ordering::Relaxed);
        self.nodes.iter().map(ok).sum()
    }

    /// The counts of each node, in the order of the run's nodes.
    pub fn counts(&self) -> impl Iterator<Item = (&NodeName, NodeProgress)> {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.nodes.iter().map(move |(name, node)| {
            let counts = NodeProgress {
                attempts: of(&node.attempts),
                ok: of(&node.ok),
                fail: of(&node.fail),
                info: of(&node.info),
                received: of(&node.received),
            };
            (name, counts)
        })
    }

    /// The latencies of each node, in the order of the run's nodes.
    pub fn latencies(&self) -> impl Iterator<Item = (&NodeName, Latencies)> {
        self.nodes.iter().map(|(name, node)| {
            let latencies = Latencies {
                counts: std::array::from_fn(|at| node.latencies[at].load(Ordering::Relaxed)),
                sum: node.latency_sum.load(Ordering::Relaxed),
            };
            (name, latencies)
        })
    }

    /// The counts as an event.
    pub(super) fn emit(&self, emit: &Arc<dyn Emit>) {
        let nodes: BTreeMap<_, _> = self
            .counts()
            .map(|(name, counts)| (name.clone(), counts))
            .collect();
        let sum = |count: fn(&NodeProgress) -> u64| nodes.values().map(count).sum();
        emit.emit(Event::Progress {
            attempts: sum(|node| node.attempts),
            ok: sum(|node| node.ok),
            fail: sum(|node| node.fail),
            info: sum(|node| node.info),
            received: sum(|node| node.received),
            nodes,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_counts_of_its_own() {
        let tally = Tally::new(["n1", "n2"].map(|name| NodeName(name.to_owned())));
        tally.operated(0, Phase::Invoke, None);
        tally.operated(0, Phase::Ok, Some(1_000_000));
        tally.operated(1, Phase::Invoke, None);
        tally.operated(1, Phase::Ok, Some(31_000_000_000));
        tally.operated(1, Phase::Fail, None);
        tally.received(1);
        let counts: Vec<_> = tally.counts().map(|(_, counts)| counts).collect();
        let first = NodeProgress {
            attempts: 1,
            ok: 1,
            ..NodeProgress::default()
        };
        let second = NodeProgress {
            fail: 1,
            received: 1,
            ..first
        };
        assert_eq!(counts, [first, second]);
        assert_eq!(tally.confirms(), 2);
        let latencies: Vec<_> = tally.latencies().map(|(_, latencies)| latencies).collect();
        assert_eq!(latencies[0].counts[0], 1, "a bound counts what is equal");
        assert_eq!(latencies[1].counts[LATENCY_BOUNDS.len()], 1);
        assert_eq!(latencies[1].sum, 31_000_000_000);
    }
}
