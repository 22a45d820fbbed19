//! What a producer publishes next, and when; pure.
//!
//! A value is sent again while its attempts do not end `ok`, up to the workload's bound; such
//! values go first, the lowest before others. New sequence numbers are consumed only by an attempt, so nothing is ever
//! skipped. Open loop means that the due times go on whatever the broker does: an attempt that
//! had to wait for room in the window keeps the time it was due. Due times that pass while
//! there is no connection are dropped, so that the backlog is bounded by the confirm timeout.

use std::collections::BTreeMap;

use super::attempts::Completion;
use super::message::AttemptId;
use crate::history::operation::{Nanos, Phase};

/// The values of one producer.
#[derive(Debug)]
pub struct Demand {
    producer: u32,
    values: Option<u64>,
    resends: u16,
    next_sequence: u64,
    again: BTreeMap<u64, AttemptId>,
    under_way: u64,
}

impl Demand {
    /// `values` is how many there are; `None` is no end. `resends` beyond the history's range
    /// of attempts are cut off.
    pub fn new(producer: u32, values: Option<u64>, resends: u32) -> Self {
        Self {
            producer,
            values,
            resends: u16::try_from(resends).unwrap_or(u16::MAX),
            next_sequence: 0,
            again: BTreeMap::new(),
            under_way: 0,
        }
    }

    /// Whether there is something to publish now.
    pub fn has_next(&self) -> bool {
        !self.again.is_empty() || self.values.is_none_or(|values| self.next_sequence < values)
    }

    /// The next attempt.
    pub fn take(&mut self) -> Option<AttemptId> {
        if !self.has_next() {
            return None;
        }
        self.under_way += 1;
        if let Some((_, id)) = self.again.pop_first() {
            return Some(id);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Some(AttemptId {
            producer: self.producer,
            sequence,
            attempt: 0,
        })
    }

    /// An attempt that was taken has completed.
    pub fn completed(&mut self, completion: &Completion) {
        self.under_way = self.under_way.saturating_sub(1);
        let AttemptId { attempt, .. } = completion.id;
        if completion.phase != Phase::Ok && attempt < self.resends {
            let next = AttemptId {
                attempt: attempt + 1,
                ..completion.id
            };
            self.again.insert(next.sequence, next);
        }
    }

    /// A value whose attempt has completed is not sent again.
    pub fn give_up(&mut self, id: AttemptId) {
        self.again.remove(&id.sequence);
    }

    /// Whether every value has come to its end.
    pub fn is_done(&self) -> bool {
        self.under_way == 0 && !self.has_next()
    }
}

/// When attempts are due.
#[derive(Debug)]
pub enum Pace {
    /// As soon as there is room in the window.
    ClosedLoop,
    /// At fixed intervals from the start, whatever happens.
    OpenLoop {
        /// When the first is due.
        start: Nanos,
        /// Nanoseconds from one to the next.
        interval: f64,
        /// How many due times are over.
        count: u64,
    },
}

/// When the next attempt is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Now; in an open loop it was due at this time, not later than now.
    Now(Option<Nanos>),
    /// At this time.
    At(Nanos),
}

impl Pace {
    /// So many per second, or a closed loop.
    pub fn new(rate: Option<f64>, start: Nanos) -> Self {
        match rate {
            Some(rate) if rate.is_finite() && rate > 0.0 => Self::OpenLoop {
                start,
                interval: 1e9 / rate,
                count: 0,
            },
            _ => Self::ClosedLoop,
        }
    }

    /// When the next one is due.
    pub fn due(&self, now: Nanos) -> Due {
        match *self {
            Self::ClosedLoop => Due::Now(None),
            Self::OpenLoop {
                start,
                interval,
                count,
            } => {
                let due = due_time(start, interval, count);
                if due <= now {
                    Due::Now(Some(due))
                } else {
                    Due::At(due)
                }
            }
        }
    }

    /// The due time was used.
    pub fn advance(&mut self) {
        if let Self::OpenLoop { count, .. } = self {
            *count += 1;
        }
    }

    /// Drops all due times before now.
    pub fn skip_to(&mut self, now: Nanos) {
        if let Self::OpenLoop {
            start,
            interval,
            count,
        } = self
        {
            let passed = ((now - *start) as f64 / *interval).floor();
            if passed > *count as f64 {
                *count = passed as u64;
            }
            while due_time(*start, *interval, *count) < now {
                *count += 1;
            }
        }
    }
}

fn due_time(start: Nanos, interval: f64, count: u64) -> Nanos {
    start + (count as f64 * interval) as Nanos
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::operation::Cause;

    fn ended(id: AttemptId, phase: Phase) -> Completion {
        Completion {
            id,
            phase,
            cause: Cause::None,
            deadline: 0,
        }
    }

    fn taken(demand: &mut Demand) -> Option<(u64, u16)> {
        demand.take().map(|id| (id.sequence, id.attempt))
    }

    #[test]
    fn a_value_is_sent_again_before_new_ones_and_not_forever() {
        let mut demand = Demand::new(3, Some(2), 1);
        let first = demand.take().unwrap();
        demand.completed(&ended(first, Phase::Info));
        let second = demand.take().unwrap();
        assert_eq!((second.sequence, second.attempt), (0, 1));
        assert_eq!(taken(&mut demand), Some((1, 0)));
        assert_eq!(taken(&mut demand), None);
        demand.completed(&ended(second, Phase::Fail));
        assert!(!demand.has_next() && !demand.is_done());
        demand.completed(&ended(
            AttemptId {
                producer: 3,
                sequence: 1,
                attempt: 0,
            },
            Phase::Ok,
        ));
        assert!(demand.is_done());
    }

    #[test]
    fn due_times_do_not_wait_for_anybody() {
        let mut pace = Pace::new(Some(10.0), 1_000);
        assert_eq!(pace.due(0), Due::At(1_000));
        assert_eq!(pace.due(350_000_000), Due::Now(Some(1_000)));
        pace.advance();
        assert_eq!(pace.due(350_000_000), Due::Now(Some(100_001_000)));
        pace.skip_to(350_000_000);
        assert_eq!(pace.due(350_000_000), Due::At(400_001_000));
        pace.skip_to(0);
        assert_eq!(pace.due(350_000_000), Due::At(400_001_000));
    }

    #[test]
    fn a_closed_loop_is_always_due() {
        let mut pace = Pace::new(None, 0);
        pace.advance();
        pace.skip_to(5);
        assert_eq!(pace.due(3), Due::Now(None));
    }

    proptest! {
        #[test]
        fn every_value_comes_to_an_end_in_order_of_attempts(
            values in 0u64..20, resends in 0u32..4, oks in prop::collection::vec(any::<bool>(), 100),
        ) {
            let mut demand = Demand::new(0, Some(values), resends);
            let mut seen = Vec::new();
            let mut oks = oks.into_iter();
            while let Some(id) = demand.take() {
                seen.push((id.sequence, id.attempt));
                let phase = if oks.next().unwrap_or(true) { Phase::Ok } else { Phase::Info };
                demand.completed(&ended(id, phase));
            }
            prop_assert!(demand.is_done());
            prop_assert!(seen.is_sorted());
            for sequence in 0..values {
                let attempts = seen.iter().filter(|(of, _)| *of == sequence).count();
                prop_assert!((1..=resends as usize + 1).contains(&attempts));
            }
        }
    }
}
