//! How long answers took: HDR histograms, exact to 1 %.
//!
//! A latency counts from when the operation was due, where it was sent at a fixed rate: what waited
//! because the one before it had to wait is late, too. Counted is what a client waits for to go on: the
//! confirm of a publish, the answer to an acquire, a create or a delete. What had no answer has no
//! latency, and is counted beside.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::Finding;
use super::table::{Check, Known, Seen};
use super::window::{FaultTimes, Window};
use crate::history::operation::{Action, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// The smallest and the largest latency that are told apart, in nanoseconds.
const SMALLEST: u64 = 1_000;
const LARGEST: u64 = 24 * 3600 * 1_000_000_000;

/// So many windows are told, the first ones; a histogram takes 30 kB.
const WINDOWS_MAX: usize = 1000;

/// Digits that count.
const DIGITS: u8 = 2;

/// How long answers took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Latency {
    /// Of all clients.
    pub all: Quantiles,
    /// Operations without an answer.
    pub unanswered: u64,
    /// By the node that answered.
    pub nodes: Vec<NodeLatency>,
    /// By when the operation was due, among the faults.
    pub windows: Vec<WindowLatency>,
}

/// Latencies of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeLatency {
    /// The node.
    pub node: NodeName,
    /// Its latencies.
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

/// Latencies of one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WindowLatency {
    /// When.
    pub window: Window,
    /// The latencies.
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

/// What so many answers took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// Half of them at most.
    pub p50_ns: u64,
    /// 95 of 100 at most.
    pub p95_ns: u64,
    /// 99 of 100 at most.
    pub p99_ns: u64,
    /// 999 of 1000 at most.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What was read of the history so far.
pub struct Latencies {
    faults: Vec<FaultTimes>,
    open: HashMap<Operation, Nanos>,
    nodes: BTreeMap<u16, Histogram<u64>>,
    windows: BTreeMap<Window, Histogram<u64>>,
    unanswered: u64,
}

type Operation = (u32, Action, u32, u64, u16);

impl Check for Latencies {
    type Data = Latency;

    fn begin(known: &Known<'_>) -> Self {
        Self {
            faults: known.faults.to_vec(),
            open: HashMap::new(),
            nodes: BTreeMap::new(),
            windows: BTreeMap::new(),
            unanswered: 0,
        }
    }

    fn add(&mut self, entry: &Entry) {
        if !matches!(
            entry.action,
            Action::Publish | Action::Acquire | Action::Create | Action::Delete
        ) {
            return;
        }
        let operation = (
            entry.process,
            entry.action,
            entry.producer,
            entry.sequence,
            entry.attempt,
        );
        if entry.phase == Phase::Invoke {
            let due = entry.intended.unwrap_or(entry.time);
            self.open.insert(operation, due);
            return;
        }
        let Some(due) = self.open.remove(&operation) else {
            return;
        };
        if entry.phase == Phase::Info {
            self.unanswered += 1;
            return;
        }
        let latency = u64::try_from(entry.time.saturating_sub(due)).unwrap_or(0);
        let of_node = self.nodes.entry(entry.node).or_insert_with(histogram);
        of_node.saturating_record(latency);
        let window = Window::of(due, &self.faults);
        if self.windows.len() < WINDOWS_MAX || self.windows.contains_key(&window) {
            let of_window = self.windows.entry(window).or_insert_with(histogram);
            of_window.saturating_record(latency);
        }
    }

    fn finding(self, seen: &Seen<'_>) -> Finding<Latency> {
        let mut all = histogram();
        for of_node in self.nodes.values() {
            // Both have the same bounds.
            let _added = all.add(of_node);
        }
        let nodes = self.nodes.iter().filter_map(|(node, histogram)| {
            Some(NodeLatency {
                node: seen.known.nodes.get(usize::from(*node))?.clone(),
                quantiles: quantiles(histogram),
            })
        });
        let windows = self
            .windows
            .iter()
            .map(|(window, histogram)| WindowLatency {
                window: *window,
                quantiles: quantiles(histogram),
            });
        let data = Latency {
            all: quantiles(&all),
            unanswered: self.unanswered + self.open.len() as u64,
            nodes: nodes.collect(),
            windows: windows.collect(),
        };
        let (verdict, summary) = if data.all.count == 0 {
            (Verdict::Unknown, "nothing was answered".to_owned())
        } else {
            let summary = format!(
                "half of {} answers within {}, 99 % within {}, all within {}",
                data.all.count,
                ms(data.all.p50_ns),
                ms(data.all.p99_ns),
                ms(data.all.max_ns)
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

/// No more digits than are known.
fn ms(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    let digits = if ms < 10.0 { 1 } else { 0 };
    format!("{ms:.digits$} ms")
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(SMALLEST, LARGEST, DIGITS).expect("the bounds are right")
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    Quantiles {
        count: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.5),
        p95_ns: histogram.value_at_quantile(0.95),
        p99_ns: histogram.value_at_quantile(0.99),
        p999_ns: histogram.value_at_quantile(0.999),
        max_ns: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{judged, judged_with};
    use crate::schedule::FaultId;

    const MS: Nanos = 1_000_000;

    fn publish(sequence: u64, due: Nanos, ended: Nanos, phase: Phase) -> [Entry; 2] {
        let entry = Entry {
            sequence,
            intended: Some(due),
            time: due + MS,
            ..Entry::default()
        };
        let end = Entry {
            phase,
            intended: None,
            time: ended,
            ..entry
        };
        [entry, end]
    }

    fn near(found: u64, ms: u64) {
        let wanted = ms * 1_000_000;
        assert!(
            found.abs_diff(wanted) <= wanted / 100,
            "{found} for {ms} ms"
        );
    }

    #[test]
    fn a_latency_counts_from_when_the_publish_was_due() {
        let entries = (0..100).flat_map(|number: u8| {
            let due = Nanos::from(number) * 100 * MS;
            let took = if number < 90 { 10 } else { 500 };
            publish(number.into(), due, due + took * MS, Phase::Ok)
        });
        let data = judged::<Latencies>(entries).data;
        assert_eq!((data.all.count, data.unanswered), (100, 0));
        near(data.all.p50_ns, 10);
        near(data.all.p95_ns, 500);
        near(data.all.max_ns, 500);
        assert_eq!(data.nodes.len(), 1);
        assert_eq!(data.windows.len(), 1);
    }

    #[test]
    fn what_was_due_during_a_fault_is_told_apart() {
        let fault = FaultTimes {
            fault: FaultId(1),
            from: 100 * MS,
            until: Some(200 * MS),
        };
        let entries = [
            publish(0, 0, 5 * MS, Phase::Ok),
            publish(1, 150 * MS, 250 * MS, Phase::Ok),
            publish(2, 160 * MS, 260 * MS, Phase::Info),
        ];
        let finding = judged_with::<Latencies>(entries.into_iter().flatten(), &[fault]);
        let windows: Vec<_> = finding.data.windows.iter().map(|row| row.window).collect();
        assert_eq!(windows, [Window::Before, Window::During(FaultId(1))]);
        near(finding.data.windows[1].quantiles.max_ns, 100);
        assert_eq!(finding.data.unanswered, 1);
    }

    #[test]
    fn no_answer_at_all_is_no_good_latency() {
        let entries = publish(0, 0, 5 * MS, Phase::Info);
        assert_eq!(judged::<Latencies>(entries).verdict, Verdict::Unknown);
        assert_eq!(judged::<Latencies>([]).verdict, Verdict::Unknown);
    }
}
