//! What readers of a stream saw of it: a log that is the same for everybody.
//!
//! A stream promises every reader, through whatever node:
//!
//! - a reader's offsets begin at 0 and rise by one, over all its connections: none comes twice, none is left out;
//! - every node has the same, the whole stream;
//! - an offset is the same message for everybody, for ever: what was read once is there at the end;
//! - a value is stored once, since all its attempts have one publishing id of a named publisher;
//! - what was confirmed is stored. Of what is not, told is where it is missing from what its producer stored:
//!   before the first, after the last, or in the middle.
//!
//! Readers are those of the load and those of the drain, which read the stream whole through every node. What has
//! vanished or is missing is only claimed of a drain that is proven complete. A publish without an answer
//! promises nothing; that it was stored, and which place it got, is no matter of any promise.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::{Finding, LISTED_MAX, Value};
use super::table::{Check, Known, Seen};
use super::value_set::ValueSet;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;
use crate::scenario::Scenario;

/// What readers saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stream {
    /// How many offsets were read by anybody.
    pub offsets: u64,
    /// Readers that read something: clients of the load, and the drain of each node.
    pub readers: u64,
    /// Values of which an earlier attempt is stored than the one that was confirmed: sent again, and not stored again.
    pub deduplicated: u64,
    /// Messages that are not the run's own.
    pub foreign: u64,
    /// Times an offset came after the same or a higher one of its reader.
    pub backwards: u64,
    /// The first of them.
    pub backwards_examples: Vec<Step>,
    /// Times offsets were left out.
    pub holes: u64,
    /// The first of them.
    pub holes_examples: Vec<Step>,
    /// Nodes whose drain did not read what others have.
    pub short: Vec<Short>,
    /// Offsets that were different messages to different readers.
    pub differing: u64,
    /// The first of them.
    pub differing_examples: Vec<Differing>,
    /// Values that are stored more than once.
    pub repeated: u64,
    /// The first of them.
    pub repeated_examples: Vec<Repeated>,
    /// Offsets that were read during the load, and are not there at the end.
    pub vanished: u64,
    /// The first of them.
    pub vanished_examples: Vec<Reading>,
    /// Confirmed values that are not stored, by where they are missing.
    pub missing: Missing,
}

/// A message as a reader had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reading {
    /// Its place in the stream.
    pub offset: u64,
    /// Which message; none where it is not the run's own.
    pub value: Option<Value>,
    /// Through which node, where the run has such a node.
    pub node: Option<NodeName>,
    /// The reader's connection.
    pub process: u32,
    /// When.
    pub read_ns: Nanos,
}

/// A node that lacks a part of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Short {
    /// Which.
    pub node: NodeName,
    /// How many offsets it lacks.
    pub lacks: u64,
    /// The first of them.
    pub first: u64,
}

/// Two readings of a reader, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// The offset before; none where it is the reader's first.
    pub after: Option<u64>,
    /// What came then.
    pub reading: Reading,
}

/// Two readings of an offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Differing {
    /// The first of all.
    pub first: Reading,
    /// Another.
    pub other: Reading,
}

/// A value at two offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Repeated {
    /// The value.
    pub value: Value,
    /// Where it is first.
    pub first_offset: u64,
    /// Where it is as well.
    pub other_offset: u64,
}

/// Confirmed values that are not stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Missing {
    /// Before everything that their producer stored.
    pub prefix: u64,
    /// Between what their producer stored.
    pub middle: u64,
    /// After everything that their producer stored, or of one that stored nothing.
    pub tail: u64,
    /// The first of them, in the order of their confirms.
    pub examples: Vec<Value>,
}

/// What was read so far.
pub struct Streams {
    nodes: Vec<NodeName>,
    found: Stream,
    /// By offset.
    stored: HashMap<u64, Kept>,
    /// By node: the offsets that its drain read.
    drained: HashMap<u16, HashSet<u64>>,
    /// By value: where it is first.
    places: HashMap<Value, u64>,
    repeated: ValueSet,
    /// Clients of the load, whose connections are their own in turn.
    clients: u32,
    /// By reader: its last offset.
    last: HashMap<Reader, u64>,
    /// In the order of their confirms.
    confirmed: Vec<Value>,
    confirmed_once: ValueSet,
    /// Of those that were sent again: the attempt that was confirmed.
    confirmed_again: HashMap<Value, u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Client(u32),
    Drain(u16),
}

/// Who read an offset first, and what.
struct Kept {
    value: Option<Value>,
    attempt: u16,
    node: u16,
    process: u32,
    time: Nanos,
    differs: bool,
}

impl Check for Streams {
    type Data = Stream;

    fn begin(known: &Known<'_>) -> Self {
        let Scenario {
            workload, queue, ..
        } = known.scenario;
        let nodes = u32::try_from(known.nodes.len()).unwrap_or(u32::MAX);
        Self {
            clients: workload.clients(queue, nodes).max(1),
            confirmed_again: HashMap::new(),
            nodes: known.nodes.to_vec(),
            found: Stream::default(),
            stored: HashMap::new(),
            drained: HashMap::new(),
            places: HashMap::new(),
            repeated: ValueSet::default(),
            last: HashMap::new(),
            confirmed: Vec::new(),
            confirmed_once: ValueSet::default(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        let value = Value {
            producer: entry.producer,
            sequence: entry.sequence,
        };
        if (entry.action, entry.phase) == (Action::Publish, Phase::Ok) && entry.attempt > 0 {
            self.confirmed_again.insert(value, entry.attempt);
        }
        match (entry.action, entry.phase, entry.tag) {
            (Action::Publish, Phase::Ok, _) if self.confirmed_once.insert(value) => {
                self.confirmed.push(value);
            }
            (Action::Deliver | Action::Drain, Phase::Ok, Some(offset)) => {
                let is_own = entry.cause == Cause::None;
                self.read(entry, offset, is_own.then_some(value));
            }
            _ => {}
        }
    }

    fn finding(mut self, seen: &Seen<'_>) -> Finding<Stream> {
        self.found.offsets = self.stored.len() as u64;
        self.found.readers = self.last.len() as u64;
        self.found.deduplicated = self.deduplicated();
        if seen.is_complete {
            self.look_for_the_short();
            self.look_for_the_vanished();
            self.look_for_the_missing();
        }
        let (verdict, summary) = told(&self.found, self.nodes.len());
        Finding {
            verdict,
            summary,
            data: self.found,
        }
    }
}

impl Streams {
    fn read(&mut self, entry: &Entry, offset: u64, value: Option<Value>) {
        let kept = Kept {
            value,
            attempt: entry.attempt,
            node: entry.node,
            process: entry.process,
            time: entry.time,
            differs: false,
        };
        let reader = match entry.action {
            Action::Drain => Reader::Drain(entry.node),
            _ => Reader::Client(entry.process % self.clients),
        };
        let after = self.last.get(&reader).copied();
        let due = after.map_or(0, |after| after.saturating_add(1));
        if offset != due {
            let found = &mut self.found;
            let (count, examples) = if offset > due {
                (&mut found.holes, &mut found.holes_examples)
            } else {
                (&mut found.backwards, &mut found.backwards_examples)
            };
            *count += 1;
            let reading = reading(offset, &kept, &self.nodes);
            keep(examples, Step { after, reading });
        }
        self.last.insert(reader, offset);
        if entry.action == Action::Drain {
            self.drained.entry(entry.node).or_default().insert(offset);
        }
        match self.stored.entry(offset) {
            Slot::Vacant(slot) => {
                slot.insert(kept);
                match value {
                    Some(value) => self.place(value, offset),
                    None => self.found.foreign += 1,
                }
            }
            Slot::Occupied(mut slot) if slot.get().value != value => {
                if !slot.get().differs {
                    slot.get_mut().differs = true;
                    self.found.differing += 1;
                    let differing = Differing {
                        first: reading(offset, slot.get(), &self.nodes),
                        other: reading(offset, &kept, &self.nodes),
                    };
                    keep(&mut self.found.differing_examples, differing);
                }
                if let Some(value) = value {
                    self.places.entry(value).or_insert(offset);
                }
            }
            Slot::Occupied(_) => {}
        }
    }

    /// An offset is seen for the first time.
    fn place(&mut self, value: Value, offset: u64) {
        let first_offset = *self.places.entry(value).or_insert(offset);
        if first_offset == offset || !self.repeated.insert(value) {
            return;
        }
        self.found.repeated += 1;
        let repeated = Repeated {
            value,
            first_offset: first_offset.min(offset),
            other_offset: first_offset.max(offset),
        };
        keep(&mut self.found.repeated_examples, repeated);
    }

    fn deduplicated(&self) -> u64 {
        let again = self.confirmed_again.iter().filter(|(value, confirmed)| {
            let place = self.places.get(value);
            let kept = place.and_then(|offset| self.stored.get(offset));
            kept.is_some_and(|kept| kept.attempt < **confirmed)
        });
        again.count() as u64
    }

    /// Every node has what any node has.
    fn look_for_the_short(&mut self) {
        let mut all: Vec<u64> = self.drained.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        let none = HashSet::new();
        for (index, node) in (0u16..).zip(&self.nodes) {
            let own = self.drained.get(&index).unwrap_or(&none);
            let mut lacking = all.iter().filter(|offset| !own.contains(offset));
            if let Some(first) = lacking.next() {
                self.found.short.push(Short {
                    node: node.clone(),
                    lacks: 1 + lacking.count() as u64,
                    first: *first,
                });
            }
        }
    }

    fn look_for_the_vanished(&mut self) {
        let offsets = self.stored.keys().copied();
        let is_there = |offset: &u64| self.drained.values().any(|own| own.contains(offset));
        let mut gone: Vec<u64> = offsets.filter(|offset| !is_there(offset)).collect();
        gone.sort_unstable();
        self.found.vanished = gone.len() as u64;
        let examples = gone.iter().take(LISTED_MAX);
        self.found.vanished_examples = examples
            .filter_map(|offset| Some(reading(*offset, self.stored.get(offset)?, &self.nodes)))
            .collect();
    }

    fn look_for_the_missing(&mut self) {
        let mut spans: HashMap<u32, (u64, u64)> = HashMap::new();
        for value in self.places.keys() {
            let span = spans
                .entry(value.producer)
                .or_insert((value.sequence, value.sequence));
            *span = (span.0.min(value.sequence), span.1.max(value.sequence));
        }
        let missing = &mut self.found.missing;
        for value in &self.confirmed {
            if self.places.contains_key(value) {
                continue;
            }
            match spans.get(&value.producer) {
                Some((first, _)) if value.sequence < *first => missing.prefix += 1,
                Some((_, last)) if value.sequence < *last => missing.middle += 1,
                _ => missing.tail += 1,
            }
            keep(&mut missing.examples, *value);
        }
    }
}

fn reading(offset: u64, kept: &Kept, nodes: &[NodeName]) -> Reading {
    Reading {
        offset,
        value: kept.value,
        node: nodes.get(usize::from(kept.node)).cloned(),
        process: kept.process,
        read_ns: kept.time,
    }
}

fn keep<T>(examples: &mut Vec<T>, example: T) {
    if examples.len() < LISTED_MAX {
        examples.push(example);
    }
}

fn told(found: &Stream, nodes: usize) -> (Verdict, String) {
    let Missing {
        prefix,
        middle,
        tail,
        ..
    } = &found.missing;
    let broken: Vec<String> = [
        (
            found.differing,
            "offsets were different messages to different readers",
        ),
        (found.backwards, "times an offset came after a higher one"),
        (found.holes, "times offsets were left out"),
        (found.short.len() as u64, "nodes lack a part of the stream"),
        (found.repeated, "values are stored more than once"),
        (
            found.vanished,
            "offsets that were read are not there any more",
        ),
        (
            *prefix,
            "confirmed values are missing before what their producers stored",
        ),
        (
            *middle,
            "confirmed values are missing amid what their producers stored",
        ),
        (
            *tail,
            "confirmed values are missing after what their producers stored",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if broken.is_empty() {
        let Stream {
            offsets,
            readers,
            deduplicated,
            ..
        } = found;
        let summary = format!(
            "{nodes} nodes have the same {offsets} messages in the same order, and {readers} readers read them so; \
             {deduplicated} were sent again and not stored again"
        );
        return (Verdict::Valid, summary);
    }
    (Verdict::Invalid, broken.join("; "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::testing::{judged, judged_unfinished};

    fn publish(producer: u32, sequence: u64, phase: Phase) -> Entry {
        Entry {
            phase,
            producer,
            sequence,
            ..Entry::default()
        }
    }

    /// Readers of the drain are known by their nodes, others by their clients.
    fn read(action: Action, reader: u16, offset: u64, sequence: u64) -> Entry {
        Entry {
            phase: Phase::Ok,
            action,
            process: u32::from(reader),
            node: reader,
            sequence,
            tag: Some(offset),
            ..Entry::default()
        }
    }

    /// So many values of one producer, confirmed; read meanwhile by one client, and by all three nodes in the drain.
    fn history(values: u64) -> Vec<Entry> {
        let published = (0..values).map(|value| publish(0, value, Phase::Ok));
        let delivered = (0..values / 2).map(|value| read(Action::Deliver, 1, value, value));
        let drained = [0, 1, 2]
            .map(|node| (0..values).map(move |value| read(Action::Drain, node, value, value)));
        let drained = drained.into_iter().flatten();
        published.chain(delivered).chain(drained).collect()
    }

    fn finding(entries: Vec<Entry>) -> Finding<Stream> {
        judged::<Streams>(entries)
    }

    #[test]
    fn the_same_for_everybody_is_valid() {
        let finding = finding(history(10));
        assert_eq!(finding.verdict, Verdict::Valid);
        assert_eq!(
            finding.summary,
            "3 nodes have the same 10 messages in the same order, and 4 readers read them so; 0 were sent again and \
             not stored again"
        );
    }

    #[test]
    fn what_readers_do_not_agree_on_is_told() {
        let mut entries = history(10);
        // The last reader has value 3 where the others have 7.
        let last = entries.len() - 3;
        assert_eq!((entries[last].sequence, entries[last].process), (7, 2));
        entries[last].sequence = 3;
        let finding = finding(entries);
        assert_eq!(finding.verdict, Verdict::Invalid);
        let differing = &finding.data.differing_examples[0];
        assert_eq!(differing.first.offset, 7);
        assert_eq!(differing.other.process, 2);
        assert_eq!((finding.data.differing, finding.data.repeated), (1, 0));
    }

    #[test]
    fn a_reader_goes_on_without_holes_and_never_back() {
        let mut entries = history(10);
        // The same client on another connection, and one that does not begin at the beginning.
        entries.push(read(Action::Deliver, 4, 5, 5));
        entries.push(read(Action::Deliver, 7, 7, 7));
        entries.push(read(Action::Deliver, 7, 7, 7));
        entries.push(read(Action::Deliver, 2, 3, 3));
        let found = finding(entries).data;
        assert_eq!((found.holes, found.backwards), (2, 1));
        assert_eq!(found.holes_examples[0].after, Some(5));
        assert_eq!(found.holes_examples[1].after, None);
        assert_eq!(found.backwards_examples[0].reading.offset, 7);
    }

    #[test]
    fn a_value_is_stored_once_whatever_was_sent_again() {
        let mut entries = history(10);
        entries.extend([0, 1, 2].map(|node| read(Action::Drain, node, 10, 4)));
        let found = finding(entries).data;
        assert_eq!(found.repeated, 1);
        let repeated = &found.repeated_examples[0];
        assert_eq!((repeated.first_offset, repeated.other_offset), (4, 10));
    }

    #[test]
    fn the_missing_are_told_by_their_places() {
        let stored = [3, 4, 7, 8];
        let mut entries: Vec<_> = (0..10).map(|value| publish(0, value, Phase::Ok)).collect();
        // Nobody promised this one.
        entries.push(publish(0, 10, Phase::Info));
        let drained = (0..).zip(stored);
        let drained = drained.flat_map(|(offset, value)| {
            [0, 1, 2].map(|node| read(Action::Drain, node, offset, value))
        });
        entries.extend(drained);
        let unfinished = judged_unfinished::<Streams>(entries.clone());
        assert_eq!(unfinished.verdict, Verdict::Valid);
        let missing = finding(entries).data.missing;
        assert_eq!((missing.prefix, missing.middle, missing.tail), (3, 2, 1));
        let sequences: Vec<u64> = missing
            .examples
            .iter()
            .map(|value| value.sequence)
            .collect();
        assert_eq!(sequences, [0, 1, 2, 5, 6, 9]);
    }

    #[test]
    fn what_was_read_is_there_at_the_end() {
        let mut entries = history(10);
        entries.push(read(Action::Deliver, 1, 5, 5));
        entries.extend((6..12).map(|offset| read(Action::Deliver, 1, offset, offset)));
        let found = finding(entries).data;
        assert_eq!(found.vanished, 2);
        assert_eq!(found.vanished_examples[0].offset, 10);
    }

    #[test]
    fn every_node_has_the_whole_stream() {
        for lacking in [0..5, 3..4, 5..10, 0..10] {
            let mut entries = history(10);
            let is_lacking = |entry: &Entry| {
                let offset = entry.tag.unwrap_or(u64::MAX);
                entry.action == Action::Drain && entry.node == 2 && lacking.contains(&offset)
            };
            entries.retain(|entry| !is_lacking(entry));
            let found = finding(entries);
            assert_eq!(found.verdict, Verdict::Invalid, "{lacking:?}");
            let short = &found.data.short[0];
            assert_eq!(
                (short.first, short.lacks),
                (lacking.start, lacking.end - lacking.start)
            );
        }
    }

    #[test]
    fn what_was_sent_again_and_not_stored_again_is_counted() {
        let mut entries = history(10);
        entries[4].attempt = 1;
        let found = finding(entries);
        assert_eq!(found.verdict, Verdict::Valid);
        assert_eq!(found.data.deduplicated, 1);
    }

    proptest! {
        /// One thing done to a legal history is noticed, whatever it is.
        #[test]
        fn a_change_is_noticed(values in 4u64..40, at in any::<prop::sample::Index>(), kind in 0..3) {
            let mut entries = history(values);
            let first = entries.len() - values as usize;
            let place = first + at.index(values as usize);
            let next = if place + 1 < entries.len() { place + 1 } else { first };
            match kind {
                0 => { entries.remove(place); }
                1 => { let again = entries[place]; entries.insert(place, again); }
                _ => { let (a, b) = (entries[place].sequence, entries[next].sequence);
                       entries[place].sequence = b; entries[next].sequence = a; }
            }
            prop_assert_eq!(finding(entries).verdict, Verdict::Invalid);
        }
    }
}
