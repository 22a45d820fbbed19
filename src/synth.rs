//! Run directories that no cluster made: synthetic histories of any size, legal or with planted
//! defects, to try checkers on. What a seed gives is the same everywhere.

mod fifo;
mod lock;
mod queue;
mod stream;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::check::judge::{EVENTS_FILE, HISTORY_FILE};
use crate::check::results::Value;
use crate::event::{DrainProof, Event, Record, Stage};
use crate::history::operation::{Action, Entry, Nanos, Phase};
use crate::history::recorder::Recorder;
use crate::inventory::NodeName;
use crate::manifest::{FORMAT_VERSION, Manifest, ManifestNode};
use crate::run_dir;
use crate::scenario;
use crate::schedule::Plan;

/// Nodes, and clients.
const NODES: u32 = 5;

/// Between the beginnings of two operations.
const STEP: Nanos = 100_000;

/// Messages of all producers that are unconfirmed at once.
const WINDOW: u64 = 500;

/// The drain's connections are processes of their own.
const DRAIN_PROCESS: u32 = 1 << 31;

const RUN_ID: &str = "synthetic";

/// What the clients of a history do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Producers, then a drain
    Queue,
    /// Clients that take turns at a lock
    Lock,
    /// Enqueues and dequeues
    Fifo,
    /// Producers and readers of a stream
    Stream,
}

impl Shape {
    /// The word of the workload.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Lock => "lock",
            Self::Fifo => "fifo",
            Self::Stream => "stream",
        }
    }
}

/// What is wrong with a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Defect {
    /// A confirmed message is never received
    Lost,
    /// A message is received twice, not marked as redelivered
    Duplicated,
    /// A message is received that nobody sent
    Invented,
    /// A message is received that had been returned as unroutable
    Returned,
    /// A message arrives damaged
    Damaged,
    /// A second client gets the lock while it is held
    Overlap,
    /// A value is dequeued before one that was enqueued earlier
    Overtaken,
    /// A dequeue finds nothing while something is in the queue
    FalseEmpty,
    /// A confirmed message is not in the stream
    Unstored,
    /// A message is in the stream twice
    StoredTwice,
    /// One node lacks a message of the stream
    Lacking,
    /// One node has another message at an offset of the stream
    Rewritten,
    /// The history has no end
    Torn,
}

impl Defect {
    /// All.
    pub const ALL: [Self; 13] = [
        Self::Lost,
        Self::Duplicated,
        Self::Invented,
        Self::Returned,
        Self::Damaged,
        Self::Overlap,
        Self::Overtaken,
        Self::FalseEmpty,
        Self::Unstored,
        Self::StoredTwice,
        Self::Lacking,
        Self::Rewritten,
        Self::Torn,
    ];

    /// The histories that can have it.
    pub fn shape(self) -> Shape {
        match self {
            Self::Overlap => Shape::Lock,
            Self::Overtaken | Self::FalseEmpty => Shape::Fifo,
            Self::Unstored | Self::StoredTwice | Self::Lacking | Self::Rewritten => Shape::Stream,
            _ => Shape::Queue,
        }
    }
}

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Synth {
    /// What the clients do.
    pub shape: Shape,
    /// Operations of clients.
    pub operations: u64,
    /// What is wrong with it, and how often.
    pub defect: Option<(Defect, u64)>,
    /// Everything random comes from it.
    pub seed: u64,
}

/// Where a defect was planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    /// Which.
    pub defect: Defect,
    /// The message; of a lock, the client and the number of its acquire.
    pub value: Value,
    /// When.
    pub time: Nanos,
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value { producer, sequence } = self.value;
        let seconds = self.time as f64 / 1e9;
        let defect = clap::ValueEnum::to_possible_value(&self.defect);
        let defect = defect.as_ref().map_or("", |word| word.get_name());
        write!(f, "{defect}: {producer}.{sequence} at {seconds:.4} s")
    }
}

/// Where the entries go, and what was planted among them.
struct Writing<'a> {
    record: &'a mut dyn FnMut(Entry),
    planted: Vec<Planted>,
    /// By operation: those that are to be defective.
    places: BTreeSet<u64>,
    defect: Option<Defect>,
    random: Pcg64,
}

impl Writing<'_> {
    /// The defect that this operation is to have.
    fn defect(&self, operation: u64) -> Option<Defect> {
        self.defect.filter(|_| self.places.contains(&operation))
    }

    fn plant(&mut self, defect: Defect, value: Value, time: Nanos) {
        self.planted.push(Planted {
            defect,
            value,
            time,
        });
    }
}

impl Synth {
    /// Gives every entry to `record`, in order; where the defects are.
    pub fn entries(&self, record: &mut dyn FnMut(Entry)) -> Vec<Planted> {
        let mut random = Pcg64::seed_from_u64(self.seed);
        let messages = match self.shape {
            Shape::Queue => queue::messages(self.operations),
            Shape::Lock => lock::turns(self.operations),
            Shape::Fifo => fifo::messages(self.operations),
            Shape::Stream => stream::messages(self.operations),
        };
        let planting = self.defect.filter(|(defect, _)| *defect != Defect::Torn);
        let count = planting.map_or(0, |(_, count)| count).min(messages);
        let among = usize::try_from(messages).unwrap_or(usize::MAX);
        let places = sample(&mut random, among, count as usize);
        let mut writing = Writing {
            record,
            planted: Vec::new(),
            places: places.into_iter().map(|place| place as u64).collect(),
            defect: planting.map(|(defect, _)| defect),
            random,
        };
        match self.shape {
            Shape::Queue => queue::write(messages, &mut writing),
            Shape::Lock => lock::write(messages, &mut writing),
            Shape::Fifo => fifo::write(messages, &mut writing),
            Shape::Stream => stream::write(messages, &mut writing),
        }
        writing.planted
    }

    /// Writes a run directory; where the defects are.
    pub fn write(&self, directory: &Path) -> io::Result<Vec<Planted>> {
        let manifest = self.manifest()?;
        std::fs::create_dir_all(directory)?;
        manifest.write(directory)?;
        let names: Vec<NodeName> = manifest.nodes.into_iter().map(|node| node.name).collect();
        let history = directory.join(HISTORY_FILE);
        let (recorder, guard) = Recorder::create(&history, &names, RUN_ID)?;
        let mut ended = 0;
        let mut planted = self.entries(&mut |entry| {
            ended = entry.time;
            recorder.record(entry);
        });
        guard.finish()?;
        let is_torn = self
            .defect
            .is_some_and(|(defect, _)| defect == Defect::Torn);
        if is_torn {
            let file = std::fs::OpenOptions::new().write(true).open(&history)?;
            // The stream's end is a marker of eight bytes.
            file.set_len(file.metadata()?.len().saturating_sub(8))?;
            planted.push(Planted {
                defect: Defect::Torn,
                value: Value::default(),
                time: ended,
            });
        }
        let (bytes, sha1) = run_dir::digest(&history)?;
        let events = events(ended, Event::HistoryEnded { bytes, sha1 })?;
        run_dir::write(&directory.join(EVENTS_FILE), events.as_bytes())?;
        Ok(planted)
    }

    /// What gives the same again, in a directory that is to be named.
    fn command(&self) -> Vec<String> {
        let mut command = vec![
            "jtest".to_owned(),
            "synth".to_owned(),
            format!("--workload={}", self.shape.word()),
            format!("--ops={}", self.operations),
            format!("--seed={}", self.seed),
        ];
        if let Some((defect, times)) = self.defect {
            let word = clap::ValueEnum::to_possible_value(&defect);
            let word = word.as_ref().map_or("", |word| word.get_name());
            command.push(format!("--defect={word}"));
            command.push(format!("--times={times}"));
        }
        command.push("DIR".to_owned());
        command
    }

    fn manifest(&self) -> io::Result<Manifest> {
        let word = self.shape.word();
        let more = match self.shape {
            Shape::Stream => "  consumers: {count: 1}\nqueue:\n  type: stream\n",
            _ => "",
        };
        let yaml = format!(
            "name: synthetic-{word}\nworkload:\n  kind: {word}\n  amount: {} messages\n{more}",
            self.operations.clamp(1, 1_000_000_000)
        );
        let parsed = scenario::parse("synthetic", &yaml, &[]);
        let (scenario, _warnings) = parsed.map_err(|wrong| io::Error::other(wrong.to_string()))?;
        let nodes = (1..=NODES).map(|number| ManifestNode {
            name: NodeName(format!("n{number}")),
            address: "127.0.0.1".to_owned(),
            peer_address: "127.0.0.1".to_owned(),
            facts: None,
        });
        Ok(Manifest {
            format_version: FORMAT_VERSION,
            jtest_version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: RUN_ID.to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            command: self.command(),
            seed: self.seed,
            scenario,
            nodes: nodes.collect(),
            schedule: Plan::default(),
        })
    }
}

/// A load and a drain that ended in good order.
fn events(ended: Nanos, history: Event) -> io::Result<String> {
    let proof = DrainProof {
        complete: true,
        evidence: vec!["synthetic: there was no broker".to_owned()],
    };
    let ended_well = |stage| Event::StageEnded { stage, error: None };
    let events = [
        ended_well(Stage::Load),
        Event::Drained { proof },
        ended_well(Stage::Drain),
        history,
    ];
    let mut text = String::new();
    for event in events {
        text += &serde_json::to_string(&Record { time: ended, event })?;
        text.push('\n');
    }
    Ok(text)
}

/// Producers that publish so many messages; each is given to `end` in its turn, with the time at which its window is
/// over. When all are.
fn publish(
    messages: u64,
    to: &mut Writing<'_>,
    mut end: impl FnMut(u64, Nanos, &mut Writing<'_>),
) -> Nanos {
    let mut time = 0;
    for number in 0..messages + WINDOW {
        time = Nanos::try_from(number).unwrap_or(Nanos::MAX / STEP) * STEP;
        if number < messages {
            (to.record)(entry(time, Action::Publish, Phase::Invoke, value(number)));
        }
        if let Some(ended) = number.checked_sub(WINDOW) {
            let time = time + delay(&mut to.random, STEP);
            end(ended, time, to);
        }
    }
    time + STEP
}

/// One of a client's entries.
fn entry(time: Nanos, action: Action, phase: Phase, value: Value) -> Entry {
    Entry {
        time,
        process: value.producer,
        node: (value.producer % NODES) as u16,
        phase,
        action,
        producer: value.producer,
        sequence: value.sequence,
        ..Entry::default()
    }
}

/// The message with this number: clients take turns.
fn value(number: u64) -> Value {
    let clients = u64::from(NODES);
    Value {
        producer: (number % clients) as u32,
        sequence: number / clients,
    }
}

/// Up to so long, in nanoseconds.
fn delay(random: &mut Pcg64, most: Nanos) -> Nanos {
    random.random_range(0..most)
}

#[cfg(test)]
#[path = "synth/tests.rs"]
mod tests;
