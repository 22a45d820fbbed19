//! The second pass of the accounting: when, by whom and under which fault the missing values
//! were confirmed.
//!
//! It runs only where the drain and the history are complete, so that what is missing is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::results::{LISTED_MAX, LossGroup, LostValue, TotalQueue, Value};
use super::total_queue::Tally;
use super::window::{FaultTimes, Window};
use crate::history::operation::{Action, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// What is known of the missing values so far.
pub struct Losses<'a> {
    tally: &'a Tally,
    nodes: &'a [NodeName],
    faults: &'a [FaultTimes],
    /// What was published until then may have expired.
    expired_until: Option<Nanos>,
    expired: u64,
    /// The open attempt at each missing value.
    published: HashMap<Value, Nanos>,
    seen: BTreeSet<Value>,
    groups: BTreeMap<(u16, Window), LossGroup>,
    listed: Vec<LostValue>,
    last: Option<LostValue>,
}

impl<'a> Losses<'a> {
    /// Looks for what the first pass found missing. What was published until `expired_until` may be gone.
    pub fn new(
        tally: &'a Tally,
        nodes: &'a [NodeName],
        faults: &'a [FaultTimes],
        expired_until: Option<Nanos>,
    ) -> Self {
        Self {
            tally,
            nodes,
            faults,
            expired_until,
            expired: 0,
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
        let published = self.published.remove(&value);
        if self
            .expired_until
            .is_some_and(|until| published.is_none_or(|published| published <= until))
        {
            self.expired += 1;
            return;
        }
        let lost = LostValue {
            value,
            attempt: entry.attempt,
            node: node.clone(),
            published_ns: published,
            confirmed_ns: entry.time,
            window: Window::of(entry.time, self.faults),
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
        sums.expired = self.expired;
        sums.lost = Some(sums.confirmed_not_received.saturating_sub(self.expired));
        sums.losses = self.groups.into_values().collect();
        sums.losses.sort_by_key(|group| group.first_confirmed_ns);
        sums.lost_values = self.listed;
        sums.last_lost = self.last;
    }
}
