//! The lock: whether two clients held it at once. See [`super::linear::mutex`].

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::linear::mutex::{Hold, overlaps};
use super::results::{Finding, LISTED_MAX};
use super::table::{Check, Known, Seen};
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// Who held the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Acquires that were begun.
    pub tried: u64,
    /// Those that got the lock.
    pub acquired: u64,
    /// Those that found it taken.
    pub refused: u64,
    /// Those of which nobody knows.
    pub unknown: u64,
    /// How often a holder lost the lock with its connection.
    pub lost_with_connection: u64,
    /// How often it was acquired while another client held it for certain.
    pub overlaps: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub overlapping: Vec<Overlap>,
}

/// Two clients that held the lock at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The one that had it.
    pub held: HoldTimes,
    /// The one that got it as well.
    pub also: HoldTimes,
}

/// For how long a client held the lock for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTimes {
    /// The client's connection.
    pub process: u32,
    /// The node it was connected to.
    pub node: Option<NodeName>,
    /// When it was told that it has it.
    pub from_ns: Nanos,
    /// When it began to give it back, or learned that its connection was lost.
    pub until_ns: Option<Nanos>,
}

/// What was read of the history so far.
#[derive(Default)]
pub struct Locks {
    holds: Vec<Hold>,
    /// By process: since when it holds the lock.
    held: HashMap<u32, Nanos>,
    nodes: HashMap<u32, u16>,
    counts: Lock,
}

impl Check for Locks {
    type Data = Lock;

    fn begin(_known: &Known<'_>) -> Self {
        Self::default()
    }

    fn add(&mut self, entry: &Entry) {
        match (entry.action, entry.phase) {
            (Action::Acquire, Phase::Invoke) => self.counts.tried += 1,
            (Action::Acquire, Phase::Ok) => {
                self.counts.acquired += 1;
                self.held.insert(entry.process, entry.time);
                self.nodes.insert(entry.process, entry.node);
            }
            (Action::Acquire, Phase::Fail) => self.counts.refused += 1,
            (Action::Acquire, Phase::Info) => self.counts.unknown += 1,
            (Action::Release, Phase::Invoke) => self.release(entry.process, entry.time),
            (Action::Release, Phase::Info) if entry.cause == Cause::ConnectionLost => {
                self.counts.lost_with_connection += 1;
            }
            _ => {}
        }
    }

    fn finding(mut self, seen: &Seen<'_>) -> Finding<Lock> {
        let open: Vec<u32> = self.held.keys().copied().collect();
        for process in open {
            self.release(process, Nanos::MAX);
        }
        let found = overlaps(&mut self.holds);
        let mut data = self.counts;
        data.overlaps = found.len() as u64;
        let times = |hold: &Hold| HoldTimes {
            process: hold.process,
            node: self
                .nodes
                .get(&hold.process)
                .and_then(|node| seen.known.nodes.get(usize::from(*node)))
                .cloned(),
            from_ns: hold.from,
            until_ns: (hold.until != Nanos::MAX).then_some(hold.until),
        };
        data.overlapping = found
            .iter()
            .take(LISTED_MAX)
            .map(|(held, also)| Overlap {
                held: times(held),
                also: times(also),
            })
            .collect();
        let (verdict, summary) = if let Some(first) = data.overlapping.first() {
            let summary = format!(
                "the lock was held by two clients at once {} times, first by {} and {}",
                data.overlaps,
                name(&first.held),
                name(&first.also)
            );
            (Verdict::Invalid, summary)
        } else if data.acquired == 0 {
            let summary = "the lock was never acquired, so nothing was tested".to_owned();
            (Verdict::Unknown, summary)
        } else {
            let summary = format!(
                "the lock was acquired {} times, never by two clients at once",
                data.acquired
            );
            (Verdict::Valid, summary)
        };
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

impl Locks {
    fn release(&mut self, process: u32, until: Nanos) {
        if let Some(from) = self.held.remove(&process) {
            self.holds.push(Hold {
                process,
                from,
                until,
            });
        }
    }
}

fn name(hold: &HoldTimes) -> String {
    let node = hold.node.as_ref().map_or("?", |node| node.0.as_str());
    let from = hold.from_ns as f64 / 1e9;
    format!("{node}'s client (from {from:.3} s)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing;

    fn entry(time: Nanos, process: u32, action: Action, phase: Phase) -> Entry {
        Entry {
            time,
            process,
            node: process as u16,
            phase,
            action,
            producer: process,
            sequence: 0,
            attempt: 0,
            cause: if phase == Phase::Info {
                Cause::ConnectionLost
            } else {
                Cause::None
            },
            ..Entry::default()
        }
    }

    fn judged(entries: &[Entry]) -> Finding<Lock> {
        testing::judged::<Locks>(entries.iter().copied())
    }

    #[test]
    fn a_holder_that_does_not_know_of_its_loss_holds_it_with_another() {
        let entries = [
            entry(1, 0, Action::Acquire, Phase::Invoke),
            entry(2, 0, Action::Acquire, Phase::Ok),
            entry(3, 1, Action::Acquire, Phase::Invoke),
            entry(5, 1, Action::Acquire, Phase::Ok),
            entry(9, 0, Action::Release, Phase::Invoke),
            entry(9, 0, Action::Release, Phase::Info),
        ];
        let finding = judged(&entries);
        assert_eq!(finding.verdict, Verdict::Invalid);
        insta::assert_snapshot!(finding.summary, @"the lock was held by two clients at once 1 times, first by n1's client (from 0.000 s) and n2's client (from 0.000 s)");
        let overlap = &finding.data.overlapping[0];
        assert_eq!(overlap.held.until_ns, Some(9));
        assert_eq!(overlap.also.until_ns, None);
        assert_eq!(finding.data.lost_with_connection, 1);
        // Had it known in time, all would be well.
        let mut known = entries;
        known[4].time = 4;
        known[5].time = 4;
        assert_eq!(judged(&known).verdict, Verdict::Valid);
    }

    #[test]
    fn a_lock_that_nobody_got_proves_nothing() {
        let entries = [
            entry(1, 0, Action::Acquire, Phase::Invoke),
            entry(2, 0, Action::Acquire, Phase::Fail),
        ];
        assert_eq!(judged(&entries).verdict, Verdict::Unknown);
    }
}
