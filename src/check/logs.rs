//! What the brokers wrote around the faults: the lines that explain a verdict.
//!
//! The logs of every node are brought onto the run's clock and searched for the wording of
//! RabbitMQ 3.8 to 4.x. What is found never makes a verdict: absent or unreadable logs give
//! fewer lines and nothing else. Files are streamed and everything is bounded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::node_clock::{NodeClocks, Times, Writer};
use super::results::{BrokerLogs, Coverage, LogLine, LogPattern};
use crate::event::Record;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::manifest::{Manifest, ManifestNode};
use crate::run_dir;

/// How long before a fault lines begin to matter.
const BEFORE_NS: Nanos = 2_000_000_000;
/// How long after its heal they still do: autoheal and the elections come only then.
const AFTER_NS: Nanos = 15_000_000_000;

/// Lines of one pattern kept of one node for one fault.
const PATTERN_LINES_MAX: usize = 8;
/// Lines kept of one node.
const NODE_LINES_MAX: usize = 400;
/// Bytes read of one file; as many as are collected of it.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a line that are looked at.
const LINE_BYTES_MAX: usize = 4096;
/// Characters of a line that are kept.
const TEXT_CHARS_MAX: usize = 300;

/// The telling lines of all nodes, by time and node.
pub fn collect(
    directory: &Path,
    manifest: &Manifest,
    events: &[Record],
    coverage: &Coverage,
) -> BrokerLogs {
    let mut logs = BrokerLogs::default();
    let Ok(started) = manifest.started.parse::<Timestamp>() else {
        return logs;
    };
    let windows = windows(coverage);
    for node in &manifest.nodes {
        let file = || Some(BufReader::new(open(directory, node)?));
        let (Some(clocks), Some(log)) = (NodeClocks::of(node, started, events), file()) else {
            continue;
        };
        // What was read before an error still explains something.
        let times = clocks.times(Writer::Broker, |take| {
            let _ = file()
                .map(|log| each_line(log, |line| stamp(line).into_iter().for_each(&mut *take)));
        });
        let mut search = Search::new(&node.name, times, &windows);
        let _ = each_line(log, |line| search.line(line));
        logs.lines.append(&mut search.found);
        logs.left_out += search.left_out;
    }
    logs.lines
        .sort_by(|one, other| (one.time_ns, &one.node).cmp(&(other.time_ns, &other.node)));
    logs
}

fn open(directory: &Path, node: &ManifestNode) -> Option<File> {
    let name = &node.name.0;
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return None;
    }
    let path = directory
        .join("nodes")
        .join(name)
        .join("log")
        .join(format!("rabbit@{name}.log"));
    run_dir::open(&path).ok()
}

/// From when until when lines matter, for each fault that was injected.
fn windows(coverage: &Coverage) -> Vec<(Nanos, Nanos)> {
    let injected = coverage.faults.iter().filter_map(|fault| {
        let from = fault.injected_first_ns?.saturating_sub(BEFORE_NS);
        let until = fault
            .healed_ns
            .map_or(Nanos::MAX, |healed| healed.saturating_add(AFTER_NS));
        Some((from, until))
    });
    injected.collect()
}

/// The search through one node's log.
struct Search<'a> {
    node: &'a NodeName,
    times: Times<'a>,
    windows: &'a [(Nanos, Nanos)],
    /// The time of the last line that had one; lines without one continue it.
    time: Option<Nanos>,
    counts: BTreeMap<(usize, LogPattern), usize>,
    found: Vec<LogLine>,
    left_out: u64,
}

impl<'a> Search<'a> {
    fn new(node: &'a NodeName, times: Times<'a>, windows: &'a [(Nanos, Nanos)]) -> Self {
        Self {
            node,
            times,
            windows,
            time: None,
            counts: BTreeMap::new(),
            found: Vec::new(),
            left_out: 0,
        }
    }

    fn line(&mut self, line: &str) {
        let text = match head(line) {
            Some(head) => {
                self.time = Some(self.times.next(head.time));
                head.text
            }
            None => line,
        };
        let Some(time_ns) = self.time else { return };
        let is_inside = |(from, until): &(Nanos, Nanos)| (*from..=*until).contains(&time_ns);
        let Some(window) = self.windows.iter().position(is_inside) else {
            return;
        };
        let text = text.trim();
        let Some(pattern) = pattern(text) else { return };
        let count = self.counts.entry((window, pattern)).or_default();
        if *count >= PATTERN_LINES_MAX || self.found.len() >= NODE_LINES_MAX {
            self.left_out += 1;
            return;
        }
        *count += 1;
        self.found.push(LogLine {
            time_ns,
            node: self.node.clone(),
            pattern,
            text: text.chars().take(TEXT_CHARS_MAX).collect(),
        });
    }
}

/// Every line of a log, its first [`LINE_BYTES_MAX`] bytes at most, up to [`FILE_BYTES_MAX`] of the file.
///
/// # Errors
///
/// The file cannot be read; the lines before that were given.
pub fn each_line(file: impl BufRead, mut take: impl FnMut(&str)) -> io::Result<()> {
    let mut file = file.take(FILE_BYTES_MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut file)
            .take(LINE_BYTES_MAX as u64)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && read == LINE_BYTES_MAX {
            file.skip_until(b'\n')?;
        }
        take(String::from_utf8_lossy(&line).trim_end());
    }
}

/// A line of a broker's log in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// By the node's clock.
    pub time: Timestamp,
    /// Such as `info`.
    pub level: &'a str,
    /// The rest, without the process that wrote it.
    pub text: &'a str,
}

/// `2026-11-23 10:51:27.123456+00:00 [info] <0.1.0> text` in its parts. A time
/// without a zone, as 3.8 writes it, is taken for UTC.
pub fn head(line: &str) -> Option<Head<'_>> {
    let (time, rest) = line.split_once(" [")?;
    let time = time.parse::<Timestamp>().ok().or_else(|| {
        let local = time.parse::<DateTime>().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    let (level, text) = rest.split_once("] ")?;
    let text = match text.split_once("> ") {
        Some((process, text)) if process.starts_with('<') => text,
        _ => text,
    };
    Some(Head { time, level, text })
}

fn stamp(line: &str) -> Option<Timestamp> {
    Some(head(line)?.time)
}

/// The known wording, the first that fits; in the order of what says most.
const WORDING: &[(LogPattern, &[&str])] = &[
    (
        LogPattern::AutohealDecision,
        &[
            "* Winner:",
            "* Losers:",
            "* Partitions:",
            "we were selected to restart",
            "I am the winner",
        ],
    ),
    (
        LogPattern::Promotion,
        &["Promoting mirror", "Promoting slave"],
    ),
    (LogPattern::Autoheal, &["Autoheal", "autoheal"]),
    (
        LogPattern::Pause,
        &[
            "Cluster minority",
            "minority/secondary status",
            "pause_minority",
            "pause_if_all_down",
        ],
    ),
    (LogPattern::PartialPartition, &["Partial partition"]),
    (
        LogPattern::Partition,
        &["inconsistent_database", "running_partitioned_network"],
    ),
    (LogPattern::Mirror, &["Mirrored queue '", "Mirrored-queue "]),
    (
        LogPattern::Election,
        &[
            "election called for in term",
            "granting vote",
            "granting pre-vote",
            "-> leader in term",
            "is now leader",
            "detected a new leader",
            "leader elected",
        ],
    ),
    (
        LogPattern::Crash,
        &[
            "CRASH REPORT",
            "Crash report",
            "crasher:",
            "** Generic server ",
            "** State machine ",
            "Supervisor {",
        ],
    ),
    (
        LogPattern::Stop,
        &[
            "RabbitMQ is asked to stop",
            "RabbitMQ is asked to start",
            "Successfully stopped RabbitMQ",
            "Server startup complete",
            "Dropping",
        ],
    ),
];

/// Why a line is telling, if it is.
pub fn pattern(text: &str) -> Option<LogPattern> {
    if let Some(change) = node_change(text) {
        return Some(change);
    }
    if text.contains(": Synchronising: ") {
        return None;
    }
    let (pattern, _) = WORDING
        .iter()
        .find(|(_, words)| words.iter().any(|word| text.contains(word)))?;
    Some(*pattern)
}

/// `node rabbit@n4 down: net_tick_timeout`, `rabbit on node rabbit@n4 up`.
fn node_change(text: &str) -> Option<LogPattern> {
    let rest = text
        .strip_prefix("rabbit on node rabbit@")
        .or_else(|| text.strip_prefix("node rabbit@"))?;
    let (_, state) = rest.split_once(' ')?;
    if state.starts_with("down") {
        Some(LogPattern::NodeDown)
    } else if state.starts_with("up") {
        Some(LogPattern::NodeUp)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
