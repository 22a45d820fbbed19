//! The order of each producer's messages, as consumers see it.
//!
//! A message is one attempt at one value; an attempt that was sent again is another message, whose place
//! in the order is its own. Of two messages of one producer in one queue, *x is before y* if
//!
//! - both were published on the same connection, x first; or
//! - x was confirmed, as its producer knew, before the publish of y began, on whatever connections.
//!
//! Nothing else is: a publish whose connection was lost may reach the queue after what the producer's next
//! connection sends, and a value that is sent again comes after those that were sent meanwhile.
//!
//! Claimed is: **a consumer that receives a message for the first time, not marked as redelivered, has received none
//! before that comes after it**. It holds for a consumer alone, for each of several that compete, and for the one
//! that a single-active-consumer queue chose, because
//!
//! - a queue hands out what it holds in order, first in, first out; of what it had handed out and got back
//!   again, which may come later, every message is marked, and one that is not marked was given to nobody
//!   before. So if x comes unmarked, it was in the queue when y, behind it, was handed out;
//! - a consumer's connection delivers in the order in which the broker sent, and the history keeps it.
//!
//! A message that is marked is never called out of order, wherever it comes: consumer, connection or leader
//! may have been lost with it, even if nobody is known to have received it. It counts among what was seen before
//! a message that is not marked, since whoever had it first had it earlier still.
//!
//! A message that comes once more *without* the mark, as from a mirror that took over and had not heard of its
//! delivery, was in its place when it came first. It is counted as repeated, which is a matter of `duplicates`.
//!
//! What other consumers have seen counts as seen before by a consumer that began to subscribe after that: what it
//! is given, was given later. For two that are subscribed at once nothing is compared: what the broker sent to the
//! one may be read later than what it sent to the other afterwards, however long that takes. The consumers
//! of the drain begin after all others and are judged as they are. One that gets messages one by one is judged by
//! what it got itself.
//!
//! A message that never comes is no matter of order; `total-queue` looks for it.

use foldhash::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::{Finding, LISTED_MAX, Value};
use super::sent::{Publish, Sent};
use super::table::{Check, Known, Seen};
use super::value_set::ValueSet;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// What consumers saw of the order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Order {
    /// Receipts of this run's messages while the load was on.
    pub received: u64,
    /// The same in the drain.
    pub drained: u64,
    /// Of both, those marked as redelivered.
    pub redelivered: u64,
    /// Connections of consumers that received something, those of the drain included.
    pub consumers: u64,
    /// Receipts, not marked, of what had been received before: out of place, and the message is not.
    pub repeated: u64,
    /// First receipts, not marked, after one of a message that comes later.
    pub backward: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub jumps: Vec<Jump>,
}

/// A message that was received after one that comes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Jump {
    /// The queue, by its place in the scenario's list.
    pub queue: u16,
    /// The consumer's connection.
    pub process: u32,
    /// The node it was connected to.
    pub node: Option<NodeName>,
    /// The message that came too late.
    pub late: Sighting,
    /// The one that it should have come before.
    pub after: Sighting,
}

/// A message, and when a consumer had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sighting {
    /// Which value.
    #[serde(flatten)]
    pub value: Value,
    /// Which attempt at it.
    pub attempt: u16,
    /// When its publish began.
    pub published_ns: Nanos,
    /// When its confirm was known, if that came before the receipt.
    pub confirmed_ns: Option<Nanos>,
    /// When it was received.
    pub received_ns: Nanos,
}

/// What was read of the history so far.
#[derive(Default)]
pub struct Orders {
    sent: Sent,
    /// By queue: what was received of it while the load was on.
    queues: HashMap<u16, Reached>,
    /// By connection and queue.
    consumers: HashMap<(u32, u16), Consumer>,
    /// First attempts that were received, and later ones.
    first_attempts: ValueSet,
    later_attempts: HashSet<(Value, u16)>,
    counts: Order,
    /// The nodes of the jumps.
    jumped: Vec<u16>,
}

#[derive(Default)]
struct Consumer {
    /// What it has seen, or others before it began.
    reached: Reached,
    has_received: bool,
}

/// The last messages of those that were received.
#[derive(Clone, Default)]
struct Reached {
    /// By connection of a producer: the one published last.
    on: HashMap<u32, (u32, Sighting)>,
    /// By producer: the one whose publish began last.
    of: HashMap<u32, Sighting>,
}

impl Reached {
    fn add(&mut self, publish: Publish, sighting: Sighting) {
        let on = self.on.entry(publish.process);
        let on = on.or_insert((publish.position, sighting));
        if on.0 < publish.position {
            *on = (publish.position, sighting);
        }
        let of = self.of.entry(sighting.value.producer).or_insert(sighting);
        if of.published_ns < sighting.published_ns {
            *of = sighting;
        }
    }

    /// A message among them that comes after this one.
    fn after(&self, publish: Publish, sighting: &Sighting) -> Option<Sighting> {
        let on = self.on.get(&publish.process);
        if let Some((_, later)) = on.filter(|(position, _)| *position > publish.position) {
            return Some(*later);
        }
        let confirmed = publish.confirmed()?;
        let of = self.of.get(&sighting.value.producer)?;
        (of.published_ns > confirmed).then_some(*of)
    }
}

impl Check for Orders {
    type Data = Order;

    fn begin(_known: &Known<'_>) -> Self {
        Self::default()
    }

    fn add(&mut self, entry: &Entry) {
        self.sent.add(entry);
        match (entry.action, entry.phase) {
            (Action::Subscribe, Phase::Invoke) => self.begin_after_others(entry),
            (Action::Deliver | Action::Get | Action::Drain, Phase::Ok)
                if entry.cause != Cause::Foreign =>
            {
                self.receive(entry);
            }
            _ => {}
        }
    }

    fn finding(self, seen: &Seen<'_>) -> Finding<Order> {
        let mut data = self.counts;
        for (jump, node) in data.jumps.iter_mut().zip(self.jumped) {
            jump.node = seen.known.nodes.get(usize::from(node)).cloned();
        }
        let (verdict, summary) = verdict(&data);
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

impl Orders {
    /// What it will be given was given to nobody before, unless it is marked.
    fn begin_after_others(&mut self, entry: &Entry) {
        let reached = self.queues.get(&entry.queue).cloned().unwrap_or_default();
        let consumer = Consumer {
            reached,
            has_received: false,
        };
        self.consumers
            .insert((entry.process, entry.queue), consumer);
    }

    fn receive(&mut self, entry: &Entry) {
        let in_drain = entry.action == Action::Drain;
        if in_drain {
            self.counts.drained += 1;
        } else {
            self.counts.received += 1;
        }
        self.counts.redelivered += u64::from(entry.redelivered);
        let key = (entry.process, entry.queue);
        if in_drain && !self.consumers.contains_key(&key) {
            self.begin_after_others(entry);
        }
        let consumer = self.consumers.entry(key).or_default();
        if !consumer.has_received {
            consumer.has_received = true;
            self.counts.consumers += 1;
        }
        // One that was never sent is `total-queue`'s to tell.
        let sent = self.sent.get(entry.producer, entry.sequence, entry.attempt);
        let Some(publish) = sent else {
            return;
        };
        let sighting = Sighting {
            value: Value {
                producer: entry.producer,
                sequence: entry.sequence,
            },
            attempt: entry.attempt,
            published_ns: publish.from,
            confirmed_ns: publish.confirmed(),
            received_ns: entry.time,
        };
        let is_first = if entry.attempt == 0 {
            self.first_attempts.insert(sighting.value)
        } else {
            self.later_attempts.insert((sighting.value, entry.attempt))
        };
        self.counts.repeated += u64::from(!is_first && !entry.redelivered);
        let after = consumer.reached.after(publish, &sighting);
        if let Some(after) = after.filter(|_| is_first && !entry.redelivered) {
            self.counts.backward += 1;
            if self.counts.jumps.len() < LISTED_MAX {
                self.jumped.push(entry.node);
                self.counts.jumps.push(Jump {
                    queue: entry.queue,
                    process: entry.process,
                    node: None,
                    late: sighting,
                    after,
                });
            }
        }
        consumer.reached.add(publish, sighting);
        if !in_drain {
            let queue = self.queues.entry(entry.queue).or_default();
            queue.add(publish, sighting);
        }
    }
}

fn verdict(data: &Order) -> (Verdict, String) {
    if let Some(Jump { late, after, .. }) = data.jumps.first() {
        let summary = format!(
            "{} messages were received out of order, first message {} of producer {} after message {}",
            data.backward, late.value.sequence, late.value.producer, after.value.sequence
        );
        (Verdict::Invalid, summary)
    } else if data.received == 0 {
        let summary = "no consumer received anything, so no order was seen".to_owned();
        (Verdict::Unknown, summary)
    } else {
        let summary = format!(
            "{} messages were received in the order of their producers, redeliveries ({}) apart",
            data.received + data.drained,
            data.redelivered
        );
        (Verdict::Valid, summary)
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
