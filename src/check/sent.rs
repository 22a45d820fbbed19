//! When each attempt was published and confirmed, for checkers that look at what becomes of it.

use std::collections::HashMap;

use crate::history::operation::{Action, Entry, Nanos, Phase};

/// Larger numbers, which only a damaged history has, are kept one by one.
const PRODUCERS_MAX: usize = 1 << 16;
/// The same for a sequence number so far beyond those before it.
const SEQUENCE_AHEAD_MAX: u64 = 1 << 16;

/// A publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Publish {
    /// When it began.
    pub(super) from: Nanos,
    /// When its confirm was known; [`Nanos::MAX`] where that never came.
    confirmed: Nanos,
    /// The producer's connection.
    pub(super) process: u32,
    /// Its place among all publishes of its producer.
    pub(super) position: u32,
}

impl Publish {
    /// When its confirm was known.
    pub(super) fn confirmed(&self) -> Option<Nanos> {
        (self.confirmed != Nanos::MAX).then_some(self.confirmed)
    }
}

/// The publishes that were read so far.
#[derive(Default)]
pub(super) struct Sent {
    producers: Vec<Producer>,
    /// Attempts beyond a value's first, and what is out of all bounds.
    others: HashMap<(u32, u64, u16), Publish>,
}

#[derive(Default)]
struct Producer {
    count: u32,
    /// First attempts by sequence number.
    first: Vec<Option<Publish>>,
}

impl Sent {
    /// Takes the next entry, whatever it is of.
    pub(super) fn add(&mut self, entry: &Entry) {
        if entry.action != Action::Publish {
            return;
        }
        match entry.phase {
            Phase::Invoke => self.begin(entry),
            Phase::Ok => {
                if let Some(publish) = self.find(entry.producer, entry.sequence, entry.attempt) {
                    publish.confirmed = entry.time;
                }
            }
            Phase::Fail | Phase::Info => {}
        }
    }

    /// A publish that has begun.
    pub(super) fn get(&self, producer: u32, sequence: u64, attempt: u16) -> Option<Publish> {
        if attempt == 0
            && let Some(known) = self.producers.get(producer as usize)
            && let Some(publish) = known.first.get(usize::try_from(sequence).ok()?)
        {
            return *publish;
        }
        self.others.get(&(producer, sequence, attempt)).copied()
    }

    fn find(&mut self, producer: u32, sequence: u64, attempt: u16) -> Option<&mut Publish> {
        if attempt == 0
            && let Some(known) = self.producers.get_mut(producer as usize)
            && let Some(publish) = known.first.get_mut(usize::try_from(sequence).ok()?)
        {
            return publish.as_mut();
        }
        self.others.get_mut(&(producer, sequence, attempt))
    }

    fn begin(&mut self, entry: &Entry) {
        let index = entry.producer as usize;
        let mut publish = Publish {
            from: entry.time,
            confirmed: Nanos::MAX,
            process: entry.process,
            position: 0,
        };
        let key = (entry.producer, entry.sequence, entry.attempt);
        if index >= PRODUCERS_MAX {
            self.others.insert(key, publish);
            return;
        }
        if self.producers.len() <= index {
            self.producers.resize_with(index + 1, Producer::default);
        }
        let producer = &mut self.producers[index];
        publish.position = producer.count;
        producer.count = producer.count.saturating_add(1);
        let ahead = u64::from(producer.count).saturating_add(SEQUENCE_AHEAD_MAX);
        if entry.attempt > 0 || entry.sequence >= ahead {
            self.others.insert(key, publish);
            return;
        }
        let at = entry.sequence as usize;
        if producer.first.len() <= at {
            producer.first.resize(at + 1, None);
        }
        producer.first[at] = Some(publish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: Nanos, phase: Phase, sequence: u64, attempt: u16) -> Entry {
        Entry {
            time,
            process: 7,
            phase,
            sequence,
            attempt,
            producer: 2,
            ..Entry::default()
        }
    }

    #[test]
    fn each_attempt_is_a_publish_of_its_own() {
        let mut sent = Sent::default();
        sent.add(&entry(1, Phase::Invoke, 5, 0));
        sent.add(&entry(2, Phase::Info, 5, 0));
        sent.add(&entry(3, Phase::Invoke, 5, 1));
        sent.add(&entry(4, Phase::Ok, 5, 1));
        let (first, second) = (sent.get(2, 5, 0).unwrap(), sent.get(2, 5, 1).unwrap());
        assert_eq!(
            (first.from, first.confirmed(), first.position),
            (1, None, 0)
        );
        assert_eq!(
            (second.from, second.confirmed(), second.position),
            (3, Some(4), 1)
        );
        assert_eq!(sent.get(2, 4, 0), None);
        assert_eq!(sent.get(9, 5, 0), None);
    }

    #[test]
    fn a_number_without_bounds_takes_no_memory_without_bounds() {
        let mut sent = Sent::default();
        sent.add(&entry(1, Phase::Invoke, u64::MAX, 0));
        sent.add(&entry(2, Phase::Ok, u64::MAX, 0));
        let far = sent.get(2, u64::MAX, 0).unwrap();
        assert_eq!(far.confirmed(), Some(2));
        sent.add(&Entry {
            producer: u32::MAX,
            ..entry(3, Phase::Invoke, 1, 0)
        });
        assert_eq!(sent.get(u32::MAX, 1, 0).unwrap().from, 3);
    }
}
