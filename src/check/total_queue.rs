//! What happened to every message: the accounting that the verdict stands on.
//!
//! A value is a producer's sequence number; each attempt at it is one publish. Of the
//! outcomes of a value's attempts and of the number of times it was received follows:
//!
//! | attempts | received | it is |
//! | --- | --- | --- |
//! | some `ok` | never | lost, if drain and history are complete; of a queue with a time to live, expired if that was over before the drain's end |
//! | none `ok`, some `info` or without an end | at least once | recovered |
//! | all `fail`, some by nack | at least once | nacked but received: reported, legal |
//! | all `fail`, none by nack; or no attempt | at least once | unexpected |
//! | any | n times, n > 1 | n - 1 duplicates: reported, legal |
//!
//! A nack says that the broker could not take responsibility, not that no replica has the
//! message; a return says that no queue took it. Hence the difference.
//!
//! The first pass, in here, keeps two bytes a value; the details of what was lost are read in a
//! second (see [`super::losses`]).

use std::collections::{BTreeSet, HashMap};

use super::Verdict;
use super::results::{
    AttemptCounts, Finding, LISTED_MAX, ProducerCounts, TotalQueue, Value, ValueRange,
};
use crate::history::operation::{Action, Cause, Entry, Phase};
use crate::inventory::NodeName;

/// A producer numbers its values one by one, so none is far beyond the number of its attempts:
/// a larger one is damage, and memory stays in proportion to the history.
const SEQUENCE_AHEAD_MAX: u64 = 1 << 16;

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
    contradictions: u64,
}

impl Tally {
    /// Attempts that began before the one before them had ended, or that ended without having begun: no run
    /// records such, and a damaged file may.
    pub fn contradictions(&self) -> u64 {
        self.contradictions
    }

    /// Takes the next entry.
    pub fn add(&mut self, entry: &Entry) -> Result<(), NotAHistory> {
        match entry.action {
            Action::Publish => self.publish(entry),
            Action::Get | Action::Deliver | Action::Drain if entry.phase == Phase::Ok => {
                self.receive(entry);
                Ok(())
            }
            // The lock is got again and again; only the drain's receipt of it counts.
            Action::Acquire => {
                self.foreign += u64::from(entry.cause == Cause::Foreign);
                Ok(())
            }
            _ => Ok(()),
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
        if entry.sequence >= producer.counts.attempts + SEQUENCE_AHEAD_MAX {
            return Err(refused);
        }
        let at = entry.sequence as usize;
        if producer.flags.len() <= at {
            producer.flags.resize(at + 1, 0);
            producer.received.resize(at + 1, 0);
        }
        let flags = &mut producer.flags[at];
        let is_open = *flags & OPEN != 0;
        self.contradictions += u64::from(is_open == (entry.phase == Phase::Invoke));
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
    pub fn is_missing(&self, value: Value) -> bool {
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
        missing: Vec::new(),
    };
    for (at, (flags, received)) in producer.flags.iter().zip(&producer.received).enumerate() {
        let is_confirmed = flags & OK != 0;
        let is_received = *received > 0;
        counts.counts.info += u64::from(flags & OPEN != 0);
        counts.confirmed += u64::from(is_confirmed);
        counts.received += u64::from(is_received);
        if !is_received {
            if is_confirmed {
                counts.confirmed_not_received += 1;
                extend(&mut counts.missing, at as u64);
            }
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

/// Adds a sequence number, larger than all before, to the ranges.
fn extend(ranges: &mut Vec<ValueRange>, sequence: u64) {
    let is_full = ranges.len() >= LISTED_MAX;
    match ranges.last_mut() {
        Some(range) if range.last + 1 == sequence => range.last = sequence,
        _ if !is_full => ranges.push(ValueRange {
            first: sequence,
            last: sequence,
        }),
        _ => {}
    }
}

/// What the sums say; `sends` is whether the clients were to send messages at all.
pub fn finding(sums: TotalQueue, sends: bool) -> Finding<TotalQueue> {
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
            "messages that are damaged, or somebody else's, were received {} times",
            sums.foreign
        );
        (Verdict::Unknown, summary)
    } else if !sends {
        let summary = "no message was sent, and none was received".to_owned();
        (Verdict::Valid, summary)
    } else if sums.confirmed == 0 {
        let summary = "no message was confirmed, so nothing was tested".to_owned();
        (Verdict::Unknown, summary)
    } else if sums.lost.is_none() {
        let summary = format!(
            "whether messages were lost is not known: {} of {} confirmed ones were not received so far",
            sums.confirmed_not_received, sums.confirmed
        );
        (Verdict::Unknown, summary)
    } else if sums.expired == sums.confirmed {
        let summary = format!(
            "all {} confirmed messages may have expired, so nothing was tested",
            sums.confirmed
        );
        (Verdict::Unknown, summary)
    } else {
        let mut summary = match sums.confirmed {
            1 => "the one confirmed message was received".to_owned(),
            confirmed => format!("all {confirmed} confirmed messages were received"),
        };
        if sums.expired > 0 {
            summary += &format!(", or may have expired ({})", sums.expired);
        }
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
