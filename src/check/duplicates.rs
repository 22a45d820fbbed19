//! Messages that were received more than once.
//!
//! RabbitMQ promises at least once, so a duplicate breaks nothing; it decides only where the scenario
//! asks for that. What made it is told apart, by what receipts say of themselves: its producer sent the
//! value again, as another attempt; a consumer had the same attempt before, and the broker marked that; or
//! the same attempt came again without the mark.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::{Finding, LISTED_MAX, Value};
use super::table::{Check, Known, Seen};
use super::value_set::ValueSet;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// What was received more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Duplicates {
    /// Messages of the run that were received.
    pub receipts: u64,
    /// Values that were received more than once.
    pub values: u64,
    /// Receipts of a value beyond its first.
    pub duplicates: u64,
    /// Of them, those of an attempt that had not been received before.
    pub resent: u64,
    /// Of them, those of an attempt that had been received, marked as redelivered.
    pub redelivered: u64,
    /// Of them, those of an attempt that had been received, without the mark.
    pub unmarked: u64,
    /// First receipts of a value that were marked as redelivered.
    pub marked_first: u64,
    /// The first values that came again, at most [`LISTED_MAX`], each with its first two receipts.
    pub examples: Vec<Duplicate>,
}

/// A value that was received twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Duplicate {
    /// Which.
    #[serde(flatten)]
    pub value: Value,
    /// The first receipt.
    pub first: Receipt,
    /// The second.
    pub again: Receipt,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Receipt {
    /// When.
    pub time_ns: Nanos,
    /// The node that gave it.
    pub node: Option<NodeName>,
    /// The consumer's connection.
    pub process: u32,
    /// How it was received.
    pub action: Action,
    /// Which attempt at the value it was.
    pub attempt: u16,
    /// Whether the broker marked it.
    pub redelivered: bool,
}

/// What was read of the history so far.
#[derive(Default)]
pub struct Receipts {
    received: ValueSet,
    first_attempts: ValueSet,
    later_attempts: HashSet<(Value, u16)>,
    repeated: HashSet<Value>,
    /// By value: the second receipt, of those that are listed; and in which order they came.
    again: HashMap<Value, (usize, Entry)>,
    first: HashMap<Value, Entry>,
    counts: Duplicates,
}

impl Check for Receipts {
    type Data = Duplicates;

    fn begin(_known: &Known<'_>) -> Self {
        Self::default()
    }

    fn add(&mut self, entry: &Entry) {
        let Some(value) = received(entry) else {
            return;
        };
        self.counts.receipts += 1;
        let is_known = !self.received.insert(value);
        let attempt_is_known = if entry.attempt == 0 {
            !self.first_attempts.insert(value)
        } else {
            !self.later_attempts.insert((value, entry.attempt))
        };
        if !is_known {
            self.counts.marked_first += u64::from(entry.redelivered);
            return;
        }
        self.counts.duplicates += 1;
        let counter = match (attempt_is_known, entry.redelivered) {
            (false, _) => &mut self.counts.resent,
            (true, true) => &mut self.counts.redelivered,
            (true, false) => &mut self.counts.unmarked,
        };
        *counter += 1;
        let place = self.again.len();
        if self.repeated.insert(value) && place < LISTED_MAX {
            self.again.insert(value, (place, *entry));
        }
    }

    fn looks_again(&self) -> bool {
        !self.again.is_empty()
    }

    fn add_again(&mut self, entry: &Entry) {
        if let Some(value) = received(entry)
            && self.again.contains_key(&value)
        {
            self.first.entry(value).or_insert(*entry);
        }
    }

    fn finding(self, seen: &Seen<'_>) -> Finding<Duplicates> {
        let receipt = |entry: &Entry| Receipt {
            time_ns: entry.time,
            node: seen.known.nodes.get(usize::from(entry.node)).cloned(),
            process: entry.process,
            action: entry.action,
            attempt: entry.attempt,
            redelivered: entry.redelivered,
        };
        let mut again: Vec<_> = self.again.iter().collect();
        again.sort_by_key(|(_, (place, _))| *place);
        let examples = again.into_iter().filter_map(|(value, (_, again))| {
            Some(Duplicate {
                value: *value,
                first: receipt(self.first.get(value)?),
                again: receipt(again),
            })
        });
        let data = Duplicates {
            values: self.repeated.len() as u64,
            examples: examples.collect(),
            ..self.counts
        };
        let (verdict, summary) = if data.receipts == 0 {
            let summary =
                "no message of this run was received, so none could come twice".to_owned();
            (Verdict::Unknown, summary)
        } else if data.duplicates == 0 {
            (Verdict::Valid, "no message was received twice".to_owned())
        } else {
            let summary = format!(
                "{} messages were received more than once: {} receipts marked as redelivered, {} without the \
                 mark, {} of what was sent again",
                data.values, data.redelivered, data.unmarked, data.resent
            );
            (Verdict::Invalid, summary)
        };
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

/// The value that an entry says was received.
fn received(entry: &Entry) -> Option<Value> {
    let receives = matches!(entry.action, Action::Deliver | Action::Drain | Action::Get);
    (receives && entry.phase == Phase::Ok && entry.cause == Cause::None).then_some(Value {
        producer: entry.producer,
        sequence: entry.sequence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::judged;

    fn receipt(time: Nanos, sequence: u64, attempt: u16, redelivered: bool) -> Entry {
        Entry {
            time,
            phase: Phase::Ok,
            action: Action::Drain,
            sequence,
            attempt,
            redelivered,
            ..Entry::default()
        }
    }

    #[test]
    fn what_made_a_duplicate_is_told_apart() {
        let finding = judged::<Receipts>([
            receipt(1, 0, 0, false),
            receipt(2, 1, 0, true),
            receipt(3, 0, 0, true),
            receipt(4, 1, 0, false),
            receipt(5, 1, 1, false),
            receipt(6, 2, 0, false),
        ]);
        assert_eq!(finding.verdict, Verdict::Invalid);
        let data = finding.data;
        assert_eq!((data.receipts, data.values, data.duplicates), (6, 2, 3));
        assert_eq!((data.redelivered, data.unmarked, data.resent), (1, 1, 1));
        assert_eq!(data.marked_first, 1);
        let times = data.examples.iter();
        let times: Vec<_> = times
            .map(|example| (example.first.time_ns, example.again.time_ns))
            .collect();
        assert_eq!(times, [(1, 3), (2, 4)]);
    }

    #[test]
    fn what_is_not_a_receipt_of_a_message_of_the_run_is_none() {
        let publish = Entry::default();
        let foreign = Entry {
            cause: Cause::Foreign,
            ..receipt(2, 0, 0, false)
        };
        let finding = judged::<Receipts>([publish, publish, foreign, foreign]);
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert_eq!(finding.data, Duplicates::default());
        assert_eq!(judged::<Receipts>([]).verdict, Verdict::Unknown);
    }
}
