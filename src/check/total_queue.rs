//! What happened to every message: the accounting that the verdict stands on.
//!
//! A value is a producer's sequence number; each attempt at it is one publish. Of the
//! outcomes of a value's attempts and of the number of times it was received follows:
//!
//! | attempts | received | it is |
//! | --- | --- | --- |
//! | some `ok` | never | lost, if drain and history are complete |
//! | none `ok`, some `info` or without an end | at least once | recovered |
//! | all `fail`, some by nack | at least once | nacked but received: reported, legal |
//! | all `fail`, none by nack; or no attempt | at least once | unexpected |
//! | any | n times, n > 1 | n - 1 duplicates: reported, legal |
//!
//! A nack says that the broker could not take responsibility, not that no replica has the
//! message; a return says that no queue took it. Hence the difference.
//!
//! The first pass keeps two bytes a value; the details of what was lost are read in a second.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Verdict;
use super::results::{
    AttemptCounts, Finding, LISTED_MAX, LossGroup, LostValue, ProducerCounts, TotalQueue, Value,
    Window,
};
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// A producer numbers its values one by one, so a larger step is damage.
const SEQUENCE_STEP_MAX: u64 = 1 << 16;

/// Producers in one run.
const PRODUCERS_MAX: usize = 1 << 16;

const OK: u8 = 1;
const INFO: u8 = 1 << 1;
const NACKED: u8 = 1 << 2;
const REFUSED: u8 = 1 << 3;
const OPEN: u8 = 1 << 4;
const INVOKED: u8 = 1 << 5;

/// Why the entries are not a history.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("producer {producer} jumps to sequence {sequence}, which no producer does")]
pub struct NotAHistory {
    producer: u32,
    sequence: u64,
}

#[derive(Default)]
struct Producer {
    node: Option<u16>,
    counts: AttemptCounts,
    flags: Vec<u8>,
    received: Vec<u8>,
}

/// The first pass.
#[derive(Default)]
pub struct Tally {
    producers: Vec<Producer>,
    /// Receipts beyond what a byte counts.
    many: HashMap<Value, u64>,
    unknown: BTreeSet<Value>,
    unknown_more: u64,
    foreign: u64,
}

impl Tally {
    /// Takes the next entry.
    pub fn add(&mut self, entry: &Entry) -> Result<(), NotAHistory> {
        match entry.action {
            Action::Publish => self.publish(entry),
            Action::Deliver | Action::Drain => {
                self.receive(entry);
                Ok(())
            }
        }
    }

    fn publish(&mut self, entry: &Entry) -> Result<(), NotAHistory> {
        let refused = NotAHistory {
            producer: entry.producer,
            sequence: entry.sequence,
        };
        let index = entry.producer as usize;
        if index >= PRODUCERS_MAX {
            return Err(refused);
        }
        if self.producers.len() <= index {
            self.producers.resize_with(index + 1, Producer::default);
        }
        let producer = &mut self.producers[index];
        if entry.sequence >= producer.flags.len() as u64 + SEQUENCE_STEP_MAX {
            return Err(refused);
        }
        let at = entry.sequence as usize;
        if producer.flags.len() <= at {
            producer.flags.resize(at + 1, 0);
            producer.received.resize(at + 1, 0);
        }
        let flags = &mut producer.flags[at];
        match entry.phase {
            Phase::Invoke => {
                producer.node.get_or_insert(entry.node);
                producer.counts.attempts += 1;
                *flags |= OPEN | INVOKED;
                return Ok(());
            }
            Phase::Ok => {
                producer.counts.ok += 1;
                *flags |= OK;
            }
            Phase::Info => {
                producer.counts.info += 1;
                *flags |= INFO;
            }
            Phase::Fail => {
                producer.counts.fail += 1;
                *flags |= if entry.cause == Cause::Nacked {
                    NACKED
                } else {
                    REFUSED
                };
            }
        }
        *flags &= !OPEN;
        Ok(())
    }

    fn receive(&mut self, entry: &Entry) {
        if entry.cause == Cause::Foreign {
            self.foreign += 1;
            return;
        }
        let value = Value {
            producer: entry.producer,
            sequence: entry.sequence,
        };
        let sent = self
            .producers
            .get_mut(value.producer as usize)
            .and_then(|producer| {
                let at = usize::try_from(value.sequence).ok()?;
                (producer.flags.get(at)? & INVOKED != 0).then_some(&mut producer.received[at])
            });
        match sent {
            Some(&mut u8::MAX) => *self.many.entry(value).or_default() += 1,
            Some(count) => *count += 1,
            None if self.unknown.len() < LISTED_MAX => {
                self.unknown.insert(value);
            }
            None => self.unknown_more += u64::from(!self.unknown.contains(&value)),
        }
    }

    /// Whether this value was confirmed and never received.
    fn is_missing(&self, value: Value) -> bool {
        self.producers
            .get(value.producer as usize)
            .zip(usize::try_from(value.sequence).ok())
            .is_some_and(|(producer, at)| {
                producer.flags.get(at).is_some_and(|flags| flags & OK != 0)
                    && producer.received.get(at) == Some(&0)
            })
    }

    /// The sums. Losses are not known yet: see [`Losses`].
    pub fn sums(&self, nodes: &[NodeName]) -> TotalQueue {
        let mut sums = TotalQueue {
            foreign: self.foreign,
            duplicates: self.many.values().sum(),
            unexpected: self.unknown.len() as u64 + self.unknown_more,
            unexpected_values: self.unknown.iter().copied().collect(),
            ..TotalQueue::default()
        };
        for (number, producer) in self.producers.iter().enumerate() {
            let counts = sum_producer(number as u32, producer, nodes, &mut sums);
            sums.counts.attempts += counts.counts.attempts;
            sums.counts.ok += counts.counts.ok;
            sums.counts.fail += counts.counts.fail;
            sums.counts.info += counts.counts.info;
            sums.confirmed += counts.confirmed;
            sums.received += counts.received;
            sums.confirmed_not_received += counts.confirmed_not_received;
            sums.producers.push(counts);
        }
        sums
    }
}

fn sum_producer(
    number: u32,
    producer: &Producer,
    nodes: &[NodeName],
    sums: &mut TotalQueue,
) -> ProducerCounts {
    let mut counts = ProducerCounts {
        producer: number,
        node: producer
            .node
            .and_then(|node| nodes.get(usize::from(node)))
            .cloned(),
        counts: producer.counts,
        confirmed: 0,
        received: 0,
        confirmed_not_received: 0,
    };
    for (at, (flags, received)) in producer.flags.iter().zip(&producer.received).enumerate() {
        let is_confirmed = flags & OK != 0;
        let is_received = *received > 0;
        counts.counts.info += u64::from(flags & OPEN != 0);
        counts.confirmed += u64::from(is_confirmed);
        counts.received += u64::from(is_received);
        counts.confirmed_not_received += u64::from(is_confirmed && !is_received);
        if !is_received {
            continue;
        }
        sums.duplicates += u64::from(received - 1);
        if is_confirmed {
            continue;
        }
        if flags & (INFO | OPEN) != 0 {
            sums.recovered += 1;
        } else if flags & NACKED != 0 {
            sums.nacked_received += 1;
        } else {
            sums.unexpected += 1;
            if sums.unexpected_values.len() < LISTED_MAX {
                sums.unexpected_values.push(Value {
                    producer: number,
                    sequence: at as u64,
                });
            }
        }
    }
    counts
}

/// When each fault was in force, in the order of injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultTimes {
    /// Which.
    pub fault: crate::schedule::FaultId,
    /// When the first node had it.
    pub from: Nanos,
    /// When it was healed, if it was.
    pub until: Option<Nanos>,
}

fn window(time: Nanos, faults: &[FaultTimes]) -> Window {
    faults
        .iter()
        .rev()
        .find(|fault| time >= fault.from)
        .map_or(Window::Before, |fault| {
            if fault.until.is_none_or(|until| time < until) {
                Window::During(fault.fault)
            } else {
                Window::After(fault.fault)
            }
        })
}

/// The second pass: when, where and under which fault the missing values were confirmed.
pub struct Losses<'a> {
    tally: &'a Tally,
    nodes: &'a [NodeName],
    faults: &'a [FaultTimes],
    /// The open attempt at each missing value.
    published: HashMap<Value, Nanos>,
    seen: BTreeSet<Value>,
    groups: BTreeMap<(u16, Window), LossGroup>,
    listed: Vec<LostValue>,
    last: Option<LostValue>,
}

impl<'a> Losses<'a> {
    /// Looks for what the first pass found missing.
    pub fn new(tally: &'a Tally, nodes: &'a [NodeName], faults: &'a [FaultTimes]) -> Self {
        Self {
            tally,
            nodes,
            faults,
            published: HashMap::new(),
            seen: BTreeSet::new(),
            groups: BTreeMap::new(),
            listed: Vec::new(),
            last: None,
        }
    }

    /// Takes the next entry.
    pub fn add(&mut self, entry: &Entry) {
        let value = Value {
            producer: entry.producer,
            sequence: entry.sequence,
        };
        if entry.action != Action::Publish || !self.tally.is_missing(value) {
            return;
        }
        match entry.phase {
            Phase::Invoke => {
                self.published.insert(value, entry.time);
            }
            Phase::Ok if self.seen.insert(value) => self.confirmed(entry, value),
            Phase::Ok | Phase::Fail | Phase::Info => {
                self.published.remove(&value);
            }
        }
    }

    fn confirmed(&mut self, entry: &Entry, value: Value) {
        let Some(node) = self.nodes.get(usize::from(entry.node)) else {
            return;
        };
        let lost = LostValue {
            value,
            attempt: entry.attempt,
            node: node.clone(),
            published_ns: self.published.remove(&value),
            confirmed_ns: entry.time,
            window: window(entry.time, self.faults),
        };
        let group = self
            .groups
            .entry((entry.node, lost.window))
            .or_insert_with(|| LossGroup {
                node: node.clone(),
                window: lost.window,
                count: 0,
                first_confirmed_ns: entry.time,
                last_confirmed_ns: entry.time,
            });
        group.count += 1;
        group.last_confirmed_ns = entry.time;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(lost.clone());
        }
        self.last = Some(lost);
    }

    /// Writes what was found into the sums.
    pub fn finish(self, sums: &mut TotalQueue) {
        sums.lost = Some(sums.confirmed_not_received);
        sums.losses = self.groups.into_values().collect();
        sums.losses.sort_by_key(|group| group.first_confirmed_ns);
        sums.lost_values = self.listed;
        sums.last_lost = self.last;
    }
}

/// What the sums say.
pub fn finding(sums: TotalQueue) -> Finding<TotalQueue> {
    let mut broken = Vec::new();
    if let Some(lost @ 1..) = sums.lost {
        broken.push(format!(
            "{lost} of {} confirmed messages were lost",
            sums.confirmed
        ));
    }
    if sums.unexpected > 0 {
        broken.push(format!(
            "{} messages were received that no queue had taken",
            sums.unexpected
        ));
    }
    let (verdict, summary) = if !broken.is_empty() {
        (Verdict::Invalid, broken.join("; "))
    } else if sums.foreign > 0 {
        let summary = format!(
            "{} received messages are damaged, or somebody else used the queue",
            sums.foreign
        );
        (Verdict::Unknown, summary)
    } else if sums.confirmed == 0 {
        let summary = "no message was confirmed, so nothing was tested".to_owned();
        (Verdict::Unknown, summary)
    } else if sums.lost.is_none() {
        let summary = format!(
            "whether messages were lost is not known: {} of {} confirmed ones were not received so far",
            sums.confirmed_not_received, sums.confirmed
        );
        (Verdict::Unknown, summary)
    } else {
        let summary = format!("all {} confirmed messages were received", sums.confirmed);
        (Verdict::Valid, summary)
    };
    Finding {
        verdict,
        summary,
        data: sums,
    }
}

#[cfg(test)]
#[path = "total_queue_tests.rs"]
mod tests;
