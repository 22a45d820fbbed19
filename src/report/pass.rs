//! One pass over the history: what the report draws of it, whatever its length.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::series::{Counted, Series};
use crate::check::judge::HISTORY_FILE;
use crate::check::results::Value;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::history::reader::Reader;
use crate::manifest::Manifest;
use crate::scenario::WorkloadKind;

/// Operations kept of one value.
const VALUE_OPERATIONS_MAX: usize = 24;

/// What was read.
pub struct Pass {
    /// Rates and latencies.
    pub series: Series,
    /// Of the values that are to be told one by one.
    pub operations: BTreeMap<Value, Vec<Operation>>,
    /// Why it could not be read to its end.
    pub error: Option<String>,
    /// Whether the clients wait for what they get before they go on.
    waits_for_gets: bool,
    wanted: BTreeSet<Value>,
    open: HashMap<Key, Begun>,
}

/// One operation, from its invocation to its completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The client's connection.
    pub process: u32,
    /// The node it was connected to.
    pub node: usize,
    /// What it did.
    pub action: Action,
    /// Which attempt at the value.
    pub attempt: u16,
    /// When it began; for a delivery, when it came.
    pub from: Nanos,
    /// When it ended, if it did.
    pub until: Option<Nanos>,
    /// How.
    pub phase: Phase,
    /// For a delivery: the broker's mark.
    pub redelivered: bool,
}

/// What an invocation and its completion have in common.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    process: u32,
    action: Action,
    /// Of a publish; a client has one open operation of any other kind.
    publish: Option<(Value, u16)>,
}

struct Begun {
    at: Nanos,
    due: Option<Nanos>,
}

impl Pass {
    /// Reads the history of a run directory, as far as it can be read.
    pub fn read(directory: &Path, manifest: &Manifest, wanted: BTreeSet<Value>) -> Self {
        let nodes = manifest.nodes.len();
        let mut pass = Self {
            waits_for_gets: manifest.scenario.workload.kind == WorkloadKind::Fifo,
            series: Series::new(nodes),
            operations: BTreeMap::new(),
            error: None,
            wanted,
            open: HashMap::new(),
        };
        pass.error = pass.entries(directory).err();
        pass
    }

    fn entries(&mut self, directory: &Path) -> Result<(), String> {
        let mut reader =
            Reader::open(&directory.join(HISTORY_FILE)).map_err(|error| error.to_string())?;
        while let Some(batch) = reader.next_batch().map_err(|error| error.to_string())? {
            batch.entries().for_each(|entry| self.add(&entry));
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry) {
        let node = usize::from(entry.node);
        match entry.action {
            Action::Deliver | Action::Drain => {
                self.series.add(entry.time, node, Counted::Received);
                self.keep(entry, entry.time);
            }
            // Nobody waits for these.
            Action::Ack
            | Action::Subscribe
            | Action::Cancel
            | Action::Release
            | Action::Observe => {}
            // Consumers that ask again and again only receive.
            Action::Get if !self.waits_for_gets => {
                if entry.phase == Phase::Ok {
                    self.series.add(entry.time, node, Counted::Received);
                    self.keep(entry, entry.time);
                }
            }
            Action::Publish | Action::Get | Action::Acquire | Action::Create | Action::Delete => {
                match entry.phase {
                    Phase::Invoke => {
                        let (at, due) = (entry.time, entry.intended);
                        self.open.insert(key(entry), Begun { at, due });
                    }
                    Phase::Ok | Phase::Fail | Phase::Info => self.complete(entry, node),
                }
            }
        }
    }

    fn complete(&mut self, entry: &Entry, node: usize) {
        let time = entry.time;
        let begun = self.open.remove(&key(entry));
        let latency = begun
            .as_ref()
            .map(|begun| time.saturating_sub(begun.due.unwrap_or(begun.at)));
        let counted = match entry.phase {
            Phase::Ok => Counted::Ok(latency),
            Phase::Fail => Counted::Fail,
            Phase::Info | Phase::Invoke => Counted::Info,
        };
        self.series.add(time, node, counted);
        if entry.action == Action::Get && entry.phase == Phase::Ok && entry.cause == Cause::None {
            self.series.add(time, node, Counted::Received);
        }
        self.keep(entry, begun.map_or(time, |begun| begun.at));
    }

    fn keep(&mut self, entry: &Entry, from: Nanos) {
        let value = value(entry);
        if !self.wanted.contains(&value) {
            return;
        }
        let kept = self.operations.entry(value).or_default();
        if kept.len() < VALUE_OPERATIONS_MAX {
            kept.push(Operation {
                process: entry.process,
                node: usize::from(entry.node),
                action: entry.action,
                attempt: entry.attempt,
                from,
                until: Some(entry.time),
                phase: entry.phase,
                redelivered: entry.redelivered,
            });
        }
    }
}

fn value(entry: &Entry) -> Value {
    Value {
        producer: entry.producer,
        sequence: entry.sequence,
    }
}

fn key(entry: &Entry) -> Key {
    Key {
        process: entry.process,
        action: entry.action,
        publish: (entry.action == Action::Publish).then(|| (value(entry), entry.attempt)),
    }
}
