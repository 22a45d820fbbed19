//! A small run directory for unit tests: three nodes, one partition, a producer on each node.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::judge::{EVENTS_FILE, HISTORY_FILE};
use super::results::Finding;
use super::table::{Check, Known, Seen};
use super::window::FaultTimes;
use crate::event::{DrainProof, Event, Proof, Record, Stage};
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::history::recorder::Recorder;
use crate::inventory::NodeName;
use crate::manifest::{FORMAT_VERSION, Manifest, ManifestNode, NodeFacts};
use crate::scenario::testing::scenario;
use crate::schedule::{FaultId, Groups, Plan, PlannedFault, PlannedLasts, PlannedStep, TimedFault};

const SECOND: Nanos = 1_000_000_000;

/// What the run is like.
pub struct Run<'a> {
    /// Sequence numbers that every producer has confirmed and that are never received.
    pub lost: std::ops::Range<u64>,
    /// Whether the drain is proven complete.
    pub drained: bool,
    /// The first node's log.
    pub log: &'a [u8],
    /// When the load begins; the fault is there from 3 s to 8 s.
    pub load_from_s: u64,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            lost: 0..0,
            drained: true,
            log: b"",
            load_from_s: 0,
        }
    }
}

impl Run<'_> {
    /// Writes it.
    pub fn write(&self) -> TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        self.write_in(directory.path());
        directory
    }

    /// Writes it into a directory that is there.
    pub fn write_in(&self, path: &Path) {
        manifest().write(path).expect("run.json");
        self.history(path);
        let mut lines = String::new();
        for (time, event) in self.events() {
            let record = Record { time, event };
            lines += &serde_json::to_string(&record).expect("an event is JSON");
            lines.push('\n');
        }
        fs::write(path.join(EVENTS_FILE), lines).expect("events.jsonl");
        let log = path.join("nodes/n1/log");
        fs::create_dir_all(&log).expect("the logs' directory");
        fs::write(log.join("rabbit@n1.log"), self.log).expect("a log");
    }

    fn history(&self, path: &Path) {
        let (recorder, guard) =
            Recorder::create(&path.join(HISTORY_FILE), &names(), "cafe").expect("history.arrow");
        for sequence in 0..10 {
            for node in 0..3_u16 {
                let entry = |at: u64, phase, action| Entry {
                    time: Nanos::try_from(at).expect("a small number") * SECOND,
                    process: node.into(),
                    node,
                    phase,
                    action,
                    producer: node.into(),
                    sequence,
                    attempt: 0,
                    cause: Cause::None,
                    ..Entry::default()
                };
                let at = self.load_from_s + sequence;
                recorder.record(entry(at, Phase::Invoke, Action::Publish));
                recorder.record(entry(at + 1, Phase::Ok, Action::Publish));
                if !self.lost.contains(&sequence) {
                    recorder.record(entry(20, Phase::Ok, Action::Drain));
                }
            }
        }
        guard.finish().expect("the history's end");
    }

    fn events(&self) -> Vec<(Nanos, Event)> {
        let fault = FaultId(1);
        let proof = |evidence: &[&str]| Proof {
            proven: true,
            evidence: evidence.iter().map(|&line| line.to_owned()).collect(),
        };
        let ended = |stage| Event::StageEnded { stage, error: None };
        vec![
            (
                3 * SECOND,
                Event::FaultAsked {
                    fault,
                    kind: "partition".into(),
                    description: "n1 | n2 n3".into(),
                    groups: vec![names()[..1].to_vec(), names()[1..].to_vec()],
                },
            ),
            (
                4 * SECOND,
                Event::FaultInjected {
                    fault,
                    first: 3 * SECOND,
                    last: 4 * SECOND,
                    spread_us: Some(1500),
                },
            ),
            (
                5 * SECOND,
                Event::FaultProven {
                    fault,
                    proof: proof(&["n1→n2: silent", "n2→n1: silent", "n1→n3: silent", "more"]),
                },
            ),
            (
                8 * SECOND,
                Event::FaultHealed {
                    fault,
                    at: 8 * SECOND,
                    proof: proof(&["gone"]),
                },
            ),
            (11 * SECOND, ended(Stage::Load)),
            (
                21 * SECOND,
                Event::Drained {
                    proof: DrainProof {
                        complete: self.drained,
                        evidence: vec!["n1: received 30; it says 0 ready, 0 unacknowledged".into()],
                    },
                },
            ),
            (21 * SECOND, ended(Stage::Drain)),
        ]
    }
}

/// What a checker finds in these entries of three nodes, had the run no fault and a complete end.
pub fn judged<C: Check>(entries: impl IntoIterator<Item = Entry>) -> Finding<C::Data> {
    judged_as::<C>(entries, &[], true)
}

/// The same, with these faults.
pub fn judged_with<C: Check>(
    entries: impl IntoIterator<Item = Entry>,
    faults: &[FaultTimes],
) -> Finding<C::Data> {
    judged_as::<C>(entries, faults, true)
}

/// The same, of a run that did not come to its end in good order.
pub fn judged_unfinished<C: Check>(entries: impl IntoIterator<Item = Entry>) -> Finding<C::Data> {
    judged_as::<C>(entries, &[], false)
}

fn judged_as<C: Check>(
    entries: impl IntoIterator<Item = Entry>,
    faults: &[FaultTimes],
    is_complete: bool,
) -> Finding<C::Data> {
    let (scenario, nodes) = (scenario(), names());
    let known = Known {
        scenario: &scenario,
        nodes: &nodes,
        faults,
        events: &[],
    };
    let mut check = C::begin(&known);
    let entries: Vec<Entry> = entries.into_iter().collect();
    entries.iter().for_each(|entry| check.add(entry));
    entries.iter().for_each(|entry| check.add_again(entry));
    check.finding(&Seen { known, is_complete })
}

/// The run's nodes.
pub fn names() -> Vec<NodeName> {
    ["n1", "n2", "n3"].map(|name| NodeName(name.into())).into()
}

fn manifest() -> Manifest {
    let nodes = names().into_iter().map(|name| ManifestNode {
        name,
        address: "10.0.0.1".into(),
        peer_address: "10.0.0.1".into(),
        facts: Some(NodeFacts::default()),
    });
    Manifest {
        format_version: FORMAT_VERSION,
        jtest_version: "0.1.0".into(),
        run_id: "cafe".into(),
        started: "2026-11-23T10:51:00Z".into(),
        command: vec!["jtest".into()],
        seed: 1,
        scenario: scenario(),
        nodes: nodes.collect(),
        schedule: Plan {
            steps: vec![PlannedStep::Fault(TimedFault {
                id: FaultId(1),
                at: Some(Duration::from_secs(3)),
                fault: PlannedFault::partition(Groups::Named(vec![])),
                lasts: PlannedLasts::For(Duration::from_secs(5)),
            })],
        },
    }
}
