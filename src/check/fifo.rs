//! The order of one queue: whether enqueues and dequeues are those of a first-in-first-out queue. See
//! [`super::linear::fifo`].
//!
//! What the drain read was in the queue when the load ended: it was dequeued at some time after
//! that, in no known order.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::linear::fifo::{Item, Span, Violations, violations};
use super::results::{Finding, LISTED_MAX, Value};
use super::table::{Check, Known, Seen};
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// Enqueues and dequeues of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fifo {
    /// Enqueues that were confirmed.
    pub enqueued: u64,
    /// Dequeues that gave a value.
    pub dequeued: u64,
    /// Of them, those marked as redelivered.
    pub redelivered: u64,
    /// Dequeues that found the queue empty.
    pub empty: u64,
    /// Dequeues of which nobody knows.
    pub unknown: u64,
    /// Receipts in the drain.
    pub drained: u64,
    /// Values that were dequeued before another that was enqueued before them.
    pub overtakings: u64,
    /// The first of them, at most [`LISTED_MAX`], each with one that it overtook.
    pub overtaken: Vec<Overtaking>,
    /// Dequeues that found the queue empty while something was in it all the time.
    pub false_empties: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub falsely_empty: Vec<FalseEmpty>,
    /// Values that were dequeued before they were enqueued.
    pub early: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub early_values: Vec<Value>,
    /// Values that were dequeued more than once and not marked as redelivered; allowed.
    pub repeated: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub repeated_values: Vec<Value>,
}

/// A value that was overtaken, and by which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Overtaking {
    /// The value that was overtaken.
    pub value: Value,
    /// When its enqueue was confirmed.
    pub enqueued_ns: Nanos,
    /// The value that overtook it.
    pub by: Value,
    /// When its enqueue began.
    pub by_enqueued_from_ns: Nanos,
    /// When it was dequeued.
    pub by_dequeued_ns: Nanos,
    /// When the dequeue of the overtaken one began, if it ever came.
    pub dequeued_from_ns: Option<Nanos>,
}

/// A dequeue that found the queue empty while it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FalseEmpty {
    /// Its beginning.
    pub from_ns: Nanos,
    /// Its end.
    pub until_ns: Nanos,
    /// A value that was in the queue at its end.
    pub inside: Value,
}

/// What was read of the history so far.
#[derive(Default)]
pub struct Order {
    items: Vec<Item>,
    values: Vec<Value>,
    /// By producer and sequence: the place of the value.
    places: HashMap<Value, usize>,
    /// By process: the invocation of its dequeue.
    open: HashMap<u32, Nanos>,
    empties: Vec<Span>,
    unknown: Vec<Nanos>,
    /// The last entry of the load.
    load_ends: Nanos,
    drained: Vec<(usize, bool)>,
    counts: Fifo,
}

impl Check for Order {
    type Data = Fifo;

    fn begin(_known: &Known<'_>) -> Self {
        Self::default()
    }

    fn add(&mut self, entry: &Entry) {
        if entry.action == Action::Drain {
            self.drain(entry);
            return;
        }
        self.load_ends = self.load_ends.max(entry.time);
        match entry.action {
            Action::Publish => self.enqueue(entry),
            Action::Get => self.dequeue(entry),
            _ => {}
        }
    }

    fn finding(mut self, _seen: &Seen<'_>) -> Finding<Fifo> {
        self.unknown.extend(self.open.values().copied());
        let drain = Span {
            from: self.load_ends.saturating_add(1),
            until: Nanos::MAX,
        };
        for (place, redelivered) in std::mem::take(&mut self.drained) {
            self.items[place].deliver(drain, redelivered);
        }
        let found = violations(&self.items, &self.empties, &self.unknown);
        let data = self.data(&found);
        let (verdict, summary) = verdict(&data);
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

impl Order {
    fn enqueue(&mut self, entry: &Entry) {
        let value = value(entry);
        match entry.phase {
            Phase::Invoke => {
                self.places.entry(value).or_insert_with(|| {
                    self.items.push(Item::new(Span {
                        from: entry.time,
                        until: Nanos::MAX,
                    }));
                    self.values.push(value);
                    self.items.len() - 1
                });
            }
            Phase::Ok => {
                self.counts.enqueued += 1;
                if let Some(place) = self.places.get(&value) {
                    let enqueue = &mut self.items[*place].enqueue;
                    enqueue.until = enqueue.until.min(entry.time);
                }
            }
            // What was not taken and is seen all the same was taken at an unknown time.
            Phase::Fail | Phase::Info => {}
        }
    }

    fn dequeue(&mut self, entry: &Entry) {
        if entry.phase == Phase::Invoke {
            self.open.insert(entry.process, entry.time);
            return;
        }
        let Some(from) = self.open.remove(&entry.process) else {
            return;
        };
        let span = Span {
            from,
            until: entry.time,
        };
        match entry.phase {
            Phase::Ok if entry.cause == Cause::None => {
                self.counts.dequeued += 1;
                self.counts.redelivered += u64::from(entry.redelivered);
                if let Some(place) = self.places.get(&value(entry)) {
                    self.items[*place].deliver(span, entry.redelivered);
                }
            }
            Phase::Fail => {
                self.counts.empty += 1;
                self.empties.push(span);
            }
            Phase::Info => {
                self.counts.unknown += 1;
                self.unknown.push(from);
            }
            Phase::Ok | Phase::Invoke => {}
        }
    }

    fn drain(&mut self, entry: &Entry) {
        if let Some(place) = self.places.get(&value(entry)) {
            self.counts.drained += 1;
            self.drained.push((*place, entry.redelivered));
        }
    }

    fn data(&self, found: &Violations) -> Fifo {
        let named = |places: &[usize]| {
            let places = places.iter().take(LISTED_MAX);
            places.map(|place| self.values[*place]).collect()
        };
        let overtakings = found.overtakings.iter().take(LISTED_MAX);
        let empties = found.empties.iter().take(LISTED_MAX);
        Fifo {
            early: found.early.len() as u64,
            early_values: named(&found.early),
            repeated: found.repeated.len() as u64,
            repeated_values: named(&found.repeated),
            overtakings: found.overtakings.len() as u64,
            overtaken: overtakings
                .map(|(first, second)| Overtaking {
                    value: self.values[*first],
                    enqueued_ns: self.items[*first].enqueue.until,
                    by: self.values[*second],
                    by_enqueued_from_ns: self.items[*second].enqueue.from,
                    by_dequeued_ns: self.items[*second].earliest,
                    dequeued_from_ns: self.items[*first].first.map(|first| first.from),
                })
                .collect(),
            false_empties: found.empties.len() as u64,
            falsely_empty: empties
                .map(|(empty, inside)| FalseEmpty {
                    from_ns: self.empties[*empty].from,
                    until_ns: self.empties[*empty].until,
                    inside: self.values[*inside],
                })
                .collect(),
            ..self.counts.clone()
        }
    }
}

fn verdict(data: &Fifo) -> (Verdict, String) {
    let mut broken = Vec::new();
    if data.overtakings > 0 {
        broken.push(format!(
            "{} of the values overtook others that were enqueued earlier",
            data.overtakings
        ));
    }
    if data.false_empties > 0 {
        broken.push(format!(
            "{} of the dequeues found the queue empty while it was not",
            data.false_empties
        ));
    }
    if data.early > 0 {
        broken.push(format!(
            "{} of the values came out before they went in",
            data.early
        ));
    }
    if !broken.is_empty() {
        return (Verdict::Invalid, broken.join("; "));
    }
    if data.dequeued == 0 {
        let summary = "nothing was dequeued, so no order was tested".to_owned();
        return (Verdict::Unknown, summary);
    }
    let summary = format!(
        "{} enqueues and {} dequeues are those of a first-in-first-out queue",
        data.enqueued,
        data.dequeued + data.empty
    );
    (Verdict::Valid, summary)
}

fn value(entry: &Entry) -> Value {
    Value {
        producer: entry.producer,
        sequence: entry.sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing;

    fn entry(time: Nanos, action: Action, phase: Phase, sequence: u64) -> Entry {
        Entry {
            time,
            process: 0,
            node: 0,
            phase,
            action,
            producer: 0,
            sequence,
            attempt: 0,
            cause: Cause::None,
            ..Entry::default()
        }
    }

    fn both(from: Nanos, until: Nanos, action: Action, sequence: u64) -> [Entry; 2] {
        [
            entry(from, action, Phase::Invoke, sequence),
            entry(until, action, Phase::Ok, sequence),
        ]
    }

    fn judged(entries: &[[Entry; 2]]) -> Finding<Fifo> {
        testing::judged::<Order>(entries.iter().flatten().copied())
    }

    #[test]
    fn an_overtaking_is_told_with_both_values() {
        let put = [
            both(1, 2, Action::Publish, 0),
            both(3, 4, Action::Publish, 1),
        ];
        let legal = [
            put[0],
            put[1],
            both(5, 6, Action::Get, 0),
            both(7, 8, Action::Get, 1),
        ];
        assert_eq!(judged(&legal).verdict, Verdict::Valid);
        let swapped = [
            put[0],
            put[1],
            both(5, 6, Action::Get, 1),
            both(7, 8, Action::Get, 0),
        ];
        let finding = judged(&swapped);
        assert_eq!(finding.verdict, Verdict::Invalid);
        let overtaking = &finding.data.overtaken[0];
        assert_eq!((overtaking.value.sequence, overtaking.by.sequence), (0, 1));
        // Read by the drain, it still was in the queue when the other was dequeued.
        let mut drained = entry(9, Action::Drain, Phase::Ok, 0);
        drained.time = 20;
        let before = [put[0], put[1], both(5, 6, Action::Get, 1)];
        let entries = before.into_iter().flatten().chain([drained]);
        assert_eq!(testing::judged::<Order>(entries).verdict, Verdict::Invalid);
    }

    #[test]
    fn a_false_empty_names_what_was_inside() {
        let mut empty = both(3, 4, Action::Get, u64::MAX);
        empty[1].phase = Phase::Fail;
        empty[1].cause = Cause::Empty;
        let history = [
            both(1, 2, Action::Publish, 0),
            empty,
            both(5, 6, Action::Get, 0),
        ];
        let finding = judged(&history);
        assert_eq!(finding.verdict, Verdict::Invalid);
        assert_eq!(finding.data.falsely_empty[0].inside.sequence, 0);
    }
}
