//! When each attempt was published and confirmed, for checkers that look at what becomes of it.

mod page;

use foldhash::HashMap;

use self::page::{Page, place};
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
    first: Vec<Page>,
}

impl Sent {
    /// Takes the next entry, whatever it is of.
    pub(super) fn add(&mut self, entry: &Entry) {
        if entry.action != Action::Publish {
            return;
        }
        match entry.phase {
            Phase::Invoke => self.begin(entry),
            Phase::Ok => self.confirm(entry),
            Phase::Fail | Phase::Info => {}
        }
    }

    /// A publish that has begun.
    pub(super) fn get(&self, producer: u32, sequence: u64, attempt: u16) -> Option<Publish> {
        if attempt == 0
            && let Some((page, at)) = place(sequence)
            && let Some(known) = self.producers.get(producer as usize)
            && let Some(page) = known.first.get(page)
        {
            return page.get(at);
        }
        self.others.get(&(producer, sequence, attempt)).copied()
    }

    fn confirm(&mut self, entry: &Entry) {
        if entry.attempt == 0
            && let Some((page, at)) = place(entry.sequence)
            && let Some(known) = self.producers.get_mut(entry.producer as usize)
            && let Some(page) = known.first.get_mut(page)
        {
            page.confirm(at, entry.time);
            return;
        }
        let key = (entry.producer, entry.sequence, entry.attempt);
        if let Some(publish) = self.others.get_mut(&key) {
            publish.confirmed = entry.time;
        }
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
        let place = place(entry.sequence).filter(|_| entry.attempt == 0 && entry.sequence < ahead);
        let Some((page, at)) = place else {
            self.others.insert(key, publish);
            return;
        };
        if producer.first.len() <= page {
            producer.first.resize_with(page + 1, Page::default);
        }
        producer.first[page].put(at, publish);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

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
    fn what_is_kept_narrow_is_what_is_kept_wide() {
        let mut pages = Sent::default();
        let mut model = BTreeMap::new();
        let mut random = Pcg64::seed_from_u64(1);
        let (mut time, mut process) = (5, 1);
        for step in 0..40_000_u64 {
            time += match random.random_range(0..400) {
                0 => 5_000_000_000,
                _ => random.random_range(1..100_000),
            };
            if random.random_range(0..500) == 0 {
                process += 1;
            }
            let sequence = step / 2;
            let (phase, sequence) = match step % 2 {
                0 => (Phase::Invoke, sequence),
                _ => (
                    Phase::Ok,
                    sequence.saturating_sub(random.random_range(0..90)),
                ),
            };
            let attempt = u16::from(random.random_range(0..300) == 0);
            let told = Entry {
                process,
                ..entry(time, phase, sequence, attempt)
            };
            pages.add(&told);
            let key = (sequence, attempt);
            match phase {
                Phase::Invoke => {
                    let position = u32::try_from(step / 2).unwrap();
                    let publish = Publish {
                        from: time,
                        confirmed: Nanos::MAX,
                        process,
                        position,
                    };
                    model.insert(key, publish);
                }
                _ => {
                    if let Some(publish) = model.get_mut(&key) {
                        publish.confirmed = time;
                    }
                }
            }
        }
        for sequence in 0..20_000 {
            for attempt in [0, 1] {
                let expected = model.get(&(sequence, attempt)).copied();
                assert_eq!(pages.get(2, sequence, attempt), expected, "{sequence}");
            }
        }
        let first = pages.producers[2].first.iter();
        let wide = first.clone().filter(|page| page.is_wide()).count();
        assert!(wide > 20 && first.len() - wide > 100, "{wide}");
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
