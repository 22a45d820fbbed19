//! The clocks of a node over a run: from the times in its logs to the run's own.
//!
//! A clock that was set, by a fault or otherwise, is off by one offset before and by another after. The stamps of a
//! log then repeat or leave times out, and one stamp may have been written at two moments. A log is written in the
//! order of time, though: each line is given one of the offsets, in their order, such that time goes on, as many lines
//! as can be lie where their offset held, and as few as can be where the clock was set otherwise than at first.

use std::vec;

use jiff::Timestamp;

use crate::event::{Event, Record};
use crate::history::operation::Nanos;
use crate::manifest::ManifestNode;

/// Offsets of a clock. More of them are thinned out: a clock that flutters is then off by its flutter at times.
const OFFSETS_MAX: usize = 32;
/// Beyond the errors of measuring, an offset that differs by less is the same.
const TOLERANCE_US: u64 = 20_000;
/// How far from where an offset held a line costs nothing.
const SLACK: Nanos = 50_000_000;
/// What a line costs where the clock is set otherwise than at first, in nanoseconds beyond where an offset held.
const ASTRAY: u64 = 1_000_000;

/// The clocks of one node.
#[derive(Debug)]
pub struct NodeClocks {
    started: Timestamp,
    /// By which its broker's log is written.
    broker: Vec<Offset>,
    /// By which its journals are.
    host: Vec<Offset>,
}

/// By which of its node's clocks a log is written.
#[derive(Debug, Clone, Copy)]
pub enum Writer {
    /// The broker's.
    Broker,
    /// The host's.
    Host,
}

/// How much a clock is ahead of the control node's, and when it surely was not otherwise yet or any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offset {
    us: i64,
    from: Nanos,
    until: Nanos,
}

impl NodeClocks {
    /// From the first measurement and what was told since; none where nothing is known of the node. A clock that was
    /// not measured counts as right; one that is off by centuries is none.
    pub fn of(node: &ManifestNode, started: Timestamp, events: &[Record]) -> Option<Self> {
        let facts = node.facts.as_ref()?;
        let us = facts.clock_offset_us.unwrap_or(0);
        us.checked_mul(1000)?;
        let first = Offset {
            us,
            from: Nanos::MIN,
            until: Nanos::MAX,
        };
        let error_us = facts.clock_error_us.unwrap_or(0);
        let mut host = Offsets::new(first, error_us);
        let mut broker = Offsets::new(first, error_us);
        for record in events {
            match &record.event {
                Event::ClockMeasured {
                    node: whose,
                    clock,
                    since,
                } if *whose == node.name => {
                    host.add(Some(clock.host_us), clock.error_us, *since, record.time);
                    broker.add(clock.broker_us, clock.error_us, *since, record.time);
                }
                _ => {}
            }
        }
        Some(Self {
            started,
            broker: broker.finish(),
            host: host.finish(),
        })
    }

    /// The times of a log's lines. `read` gives all of their stamps, in the order of the file; it is not called where
    /// one offset held all the time.
    pub fn times(&self, writer: Writer, read: impl FnOnce(&mut dyn FnMut(Timestamp))) -> Times<'_> {
        let offsets = match writer {
            Writer::Broker => &self.broker,
            Writer::Host => &self.host,
        };
        let placed = if offsets.len() > 1 {
            let mut stamps = Vec::new();
            read(&mut |stamp| stamps.push(self.since_start(stamp)));
            place(&stamps, offsets)
        } else {
            Vec::new()
        };
        Times {
            clocks: self,
            first: offsets[0],
            placed: placed.into_iter(),
        }
    }

    fn since_start(&self, stamp: Timestamp) -> Nanos {
        let since = stamp.as_nanosecond() - self.started.as_nanosecond();
        Nanos::try_from(since).unwrap_or(if since < 0 { Nanos::MIN } else { Nanos::MAX })
    }
}

/// The times of the lines of a log on the run's clock.
#[derive(Debug)]
pub struct Times<'a> {
    clocks: &'a NodeClocks,
    first: Offset,
    placed: vec::IntoIter<Nanos>,
}

impl Times<'_> {
    /// Of the next line, which has this stamp.
    pub fn next(&mut self, stamp: Timestamp) -> Nanos {
        let placed = self.placed.next();
        placed.unwrap_or_else(|| self.first.time(self.clocks.since_start(stamp)))
    }
}

impl Offset {
    fn time(&self, stamp: Nanos) -> Nanos {
        stamp.saturating_sub(self.us.saturating_mul(1000))
    }

    fn cost(&self, stamp: Nanos, first: &Self) -> u64 {
        let time = self.time(stamp);
        let before = self.from.saturating_sub(SLACK);
        let after = self.until.saturating_add(SLACK);
        let beyond = time.abs_diff(time.clamp(before, after));
        let astray = if self.us == first.us { 0 } else { ASTRAY };
        beyond.saturating_add(astray)
    }
}

/// Offsets as they are found.
struct Offsets {
    offsets: Vec<Offset>,
    error_us: u64,
    /// Since when the clock could not be asked.
    unknown_since: Option<Nanos>,
}

impl Offsets {
    fn new(first: Offset, error_us: u64) -> Self {
        Self {
            offsets: vec![first],
            error_us,
            unknown_since: None,
        }
    }

    fn add(&mut self, us: Option<i64>, error_us: u64, since: Nanos, at: Nanos) {
        let Some(us) = us else {
            self.unknown_since.get_or_insert(since);
            return;
        };
        let since = self.unknown_since.take().unwrap_or(since);
        // One that is back to what it was at first is that, which was measured best.
        let first = self.offsets[0];
        let is_near =
            |other: i64, error: u64| us.abs_diff(other) <= TOLERANCE_US + error + error_us;
        let us = if is_near(first.us, self.error_us) {
            first.us
        } else {
            us
        };
        let Some(last) = self.offsets.last_mut() else {
            return;
        };
        if last.us == us {
            return;
        }
        last.until = at;
        self.offsets.push(Offset {
            us,
            from: since,
            until: Nanos::MAX,
        });
    }

    fn finish(mut self) -> Vec<Offset> {
        while self.offsets.len() > OFFSETS_MAX {
            let mut number = 0;
            self.offsets.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            for number in 1..self.offsets.len() {
                self.offsets[number - 1].until = self.offsets[number].from;
            }
            if let Some(last) = self.offsets.last_mut() {
                last.until = Nanos::MAX;
            }
        }
        self.offsets
    }
}

/// The cheapest way through the offsets (Viterbi), which only go on.
fn place(stamps: &[Nanos], offsets: &[Offset]) -> Vec<Nanos> {
    let width = offsets.len();
    let mut costs = vec![0_u64; width];
    // Whence the cheapest way to a line under an offset comes.
    let mut whence = vec![0_u8; stamps.len() * width];
    let mut stamp_before = Nanos::MIN;
    for (line, stamp) in stamps.iter().enumerate() {
        let before = costs.clone();
        for (number, offset) in offsets.iter().enumerate() {
            let time = offset.time(*stamp);
            let ways = (0..=number).map(|from| {
                let back = offsets[from].time(stamp_before).saturating_sub(time);
                let back = u64::try_from(back.saturating_sub(SLACK)).unwrap_or(0);
                (before[from].saturating_add(back), from)
            });
            let (cost, from) = ways.min().unwrap_or_default();
            whence[line * width + number] = u8::try_from(from).unwrap_or(u8::MAX);
            costs[number] = cost.saturating_add(offset.cost(*stamp, &offsets[0]));
        }
        stamp_before = *stamp;
    }
    let last = (0..width).min_by_key(|number| costs[*number]);
    let mut number = last.unwrap_or(0);
    let mut times = vec![0; stamps.len()];
    for (line, stamp) in stamps.iter().enumerate().rev() {
        times[line] = offsets[number].time(*stamp);
        number = usize::from(whence[line * width + number]);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NodeClock;
    use crate::inventory::NodeName;
    use crate::manifest::NodeFacts;

    const SECOND: Nanos = 1_000_000_000;

    fn measured(at: Nanos, since: Nanos, host_s: i64, broker_s: Option<i64>) -> Record {
        Record {
            time: at * SECOND,
            event: Event::ClockMeasured {
                node: NodeName("n1".into()),
                clock: NodeClock {
                    host_us: host_s * 1_000_000 + 3_000,
                    broker_us: broker_s.map(|s| s * 1_000_000 + 4_000),
                    error_us: 5_000,
                },
                since: since * SECOND,
            },
        }
    }

    fn clocks(events: &[Record]) -> NodeClocks {
        let node = ManifestNode {
            name: NodeName("n1".into()),
            address: String::new(),
            peer_address: String::new(),
            facts: Some(NodeFacts {
                clock_offset_us: Some(0),
                ..NodeFacts::default()
            }),
        };
        let started = "2026-11-23T10:51:00Z".parse().unwrap();
        NodeClocks::of(&node, started, events).unwrap()
    }

    /// Seconds of stamps, and the seconds of the run that they are placed at.
    #[track_caller]
    fn check(clocks: &NodeClocks, writer: Writer, lines: &[(i64, i64)]) {
        let stamp = |seconds: i64| clocks.started + jiff::SignedDuration::from_secs(seconds);
        let mut times = clocks.times(writer, |take| {
            lines.iter().for_each(|(seconds, _)| take(stamp(*seconds)));
        });
        let placed: Vec<i64> = lines
            .iter()
            .map(|(seconds, _)| (times.next(stamp(*seconds)) + SECOND / 2).div_euclid(SECOND))
            .collect();
        let expected: Vec<i64> = lines.iter().map(|(_, time)| *time).collect();
        assert_eq!(placed, expected);
    }

    #[test]
    fn a_clock_that_is_right_needs_no_look_at_the_file() {
        let clocks = clocks(&[measured(5, 5, 0, Some(0))]);
        let stamp = clocks.started + jiff::SignedDuration::from_secs(7);
        let mut times = clocks.times(Writer::Broker, |_| panic!("it was read"));
        assert_eq!(times.next(stamp), 7 * SECOND);
    }

    #[test]
    fn a_brokers_clock_ahead_and_right_again() {
        let clocks = clocks(&[
            measured(5, 5, 0, Some(0)),
            measured(101, 100, 0, Some(90)),
            measured(121, 120, 0, Some(0)),
        ]);
        let lines = [(99, 99), (191, 101), (210, 120), (122, 122), (195, 195)];
        check(&clocks, Writer::Broker, &lines);
        check(&clocks, Writer::Host, &lines.map(|(_, time)| (time, time)));
        // Nothing was written while it was ahead.
        check(&clocks, Writer::Broker, &[(99, 99), (195, 195), (200, 200)]);
    }

    #[test]
    fn a_hosts_clock_behind_takes_its_broker_along() {
        let clocks = clocks(&[
            measured(101, 100, -90, None),
            measured(103, 101, -90, Some(-90)),
            measured(121, 120, 0, Some(0)),
        ]);
        let lines = [(9, 9), (30, 30), (99, 99), (11, 101), (30, 120), (122, 122)];
        check(&clocks, Writer::Broker, &lines);
        check(&clocks, Writer::Host, &lines);
    }

    #[test]
    fn a_clock_that_flutters_long_is_followed_as_far_as_there_is_room() {
        let events: Vec<Record> = (0..500)
            .map(|n| measured(10 + n, 9 + n, 0, Some(if n % 2 == 0 { 2 } else { 0 })))
            .collect();
        let clocks = clocks(&events);
        assert!(clocks.broker.len() <= OFFSETS_MAX);
        let stamp = |seconds: i64| clocks.started + jiff::SignedDuration::from_secs(seconds);
        let mut times = clocks.times(Writer::Broker, |take| (0..600).for_each(|n| take(stamp(n))));
        for n in 0..600 {
            let off = times.next(stamp(n)).abs_diff(n * SECOND);
            assert!(off < 3 * SECOND.unsigned_abs(), "{n}: {off}");
        }
    }
}
