//! For how long each node served nobody, and how soon after a fault it served again.
//!
//! A node serves where an operation of its client is confirmed. A gap is the time between two confirms
//! in a row, or from the first operation to the first confirm, or from the last confirm to the last
//! operation of the load; one shorter than [`GAP_MIN`] is none. The former rate is that of the
//! [`BEFORE`] before the injection; it is back, from its first confirm on, at the beginning of a window of at least
//! a second, long enough for some confirms at that rate, that has nine tenths of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::Finding;
use super::table::{Check, Known, Seen};
use super::window::FaultTimes;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;
use crate::schedule::FaultId;

/// A shorter time without a confirm is no gap.
pub const GAP_MIN: Nanos = 100_000_000;

/// For so long before a fault the former rate is looked at.
pub const BEFORE: Nanos = 10 * SECOND;

/// A node that serves nobody for so long after a heal, to the end of the load, is gone.
pub const BACK_WITHIN: Nanos = 30 * SECOND;

/// Confirms are counted for each of these.
const BUCKET: Nanos = 100_000_000;

/// Confirms that a window should have at the former rate.
const EXPECTED: f64 = 20.0;

/// The longest window.
const WINDOW_MAX: Nanos = 10 * SECOND;

const SECOND: Nanos = 1_000_000_000;

/// What part of the former rate counts as its return.
const RETURNED: f64 = 0.9;

/// How the nodes served.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Availability {
    /// Each node over the whole load.
    pub nodes: Vec<NodeService>,
    /// Each fault, in the order of the schedule.
    pub faults: Vec<FaultService>,
}

/// How a node served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeService {
    /// The node.
    pub node: NodeName,
    /// Confirms it gave.
    pub confirms: u64,
    /// Its longest gap, if it had one.
    pub longest: Option<Gap>,
}

/// A time without a confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Gap {
    /// Its beginning.
    pub from_ns: Nanos,
    /// The confirm that ended it; without one it lasted to the end of the load.
    pub until_ns: Option<Nanos>,
    /// How long it was.
    pub length_ns: Nanos,
}

/// How the nodes served around one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FaultService {
    /// Which.
    pub fault: FaultId,
    /// Each node.
    pub nodes: Vec<NodeAround>,
}

/// How a node served around a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeAround {
    /// The node.
    pub node: NodeName,
    /// Confirms per second before it.
    pub rate_before: f64,
    /// The longest gap of those that reach into the time it was in force.
    pub longest: Option<Gap>,
    /// What came back after it was injected.
    pub injected: Return,
    /// What came back after it was healed, if it was.
    pub healed: Option<Return>,
}

/// How soon a node served again, from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Return {
    /// Until its next confirm, if there was one.
    pub first_ns: Option<Nanos>,
    /// Until it had nine tenths of its former rate, if it had that again.
    pub rate_ns: Option<Nanos>,
}

/// What was read of the history so far.
pub struct Confirms {
    faults: Vec<FaultTimes>,
    nodes: BTreeMap<u16, Node>,
    /// When the last operation was invoked, at whatever node. What comes later are only answers, or none.
    ended: Nanos,
}

struct Node {
    began: Nanos,
    last: Nanos,
    /// When the last operation at it was invoked or ended.
    seen: Nanos,
    confirms: u64,
    /// How many confirms there were in each bucket that has some, by time.
    buckets: Vec<(i64, u64)>,
    longest: Option<Gap>,
    /// By fault.
    around: Vec<Option<Gap>>,
    /// By fault: the first confirm after its injection and after its heal.
    next: Vec<(Option<Nanos>, Option<Nanos>)>,
}

impl Check for Confirms {
    type Data = Availability;

    fn begin(known: &Known<'_>) -> Self {
        Self {
            faults: known.faults.to_vec(),
            nodes: BTreeMap::new(),
            ended: Nanos::MIN,
        }
    }

    fn add(&mut self, entry: &Entry) {
        if !matches!(
            entry.action,
            Action::Publish | Action::Acquire | Action::Create | Action::Delete
        ) {
            return;
        }
        if entry.phase == Phase::Invoke {
            self.ended = self.ended.max(entry.time);
        }
        let faults = &self.faults;
        let node = self.nodes.entry(entry.node);
        let node = node.or_insert_with(|| Node::new(entry.time, faults.len()));
        node.seen = node.seen.max(entry.time);
        // Whoever is told that the lock is taken was served.
        let is_told = entry.action == Action::Acquire && entry.cause == Cause::Empty;
        if entry.phase == Phase::Ok || is_told {
            node.confirm(entry.time, faults);
        }
    }

    fn finding(mut self, seen: &Seen<'_>) -> Finding<Availability> {
        for node in self.nodes.values_mut() {
            node.gap(self.ended.max(node.seen), None, &self.faults);
        }
        let named = |number: &u16| seen.known.nodes.get(usize::from(*number)).cloned();
        let nodes = self.nodes.iter().filter_map(|(number, node)| {
            Some(NodeService {
                node: named(number)?,
                confirms: node.confirms,
                longest: node.longest,
            })
        });
        let faults = self.faults.iter().enumerate().map(|(at, fault)| {
            let nodes = self.nodes.iter().filter_map(|(number, node)| {
                Some(node.around(named(number)?, at, fault, self.ended))
            });
            FaultService {
                fault: fault.fault,
                nodes: nodes.collect(),
            }
        });
        let data = Availability {
            nodes: nodes.collect(),
            faults: faults.collect(),
        };
        let (verdict, summary) = verdict(&data, &self.gone(seen));
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

/// Bad is only what never came back.
fn verdict(data: &Availability, gone: &[String]) -> (Verdict, String) {
    let gaps = data.nodes.iter();
    let gaps = gaps.filter_map(|row| Some((row.node.0.as_str(), row.longest?)));
    let longest = gaps.max_by_key(|(_, gap)| gap.length_ns);
    let seconds = |ns: Nanos| ns as f64 / 1e9;
    let told = match longest {
        None => "no node was without a confirm for long".to_owned(),
        Some((node, gap)) => format!(
            "the longest time without a confirm was {node}'s, {:.1} s from {:.1} s on",
            seconds(gap.length_ns),
            seconds(gap.from_ns)
        ),
    };
    if data.nodes.iter().all(|row| row.confirms == 0) {
        (Verdict::Unknown, "nothing was confirmed".to_owned())
    } else if gone.is_empty() {
        (Verdict::Valid, told)
    } else {
        let summary = format!(
            "{} never confirmed again after a heal; {told}",
            gone.join(" ")
        );
        (Verdict::Invalid, summary)
    }
}

impl Confirms {
    /// The nodes that served before a fault and never after its heal, though the load went on.
    fn gone(&self, seen: &Seen<'_>) -> Vec<String> {
        let mut gone = BTreeSet::new();
        for (at, fault) in self.faults.iter().enumerate() {
            let went_on = |until: Nanos| self.ended.saturating_sub(until) >= BACK_WITHIN;
            if !fault.until.is_some_and(went_on) {
                continue;
            }
            let silent = self.nodes.iter().filter(|(_, node)| {
                let (_, healed) = node.next[at];
                healed.is_none() && node.rate_before(fault.from) > 0.0
            });
            gone.extend(silent.filter_map(|(number, _)| {
                let name = seen.known.nodes.get(usize::from(*number))?;
                Some(name.0.clone())
            }));
        }
        gone.into_iter().collect()
    }
}

impl Node {
    fn new(began: Nanos, faults: usize) -> Self {
        Self {
            began,
            last: began,
            seen: began,
            confirms: 0,
            buckets: Vec::new(),
            longest: None,
            around: vec![None; faults],
            next: vec![(None, None); faults],
        }
    }

    fn confirm(&mut self, time: Nanos, faults: &[FaultTimes]) {
        self.confirms += 1;
        let bucket = time.div_euclid(BUCKET);
        match self.buckets.last_mut() {
            // Clients that run side by side may record in another order than they were answered.
            Some((last, count)) if *last >= bucket => *count += 1,
            _ => self.buckets.push((bucket, 1)),
        }
        for (fault, (injected, healed)) in faults.iter().zip(&mut self.next) {
            if injected.is_none() && time >= fault.from {
                *injected = Some(time);
            }
            if healed.is_none() && fault.until.is_some_and(|until| time >= until) {
                *healed = Some(time);
            }
        }
        self.gap(time, Some(time), faults);
    }

    /// No confirm came between the last one and this moment.
    fn gap(&mut self, to: Nanos, until: Option<Nanos>, faults: &[FaultTimes]) {
        let from = self.last;
        self.last = from.max(to);
        let gap = Gap {
            from_ns: from,
            until_ns: until,
            length_ns: to.saturating_sub(from),
        };
        if gap.length_ns < GAP_MIN {
            return;
        }
        let keep = |longest: &mut Option<Gap>| {
            if longest.is_none_or(|longest| longest.length_ns < gap.length_ns) {
                *longest = Some(gap);
            }
        };
        keep(&mut self.longest);
        for (fault, longest) in faults.iter().zip(&mut self.around) {
            let begins = fault.until.is_none_or(|until| from < until);
            if begins && to > fault.from {
                keep(longest);
            }
        }
    }

    fn around(&self, name: NodeName, at: usize, fault: &FaultTimes, ended: Nanos) -> NodeAround {
        let rate = self.rate_before(fault.from);
        let (injected, healed) = self.next[at];
        let back = |from: Nanos, first: Option<Nanos>| {
            let first_ns = first.map(|first| first.saturating_sub(from));
            let rate_ns = self.returned(from, rate, ended);
            Return {
                first_ns,
                rate_ns: rate_ns.map(|rate| first_ns.map_or(rate, |first| rate.max(first))),
            }
        };
        NodeAround {
            node: name,
            rate_before: (rate * 10.0).round() / 10.0,
            longest: self.around[at],
            injected: back(fault.from, injected),
            healed: fault.until.map(|until| back(until, healed)),
        }
    }

    /// Confirms from one bucket up to another.
    fn count(&self, from: i64, until: i64) -> u64 {
        let first = self.buckets.partition_point(|(bucket, _)| *bucket < from);
        let counted = self.buckets[first..].iter();
        let counted = counted.take_while(|(bucket, _)| *bucket < until);
        counted.map(|(_, count)| count).sum()
    }

    fn rate_before(&self, moment: Nanos) -> f64 {
        let until = moment.div_euclid(BUCKET);
        let from = moment
            .saturating_sub(BEFORE)
            .max(self.began)
            .div_euclid(BUCKET);
        if until <= from {
            return 0.0;
        }
        let seconds = ((until - from) * BUCKET) as f64 / SECOND as f64;
        self.count(from, until) as f64 / seconds
    }

    /// From this moment until the rate is back.
    fn returned(&self, moment: Nanos, rate: f64, ended: Nanos) -> Option<Nanos> {
        if rate <= 0.0 {
            return None;
        }
        let wanted = (EXPECTED / rate * SECOND as f64) as Nanos;
        let length = wanted.clamp(SECOND, WINDOW_MAX).div_euclid(BUCKET);
        let enough = rate * RETURNED * (length * BUCKET) as f64 / SECOND as f64;
        let begins = moment.div_euclid(BUCKET);
        let last = ended.div_euclid(BUCKET) - length;
        if begins <= last && self.count(begins, begins + length) as f64 >= enough {
            return Some(0);
        }
        // The first window that a bucket enters is the fullest of those with it.
        let first = self.buckets.partition_point(|(bucket, _)| *bucket < begins);
        let (mut leaves, mut inside) = (first, 0);
        for (bucket, count) in &self.buckets[first..] {
            let begin = (bucket - length + 1).max(begins);
            inside += count;
            while self.buckets[leaves].0 < begin {
                inside -= self.buckets[leaves].1;
                leaves += 1;
            }
            if begin > last {
                return None;
            }
            if inside as f64 >= enough {
                return Some((begin * BUCKET).saturating_sub(moment).max(0));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{judged, judged_with};

    /// Confirms of one node every 20 ms in these spans of seconds, each invoked 5 ms before.
    fn confirms(spans: &[(i64, i64)]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (from, until) in spans {
            let mut time = from * SECOND;
            while time < until * SECOND {
                for (time, phase) in [(time, Phase::Invoke), (time + 5_000_000, Phase::Ok)] {
                    entries.push(Entry {
                        time,
                        phase,
                        sequence: time as u64,
                        ..Entry::default()
                    });
                }
                time += 20_000_000;
            }
        }
        entries
    }

    fn fault(from: i64, until: Option<i64>) -> FaultTimes {
        FaultTimes {
            fault: FaultId(1),
            from: from * SECOND,
            until: until.map(|until| until * SECOND),
        }
    }

    #[test]
    fn a_gap_is_told_with_what_came_back_when() {
        let entries = confirms(&[(0, 20), (35, 60)]);
        let finding = judged_with::<Confirms>(entries, &[fault(20, Some(30))]);
        assert_eq!(finding.verdict, Verdict::Valid);
        let row = &finding.data.faults[0].nodes[0];
        assert_eq!(row.rate_before, 50.0);
        let gap = row.longest.unwrap();
        assert_eq!(gap.length_ns, 15 * SECOND + 20_000_000);
        assert_eq!(gap, finding.data.nodes[0].longest.unwrap());
        assert_eq!(row.injected.first_ns, Some(15 * SECOND + 5_000_000));
        assert_eq!(row.healed.unwrap().first_ns, Some(5 * SECOND + 5_000_000));
        let back = row.healed.unwrap().rate_ns.unwrap();
        assert!((back - 5 * SECOND).abs() <= SECOND / 5, "{back}");
    }

    #[test]
    fn nothing_is_missed_at_a_node_that_has_nothing_left_to_do() {
        let mut entries = confirms(&[(0, 20)]);
        // The last attempt at another node has no answer.
        for (time, phase) in [(19, Phase::Invoke), (50, Phase::Info)] {
            entries.push(Entry {
                time: time * SECOND,
                phase,
                node: 1,
                ..Entry::default()
            });
        }
        let nodes = judged_with::<Confirms>(entries, &[]).data.nodes;
        assert_eq!(nodes[0].longest, None);
        assert_eq!(nodes[1].longest.unwrap().length_ns, 31 * SECOND);
    }

    #[test]
    fn a_node_that_goes_on_has_no_gap_and_its_rate_at_once() {
        let finding = judged_with::<Confirms>(confirms(&[(0, 60)]), &[fault(20, Some(30))]);
        assert_eq!(finding.verdict, Verdict::Valid);
        let row = &finding.data.faults[0].nodes[0];
        assert_eq!(row.longest, None);
        for back in [row.injected, row.healed.unwrap()] {
            assert_eq!(back.first_ns, Some(5_000_000));
            assert_eq!(back.rate_ns, back.first_ns);
        }
    }

    #[test]
    fn a_node_that_never_serves_again_is_told() {
        let mut entries = confirms(&[(0, 20)]);
        entries.push(Entry {
            time: 60 * SECOND,
            ..Entry::default()
        });
        let finding = judged_with::<Confirms>(entries.clone(), &[fault(20, Some(30))]);
        assert_eq!(finding.verdict, Verdict::Invalid);
        let gap = finding.data.nodes[0].longest.unwrap();
        assert_eq!(gap.until_ns, None);
        assert_eq!(gap.length_ns, 40 * SECOND + 15_000_000);
        // So soon after a heal nothing is known.
        let finding = judged_with::<Confirms>(entries.clone(), &[fault(20, Some(31))]);
        assert_eq!(finding.verdict, Verdict::Valid);
        // Not healed, it need not have.
        let finding = judged_with::<Confirms>(entries, &[fault(20, None)]);
        assert_eq!(finding.verdict, Verdict::Valid);
        assert_eq!(finding.data.faults[0].nodes[0].healed, None);
    }

    #[test]
    fn nothing_confirmed_is_unknown() {
        assert_eq!(judged::<Confirms>([]).verdict, Verdict::Unknown);
        let invoked = judged::<Confirms>([Entry::default()]);
        assert_eq!(invoked.verdict, Verdict::Unknown);
    }
}
