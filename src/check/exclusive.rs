//! Single active consumers: whether a queue gave messages to two at once.
//!
//! A delivery is read some time after the broker sent it, so that two consumers may read by turns what
//! was never sent by turns. What is certain of a delivery: it was sent after the publish of its message began and
//! before it was read. So of two deliveries the second was sent later for certain if its message was
//! published after the first was read. Deliveries of which each is in this way certainly later than the one
//! before are *turns*; only messages published while the load is on give any.
//!
//! Turns A, B say that the queue has another active consumer. That is what such queues are for: A may have
//! cancelled, or be lost, and not know it yet.
//!
//! Turns A, B, A, without A having begun anew, are a *switch back*. It is legal where the queue came to believe that
//! A's node is down (B's turn) and later that B's is, or where B was lost. It is counted as `suspected` and never
//! makes a run invalid.
//!
//! Turns A, B, A, B are an *overlap* and **invalid** if nothing legal explains them:
//!
//! - No consumer was lost or began anew: each of the two has one subscription on one connection, which is not
//!   cancelled before its last turn, and a connection that delivers later was not lost earlier.
//! - The queue then changed its mind three times about consumers that were there all the time. It does so when the
//!   connection between two brokers is lost and comes back. It must have lost A's node, before B's first turn, and
//!   lost it again, between A's second turn and B's second. Brokers that only do not hear from each other
//!   give each other up after three quarters of `net_ticktime` at the earliest, and that time begins anew when they
//!   have found each other again. All four turns lie within less than that, from the first one's publish
//!   to the last one's receipt.
//! - Whatever else parts brokers, moves queues or makes channels subscribe again behind a consumer's back
//!   (a mirror's promotion) is a fault, or comes of one. None was in force, or had been for so long as it
//!   takes brokers to settle ([`SETTLING`] or four times `net_ticktime`, the longer); nor did a broker say in that time
//!   that a node was down or cut off.
//!
//! Of a cluster that jtest did not configure the real `net_ticktime` is not known here: all switches back are
//! `suspected` then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::{Finding, LISTED_MAX, Value};
use super::sent::Sent;
use super::table::{Check, Known, Seen};
use crate::event::{Event, NodeView, Record};
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;
use crate::scenario::{Scenario, Source};
use crate::schedule::FaultId;

/// How long after a fault everything may still be a consequence of it, at least.
pub const SETTLING: Duration = Duration::from_secs(60);

/// Switches back that are looked at; further ones count as suspected.
const CANDIDATES_MAX: usize = 1 << 16;

/// Who was active when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exclusive {
    /// Receipts by subscribers while the load was on.
    pub received: u64,
    /// Subscriptions that received something.
    pub active: u64,
    /// How often the active consumer was another one than before, as the receipts were read.
    pub handovers: u64,
    /// Switches back to a consumer that was active before and had not begun anew, all but the overlaps.
    pub suspected: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub switches: Vec<Turns>,
    /// Switches back and forth that nothing legal explains: two consumers were active at once.
    pub overlaps: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub overlapping: Vec<Turns>,
}

/// Deliveries each of which was certainly sent after the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Turns {
    /// The queue, by its place in the scenario's list.
    pub queue: u16,
    /// Three, or four where they may be an overlap.
    pub turns: Vec<Turn>,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Turn {
    /// The consumer's connection.
    pub process: u32,
    /// The node it was connected to.
    pub node: Option<NodeName>,
    /// The message.
    #[serde(flatten)]
    pub value: Value,
    /// When its publish began.
    pub published_ns: Nanos,
    /// When it was received.
    pub received_ns: Nanos,
}

#[derive(Debug, Clone, Copy)]
struct Delivery {
    process: u32,
    node: u16,
    value: Value,
    published: Nanos,
    received: Nanos,
}

/// A switch back, with the turns of an overlap where it may be one.
struct Candidate {
    queue: u16,
    turns: Vec<Delivery>,
}

/// What was read of the history so far.
pub struct Exclusives {
    sent: Sent,
    queues: HashMap<u16, Queue>,
    candidates: Vec<Candidate>,
    counts: Exclusive,
}

#[derive(Default)]
struct Queue {
    /// Subscriptions that have begun and not ended; whether they received something.
    subscribed: HashMap<u32, bool>,
    last: Option<u32>,
    /// Of two subscriptions, the smaller first: the last turns.
    pairs: HashMap<(u32, u32), VecDeque<Delivery>>,
}

impl Queue {
    /// It is of no use to compare with it any more.
    fn ended(&mut self, process: u32) {
        self.subscribed.remove(&process);
        self.pairs
            .retain(|(one, other), _| *one != process && *other != process);
    }

    /// The turns of this delivery with each other subscriber, where it makes any switch back.
    fn turns(&mut self, delivery: Delivery) -> Vec<Vec<Delivery>> {
        let mut switches = Vec::new();
        let others = self.subscribed.keys();
        for other in others.filter(|other| **other != delivery.process) {
            let pair = (delivery.process.min(*other), delivery.process.max(*other));
            let turns = self.pairs.entry(pair).or_default();
            let is_turn = turns.back().is_none_or(|last| {
                last.process != delivery.process && delivery.published > last.received
            });
            if !is_turn {
                continue;
            }
            turns.push_back(delivery);
            if turns.len() >= 3 {
                switches.push(turns.iter().copied().collect());
            }
            if turns.len() == 4 {
                turns.pop_front();
            }
        }
        switches
    }
}

impl Check for Exclusives {
    type Data = Exclusive;

    fn begin(_known: &Known<'_>) -> Self {
        Self {
            sent: Sent::default(),
            queues: HashMap::new(),
            candidates: Vec::new(),
            counts: Exclusive::default(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.sent.add(entry);
        match (entry.action, entry.phase) {
            (Action::Subscribe, Phase::Ok) => {
                let queue = self.queues.entry(entry.queue).or_default();
                queue.subscribed.insert(entry.process, false);
            }
            (Action::Cancel, Phase::Invoke) => {
                if let Some(queue) = self.queues.get_mut(&entry.queue) {
                    queue.ended(entry.process);
                }
            }
            (Action::Deliver, Phase::Ok) if entry.cause != Cause::Foreign => self.receive(entry),
            _ => {}
        }
    }

    fn finding(self, seen: &Seen<'_>) -> Finding<Exclusive> {
        let Known {
            scenario, nodes, ..
        } = seen.known;
        let troubles = Troubles::of(&seen.known);
        let patience = patience(scenario);
        let mut data = self.counts;
        for candidate in &self.candidates {
            let is_overlap = candidate.turns.len() == 4
                && span(&candidate.turns).is_some_and(|(from, until)| {
                    until - from < patience && !troubles.touch(from, until)
                });
            let (count, listed) = if is_overlap {
                (&mut data.overlaps, &mut data.overlapping)
            } else {
                (&mut data.suspected, &mut data.switches)
            };
            *count += 1;
            if listed.len() < LISTED_MAX {
                listed.push(candidate.told(nodes, is_overlap));
            }
        }
        let (verdict, summary) = verdict(&data);
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

impl Exclusives {
    fn receive(&mut self, entry: &Entry) {
        self.counts.received += 1;
        let queue = self.queues.entry(entry.queue).or_default();
        if queue.last != Some(entry.process) {
            self.counts.handovers += u64::from(queue.last.is_some());
            queue.last = Some(entry.process);
        }
        // What is under way when a consumer cancels says nothing of who is active.
        let Some(has_received) = queue.subscribed.get_mut(&entry.process) else {
            return;
        };
        self.counts.active += u64::from(!*has_received);
        *has_received = true;
        let sent = self.sent.get(entry.producer, entry.sequence, entry.attempt);
        let Some(publish) = sent else {
            return;
        };
        let delivery = Delivery {
            process: entry.process,
            node: entry.node,
            value: Value {
                producer: entry.producer,
                sequence: entry.sequence,
            },
            published: publish.from,
            received: entry.time,
        };
        for turns in queue.turns(delivery) {
            if self.candidates.len() < CANDIDATES_MAX {
                let queue = entry.queue;
                self.candidates.push(Candidate { queue, turns });
            } else {
                self.counts.suspected += 1;
            }
        }
    }
}

impl Candidate {
    /// A switch back is the last three of its turns.
    fn told(&self, nodes: &[NodeName], is_overlap: bool) -> Turns {
        let skipped = if is_overlap {
            0
        } else {
            self.turns.len().saturating_sub(3)
        };
        let turns = self.turns.iter().skip(skipped).map(|turn| Turn {
            process: turn.process,
            node: nodes.get(usize::from(turn.node)).cloned(),
            value: turn.value,
            published_ns: turn.published,
            received_ns: turn.received,
        });
        Turns {
            queue: self.queue,
            turns: turns.collect(),
        }
    }
}

/// From the first one's publish to the last one's receipt.
fn span(turns: &[Delivery]) -> Option<(Nanos, Nanos)> {
    Some((turns.first()?.published, turns.last()?.received))
}

/// In less than this, brokers that do not hear from each other do not give each other up.
fn patience(scenario: &Scenario) -> Nanos {
    if scenario.cluster.source == Source::Existing {
        return 0;
    }
    Nanos::from(scenario.cluster.net_ticktime_s) * 750_000_000
}

/// When nodes may have been parted.
struct Troubles(Vec<(Nanos, Nanos)>);

impl Troubles {
    fn of(known: &Known<'_>) -> Self {
        let ticks = known.scenario.cluster.net_ticktime_s.saturating_mul(4);
        let settling = SETTLING.max(Duration::from_secs(u64::from(ticks)));
        let settling = Nanos::try_from(settling.as_nanos()).unwrap_or(Nanos::MAX);
        let mut faults = BTreeMap::<FaultId, (Nanos, Nanos)>::new();
        let mut troubles = Vec::new();
        for Record { time, event } in known.events {
            match event {
                Event::FaultAsked { fault, .. } => {
                    faults.insert(*fault, (*time, Nanos::MAX));
                }
                Event::FaultHealed { fault, at, .. } => {
                    if let Some((_, until)) = faults.get_mut(fault) {
                        *until = at.saturating_add(settling);
                    }
                }
                Event::ClusterView { views, .. } if is_parted(views, known.nodes) => {
                    let around = (time.saturating_sub(settling), time.saturating_add(settling));
                    troubles.push(around);
                }
                _ => {}
            }
        }
        troubles.extend(faults.into_values());
        Self(troubles)
    }

    fn touch(&self, from: Nanos, until: Nanos) -> bool {
        self.0
            .iter()
            .any(|trouble| trouble.0 <= until && from <= trouble.1)
    }
}

/// Whether a node says that it does not see all.
fn is_parted(views: &BTreeMap<NodeName, NodeView>, nodes: &[NodeName]) -> bool {
    views
        .values()
        .any(|view| view.running.len() < nodes.len() || !view.partitions.is_empty())
}

fn verdict(data: &Exclusive) -> (Verdict, String) {
    if let Some(first) = data.overlapping.first() {
        let node = |turn: usize| {
            let node = first.turns.get(turn).and_then(|turn| turn.node.as_ref());
            node.map_or("?", |node| node.0.as_str())
        };
        let summary = format!(
            "two consumers of a queue were active at once {} times, first on {} and {}",
            data.overlaps,
            node(0),
            node(1)
        );
        (Verdict::Invalid, summary)
    } else if data.received == 0 {
        let summary = "no consumer received anything, so none was seen active".to_owned();
        (Verdict::Unknown, summary)
    } else {
        let summary = format!(
            "never two active consumers for certain; {} were active, {} switches back may have been legal",
            data.active, data.suspected
        );
        (Verdict::Valid, summary)
    }
}

#[cfg(test)]
#[path = "exclusive_tests.rs"]
mod tests;
