//! Run directories as runs of some kind leave them, made up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use jtest::event::{DrainProof, Event, NodeView, Proof, Record, Stage};
use jtest::history::operation::{Action, Cause, Entry, Nanos, Phase};
use jtest::history::recorder::Recorder;
use jtest::inventory::NodeName;
use jtest::manifest::{FORMAT_VERSION, Manifest, ManifestNode, NodeFacts};
use jtest::scenario::{
    Amount, Cluster, Consumers, PartitionHandling, Protocol, Queue, QueueType, Scenario, Source,
    Workload, WorkloadKind,
};
use jtest::schedule::{FaultId, Groups, Plan, PlannedFault, PlannedLasts, PlannedStep, TimedFault};
use tempfile::TempDir;

pub const SECOND: Nanos = 1_000_000_000;
const MS: Nanos = 1_000_000;

/// What the run is like.
pub struct Run {
    /// The names of its nodes.
    pub nodes: Vec<String>,
    /// What the clients do.
    pub kind: WorkloadKind,
    /// How long the load is; it begins at 10 s.
    pub load_s: i64,
    /// Time between two operations of a client.
    pub pace: Nanos,
    /// How many cuts; each takes the first third of its share of the load.
    pub faults: u32,
    /// Whether what the first node confirms during the cuts is never received.
    pub loses: bool,
    /// Whether the cuts and the drain are proven.
    pub proven: bool,
    /// What is said of faults and by jtest.
    pub words: String,
    /// A line that the brokers log again and again.
    pub line: String,
    /// How often they do in a second.
    pub lines_per_s: i64,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            nodes: ["n1", "n2", "n3", "n4", "n5"].map(str::to_owned).into(),
            kind: WorkloadKind::Queue,
            load_s: 60,
            pace: 50 * MS,
            faults: 1,
            loses: false,
            proven: true,
            words: String::new(),
            line: "accepting AMQP connection".to_owned(),
            lines_per_s: 1,
        }
    }
}

impl Run {
    /// Writes it.
    pub fn write(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        self.manifest().write(path).unwrap();
        self.history(path);
        self.events(path);
        for (number, name) in self.nodes.iter().enumerate() {
            if !name.contains('/') {
                self.files(path, number, name);
            }
        }
        directory
    }

    fn names(&self) -> Vec<NodeName> {
        self.nodes.iter().cloned().map(NodeName).collect()
    }

    /// From when until when each cut is.
    fn cuts(&self) -> Vec<(Nanos, Nanos)> {
        let share = self.load_s * SECOND / i64::from(self.faults.max(1));
        let cuts = 0..i64::from(self.faults);
        cuts.map(|cut| {
            let begins = 10 * SECOND + cut * share;
            (begins + share / 3, begins + share * 2 / 3)
        })
        .collect()
    }

    fn history(&self, path: &Path) {
        let history = path.join("history.arrow");
        let (recorder, guard) = Recorder::create(&history, &self.names(), "cafe").unwrap();
        let cuts = self.cuts();
        let is_cut = |time| {
            cuts.iter()
                .any(|(from, until)| (*from..*until).contains(&time))
        };
        let mut drained = Vec::new();
        for sequence in 0..self.load_s * SECOND / self.pace {
            for node in 0..u16::try_from(self.nodes.len()).unwrap() {
                let time = 10 * SECOND + sequence * self.pace + i64::from(node) * MS;
                let (phase, cause, took) = match (is_cut(time), node) {
                    (true, 1) => (Phase::Info, Cause::ConfirmTimeout, 900 * MS),
                    (true, 2) => (Phase::Fail, Cause::Nacked, 30 * MS),
                    _ => (
                        Phase::Ok,
                        Cause::None,
                        (3 + (sequence * 7 + 3 * i64::from(node)) % 11) * MS,
                    ),
                };
                let entry = Entry {
                    time,
                    process: node.into(),
                    node,
                    phase: Phase::Invoke,
                    action: Action::Publish,
                    producer: node.into(),
                    sequence: sequence.cast_unsigned(),
                    intended: Some(time - MS),
                    ..Entry::default()
                };
                recorder.record(entry);
                recorder.record(Entry {
                    time: time + took,
                    phase,
                    cause,
                    ..entry
                });
                let is_lost = self.loses && node == 0 && is_cut(time);
                if phase == Phase::Ok && !is_lost {
                    drained.push(entry);
                }
            }
        }
        let ends = (11 + self.load_s) * SECOND;
        if self.kind == WorkloadKind::Fifo {
            drained = self.gets(&recorder, drained, ends - SECOND / 2);
        }
        for entry in drained {
            let time = ends + 5 * SECOND;
            let (phase, action) = (Phase::Ok, Action::Drain);
            recorder.record(Entry {
                time,
                phase,
                action,
                ..entry
            });
        }
        guard.finish().unwrap();
    }

    /// Gets some out of their order, and finds nothing once; the rest is for the drain.
    fn gets(&self, recorder: &Recorder, mut values: Vec<Entry>, at: Nanos) -> Vec<Entry> {
        let rest = values.split_off(40);
        values.swap(3, 30);
        for (number, value) in (0..).zip(values) {
            let get = Entry {
                time: at + number * MS,
                action: Action::Get,
                intended: None,
                ..value
            };
            recorder.record(get);
            recorder.record(Entry {
                time: get.time + MS / 2,
                phase: Phase::Ok,
                ..get
            });
        }
        let nothing = Entry {
            time: at + 60 * MS,
            action: Action::Get,
            producer: u32::MAX,
            sequence: u64::MAX,
            intended: None,
            ..rest[0]
        };
        recorder.record(nothing);
        let (phase, cause) = (Phase::Fail, Cause::Empty);
        recorder.record(Entry {
            time: nothing.time + MS,
            phase,
            cause,
            ..nothing
        });
        rest
    }

    fn events(&self, path: &Path) {
        let mut events = vec![
            (
                SECOND,
                Event::StageBegan {
                    stage: Stage::Deploy,
                },
            ),
            (9 * SECOND, ended(Stage::Deploy)),
            (10 * SECOND, Event::StageBegan { stage: Stage::Load }),
            (10 * SECOND, self.view(true)),
        ];
        for (number, (from, until)) in (1..).zip(self.cuts()) {
            events.extend(self.cut(FaultId(number), from, until));
        }
        let ends = (11 + self.load_s) * SECOND;
        events.push((
            ends,
            Event::Note {
                node: self.names().first().cloned(),
                text: format!("a note {}", self.words),
            },
        ));
        events.push((ends, ended(Stage::Load)));
        events.push((
            ends,
            Event::StageBegan {
                stage: Stage::Drain,
            },
        ));
        let complete = self.proven;
        let evidence = vec![format!("n1: it says 0 ready {}", self.words)];
        let proof = DrainProof { complete, evidence };
        events.push((ends + 8 * SECOND, Event::Drained { proof }));
        events.push((ends + 8 * SECOND, ended(Stage::Drain)));
        let mut lines = String::new();
        for (time, event) in events {
            lines += &serde_json::to_string(&Record { time, event }).unwrap();
            lines.push('\n');
        }
        fs::write(path.join("events.jsonl"), lines).unwrap();
    }

    fn cut(&self, fault: FaultId, from: Nanos, until: Nanos) -> Vec<(Nanos, Event)> {
        let proof = |words: &str| Proof {
            proven: self.proven,
            evidence: vec![format!("n1→n3: {words} {}", self.words)],
        };
        let names = self.names();
        let half = names.len().div_ceil(2) - 1;
        let groups = vec![names[..half].to_vec(), names[half..].to_vec()];
        let description = format!("{} {}", jtest::schedule::describe(&groups), self.words);
        let kind = "partition".to_owned();
        let (first, last) = (from, from + 12 * MS);
        let spread_us = Some(1500);
        vec![
            (
                from - SECOND,
                Event::FaultAsked {
                    fault,
                    kind,
                    description,
                    groups,
                },
            ),
            (
                last,
                Event::FaultInjected {
                    fault,
                    first,
                    last,
                    spread_us,
                },
            ),
            (
                from + 2 * SECOND,
                Event::FaultProven {
                    fault,
                    proof: proof("silent, 130 packets dropped"),
                },
            ),
            (from + 4 * SECOND, self.view(false)),
            (
                until,
                Event::FaultHealed {
                    fault,
                    at: until,
                    proof: proof("answers again"),
                },
            ),
            (until + 2 * SECOND, self.view(true)),
        ]
    }

    /// The nodes see each other, or only their own half of them.
    fn view(&self, is_whole: bool) -> Event {
        let names = self.names();
        let half = names.len().div_ceil(2) - 1;
        let leads = |number: usize| match (is_whole, number < half) {
            (true, _) | (false, true) => 0,
            (false, false) => half,
        };
        let views = names.iter().enumerate().map(|(number, node)| {
            let seen = match (is_whole, number < half) {
                (true, _) => &names[..],
                (false, true) => &names[..half],
                (false, false) => &names[half..],
            };
            let view = NodeView {
                running: seen.to_vec(),
                leader: names.get(leads(number)).cloned(),
                ..NodeView::default()
            };
            (node.clone(), view)
        });
        let views: BTreeMap<_, _> = views.collect();
        let leader = names.get(if is_whole { 0 } else { half }).cloned();
        Event::ClusterView { views, leader }
    }

    fn files(&self, path: &Path, number: usize, name: &str) {
        let home = path.join("nodes").join(name);
        fs::create_dir_all(home.join("log")).unwrap();
        fs::create_dir_all(home.join("config")).unwrap();
        let config = format!(
            "# Written by jtest.\ndisk_free_limit.absolute = 50MB\n# {}\n",
            self.words
        );
        fs::write(home.join("config/rabbitmq.conf"), config).unwrap();
        let status = format!(
            "\u{1b}[1mVersions\u{1b}[0m\n\nrabbit@{name}: RabbitMQ 4.1.4 on Erlang 27.3.4\n"
        );
        fs::write(home.join("cluster_status.txt"), status).unwrap();
        let journal = format!(
            "2026-11-23T10:51:12.5+0000 n1 systemd[1]: Started {}\n",
            self.words
        );
        fs::write(home.join("unit.log"), journal).unwrap();
        fs::write(
            home.join("log").join(format!("rabbit@{name}.log")),
            self.log(number),
        )
        .unwrap();
    }

    fn log(&self, number: usize) -> String {
        let mut log = String::new();
        let mut tell = |at: Nanos, level: &str, text: &str| {
            let started: jiff::Timestamp = STARTED.parse().unwrap();
            let time = started + jiff::SignedDuration::from_millis(at / MS);
            let time = time.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00");
            log += &format!("{time} [{level}] <0.503.0> {text}\n");
        };
        let mut cuts = self.cuts().into_iter().peekable();
        for step in 0..self.load_s * self.lines_per_s {
            let at = 10 * SECOND + step * SECOND / self.lines_per_s.max(1);
            while let Some((from, until)) = cuts.next_if(|(_, until)| *until < at) {
                tell(
                    from + 8 * SECOND,
                    "info",
                    "node rabbit@n3 down: net_tick_timeout",
                );
                if number == 0 {
                    tell(until + SECOND, "info", "Autoheal decision");
                    tell(until + SECOND, "info", "  * Winner:     rabbit@n3");
                    tell(
                        until + SECOND,
                        "info",
                        "  * Losers:     [rabbit@n2,rabbit@n1]",
                    );
                    tell(
                        until + SECOND,
                        "warning",
                        "Autoheal: we were selected to restart; winner is rabbit@n3",
                    );
                }
            }
            tell(at, "info", &self.line);
        }
        log
    }

    fn manifest(&self) -> Manifest {
        let nodes = self.names().into_iter().map(|name| ManifestNode {
            name,
            address: "10.77.0.11".into(),
            peer_address: "10.77.1.11".into(),
            facts: Some(NodeFacts {
                os: "Debian GNU/Linux 12 (bookworm)".into(),
                kernel: "6.1.0-32-amd64".into(),
                container: "systemd-nspawn".into(),
                iptables: "nf_tables".into(),
                memory_bytes: 4 << 30,
                clock_offset_us: Some(0),
                clock_error_us: Some(120),
                ..NodeFacts::default()
            }),
        });
        let cuts = self.cuts();
        let steps = (1..).zip(cuts).map(|(number, (from, until))| {
            PlannedStep::Fault(TimedFault {
                id: FaultId(number),
                at: Some(Duration::from_nanos((from - 10 * SECOND).cast_unsigned())),
                fault: PlannedFault::partition(Groups::Named(vec![])),
                lasts: PlannedLasts::For(Duration::from_nanos((until - from).cast_unsigned())),
            })
        });
        Manifest {
            format_version: FORMAT_VERSION,
            jtest_version: "0.1.0".into(),
            run_id: "cafe".into(),
            started: STARTED.into(),
            command: [
                "jtest",
                "--inventory",
                "lab.yaml",
                "--set",
                "queue.name=a b",
            ]
            .map(str::to_owned)
            .into(),
            seed: 7,
            scenario: scenario(self.kind),
            nodes: nodes.collect(),
            schedule: Plan {
                steps: steps.collect(),
            },
        }
    }
}

const STARTED: &str = "2026-11-23T10:51:00Z";

fn ended(stage: Stage) -> Event {
    Event::StageEnded { stage, error: None }
}

fn scenario(kind: WorkloadKind) -> Scenario {
    Scenario {
        name: "made-up".to_owned(),
        description: "A cut, again and again".to_owned(),
        cluster: Cluster {
            source: Source::Apt,
            version: None,
            nodes: None,
            partition_handling: PartitionHandling::Autoheal,
            net_ticktime_s: 8,
            systemd_restart: true,
            deploy_timeout: Duration::from_secs(300),
        },
        queue: Queue::new("jtest.queue", QueueType::Mirrored),
        workload: Workload {
            kind,
            protocol: Protocol::default(),
            amount: Amount::Schedule,
            rate: Some(20.0),
            window: 100,
            confirm_timeout: Duration::from_secs(10),
            resends: 0,
            reconnects: 1000,
            reconnect_pause: Duration::from_secs(1),
            body_bytes: 128,
            hold: Duration::ZERO,
            producers: 1,
            consumers: Consumers::new(0),
        },
        schedule: Vec::new(),
        checks: BTreeMap::new(),
        recovery_timeout: Duration::from_secs(180),
        drain_timeout: Duration::from_secs(180),
    }
}
