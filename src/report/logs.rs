//! The logs of all nodes as one, on the run's clock: as many lines as a page can hold, those
//! that tell most and those nearest to a fault first.
//!
//! Files are streamed. Of each node a heap keeps the best lines so far, so that memory is bounded and
//! no node's noise costs another's lines.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::BufReader;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::SerializeTuple;

use super::escape::json_length;
use super::files;
use crate::check::logs::{each_line, head, pattern};
use crate::check::node_clock::{NodeClocks, Times, Writer};
use crate::check::results::FaultCoverage;
use crate::event::Record;
use crate::history::operation::Nanos;
use crate::manifest::Manifest;

/// Lines of a page.
const LINES_MAX: usize = 8000;
/// Bytes that they take in it.
const BYTES_MAX: usize = 1_000_000;
/// Characters of a line that are kept.
const TEXT_CHARS_MAX: usize = 300;
/// Before a fault and after its heal lines matter for so long.
const AROUND_NS: Nanos = 15_000_000_000;

/// The lines of all nodes, in the order of time.
#[derive(Debug, Default, Serialize)]
pub struct Logs {
    /// Names of files, which lines point to.
    pub files: Vec<String>,
    /// The lines.
    pub lines: Vec<Line>,
    /// How many lines with a time are not among them.
    pub left_out: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// On the run's clock.
    pub time: Nanos,
    /// The position of its node in the manifest.
    pub node: usize,
    /// The position of its file's name.
    pub file: usize,
    /// How much it matters.
    pub level: Level,
    /// Without time, level and process.
    pub text: String,
}

/// What a line is worth at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// It tells of the cluster, a queue or a vote.
    Telling,
    /// A warning or an error.
    Trouble,
    /// Anything else.
    Plain,
    /// Written for debugging.
    Debug,
}

/// As a tuple: there are thousands of them.
impl Serialize for Line {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(5)?;
        tuple.serialize_element(&((self.time as f64 / 1e6).round() / 1e3))?;
        tuple.serialize_element(&self.node)?;
        tuple.serialize_element(&self.file)?;
        tuple.serialize_element(&(self.level as u8))?;
        tuple.serialize_element(&self.text)?;
        tuple.end()
    }
}

impl Logs {
    /// Reads what the nodes left.
    pub fn collect(
        directory: &Path,
        manifest: &Manifest,
        events: &[Record],
        faults: &[FaultCoverage],
    ) -> Self {
        let mut logs = Self::default();
        let Ok(started) = manifest.started.parse::<Timestamp>() else {
            return logs;
        };
        let lines_max = LINES_MAX / manifest.nodes.len().max(1);
        let mut best = Vec::new();
        for (number, node) in manifest.nodes.iter().enumerate() {
            let home = files::of_node(directory, &node.name);
            let clocks = NodeClocks::of(node, started, events);
            let (Some(home), Some(clocks)) = (home, clocks) else {
                continue;
            };
            let mut kept = Kept::new(lines_max, faults);
            let in_log = files::names(&home.join("log")).into_iter();
            let of_broker = in_log.map(|name| (format!("log/{name}"), Writer::Broker));
            let journals = ["unit.log", "kernel.log"].map(|name| (name.to_owned(), Writer::Host));
            for (path, writer) in of_broker.chain(journals) {
                let file = || Some(BufReader::new(files::open(directory, &home.join(&path))?));
                let Some(log) = file() else {
                    continue;
                };
                // What was read before an error still explains something.
                let times = clocks.times(writer, |take| {
                    let stamp =
                        |line: &str| split(line).into_iter().for_each(|(time, ..)| take(time));
                    let _ = file().map(|log| each_line(log, stamp));
                });
                let mut search = Search {
                    number,
                    file: logs.file(path.trim_start_matches("log/")),
                    times,
                    last: None,
                    kept: &mut kept,
                };
                let _ = each_line(log, |line| search.line(line));
            }
            logs.left_out += kept.left_out;
            best.extend(kept.lines);
        }
        logs.take(best);
        logs
    }

    fn file(&mut self, name: &str) -> usize {
        let known = self.files.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.files.push(name.to_owned());
            self.files.len() - 1
        })
    }

    /// Takes the best for as long as there is room, in the order of time.
    fn take(&mut self, mut ranked: Vec<Ranked>) {
        ranked.sort();
        let mut bytes = 0;
        for ranked in ranked {
            bytes += json_length(&ranked.line.text) + 32;
            if bytes > BYTES_MAX {
                self.left_out += 1;
            } else {
                self.lines.push(ranked.line);
            }
        }
        // The sort is stable and lines of one rank and moment came in the order of their file.
        self.lines.sort_by_key(|line| (line.time, line.node));
    }
}

/// A line and how little it is worth; the order of the lines of a file decides where that is the same.
#[derive(Debug)]
struct Ranked {
    class: u8,
    distance: Nanos,
    order: u64,
    line: Line,
}

impl Ranked {
    fn key(&self) -> (u8, Nanos, u64) {
        (self.class, self.distance, self.order)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// What goes first where there is no room for all.
fn class(level: Level, is_near: bool) -> u8 {
    match (level, is_near) {
        (Level::Telling, true) => 0,
        (Level::Trouble, true) => 1,
        (Level::Telling, false) => 2,
        (Level::Plain, true) => 3,
        (Level::Trouble, false) => 4,
        (Level::Plain, false) => 5,
        (Level::Debug, _) => 6,
    }
}

/// The best lines of one node so far.
struct Kept {
    /// When each fault came and went, sorted.
    edges: Vec<Nanos>,
    lines: BinaryHeap<Ranked>,
    lines_max: usize,
    order: u64,
    left_out: u64,
}

impl Kept {
    fn new(lines_max: usize, faults: &[FaultCoverage]) -> Self {
        let edges = faults.iter().flat_map(|fault| {
            let ends = [fault.injected_first_ns, fault.healed_ns];
            ends.into_iter().flatten()
        });
        let mut edges: Vec<Nanos> = edges.collect();
        edges.sort_unstable();
        Self {
            edges,
            lines: BinaryHeap::new(),
            lines_max,
            order: 0,
            left_out: 0,
        }
    }

    fn add(&mut self, line: Line) {
        let distance = self.distance(line.time);
        self.order += 1;
        self.lines.push(Ranked {
            class: class(line.level, distance <= AROUND_NS),
            distance,
            order: self.order,
            line,
        });
        if self.lines.len() > self.lines_max {
            self.lines.pop();
            self.left_out += 1;
        }
    }

    /// How far the next coming or going of a fault is.
    fn distance(&self, time: Nanos) -> Nanos {
        let after = self.edges.partition_point(|edge| *edge < time);
        let near = self.edges[after.saturating_sub(1)..].iter().take(2);
        let distances = near.map(|edge| edge.saturating_sub(time).saturating_abs());
        distances.min().unwrap_or(Nanos::MAX)
    }
}

/// The reading of one file.
struct Search<'a> {
    number: usize,
    file: usize,
    times: Times<'a>,
    /// Time and level of the last line that had them; lines without continue it.
    last: Option<(Nanos, Level)>,
    kept: &'a mut Kept,
}

impl Search<'_> {
    fn line(&mut self, line: &str) {
        let text = match split(line) {
            Some((time, level, text)) => {
                self.last = Some((self.times.next(time), level));
                text
            }
            None => line,
        };
        let Some((time, level)) = self.last else {
            return;
        };
        if text.trim().is_empty() {
            return;
        }
        let is_telling = pattern(text.trim()).is_some();
        self.kept.add(Line {
            time,
            node: self.number,
            file: self.file,
            level: if is_telling { Level::Telling } else { level },
            text: text.chars().take(TEXT_CHARS_MAX).collect(),
        });
    }
}

/// A line of a broker's log or of a journal in its parts.
fn split(line: &str) -> Option<(Timestamp, Level, &str)> {
    if let Some(head) = head(line) {
        let level = match head.level {
            "debug" => Level::Debug,
            "info" | "notice" => Level::Plain,
            _ => Level::Trouble,
        };
        return Some((head.time, level, head.text));
    }
    let (time, text) = line.split_once(' ')?;
    // Journals name their host, whom the reader knows already.
    let (_host, text) = text.split_once(' ')?;
    Some((time.parse().ok()?, Level::Plain, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::judge;
    use crate::check::testing::Run;

    fn collected(log: &str) -> Logs {
        let directory = Run {
            log: log.as_bytes(),
            ..Run::default()
        }
        .write();
        let path = directory.path();
        let journal = "-- No entries --\n2026-11-23T10:51:04.5+0000 n1 systemd[1]: Stopped\n";
        std::fs::write(path.join("nodes/n1/unit.log"), journal).unwrap();
        let manifest = Manifest::read(path).unwrap();
        let coverage = judge(path).unwrap().coverage.data;
        Logs::collect(path, &manifest, &[], &coverage.faults)
    }

    #[test]
    fn broker_and_journal_are_one_in_the_order_of_time() {
        let logs = collected(
            "no time\n2026-11-23 10:51:04+00:00 [info] <0.1.0> first\n continued\n\n\
             2026-11-23 10:51:05+00:00 [error] <0.1.0> third\n\
             2026-11-23 10:51:05+00:00 [info] <0.1.0> node rabbit@n2 down: x\n",
        );
        let lines: Vec<_> = logs
            .lines
            .iter()
            .map(|line| (line.time / 100_000_000, line.level, line.text.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (40, Level::Plain, "first"),
                (40, Level::Plain, " continued"),
                (45, Level::Plain, "systemd[1]: Stopped"),
                (50, Level::Telling, "node rabbit@n2 down: x"),
                (50, Level::Trouble, "third"),
            ]
        );
        assert_eq!(logs.files, ["rabbit@n1.log", "unit.log"]);
        assert_eq!(logs.left_out, 0);
    }

    #[test]
    fn what_tells_most_stays_when_there_is_too_much() {
        let mut log = String::new();
        for number in 0..30_000 {
            let second = 30 + number / 1000;
            log += &format!("2026-11-23 10:51:{second}+00:00 [info] <0.1.0> noise {number}\n");
        }
        log += "2026-11-23 10:59:00+00:00 [info] <0.1.0> node rabbit@n2 down: x\n";
        log += "2026-11-23 10:51:08+00:00 [info] <0.1.0> at the heal\n";
        let logs = collected(&log);
        assert_eq!(logs.lines.len(), LINES_MAX / 3);
        assert_eq!(logs.left_out, 30_003 - logs.lines.len() as u64);
        let has = |wanted: &str| logs.lines.iter().any(|line| line.text == wanted);
        assert!(has("node rabbit@n2 down: x") && has("at the heal") && has("noise 0"));
        assert!(!has("noise 29999"));
    }

    #[test]
    fn lines_that_would_fill_the_page_are_left_out() {
        let long = "<\u{1}&".repeat(200);
        let log: String = (0..2000)
            .map(|_| format!("2026-11-23 10:51:05+00:00 [info] <0.1.0> {long}\n"))
            .collect();
        let logs = collected(&log);
        let page = crate::report::escape::json(&logs).unwrap();
        assert!(logs.left_out > 0);
        assert!(page.len() < BYTES_MAX + 1000, "{}", page.len());
    }
}
