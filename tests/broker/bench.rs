//! What the tests against brokers share.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jtest::clock::RunClock;
use jtest::event::{Emit, Event};
use jtest::history::operation::{Action, Entry, Phase};
use jtest::inventory::{NodeName, Secret};
use jtest::scenario::{Amount, Queue, QueueType, Workload};
use jtest::workload::amqp::Link;
use jtest::workload::drain::{Counts, DrainContext, NodeCounts};
use jtest::workload::queue::LoadContext;
use jtest::workload::{Credentials, Endpoint, Record, Tally};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::sync::watch;

#[derive(Default)]
pub struct Memory {
    pub entries: Mutex<Vec<Entry>>,
    pub notes: Mutex<Vec<String>>,
    /// Attempts, ok, fail, info and received, as last told.
    pub progress: Mutex<[u64; 5]>,
}

impl Record for Memory {
    fn record(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }
}

impl Emit for Memory {
    fn emit(&self, event: Event) {
        match event {
            Event::Note { node, text } => {
                eprintln!("{node:?} {text}");
                self.notes.lock().unwrap().push(text);
            }
            Event::Progress {
                attempts,
                ok,
                fail,
                info,
                received,
            } => *self.progress.lock().unwrap() = [attempts, ok, fail, info, received],
            other => panic!("not an event of a workload: {other:?}"),
        }
    }
}

type Value = (u32, u64);

impl Memory {
    pub fn publishes(&self, phase: Phase) -> Vec<Entry> {
        self.of(Action::Publish)
            .into_iter()
            .filter(|entry| entry.phase == phase)
            .collect()
    }

    pub fn of(&self, action: Action) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap();
        entries
            .iter()
            .filter(|entry| entry.action == action)
            .cloned()
            .collect()
    }

    /// The last progress that was told tells what the history tells.
    pub fn assert_told(&self) {
        let phases = [Phase::Invoke, Phase::Ok, Phase::Fail, Phase::Info];
        let counts = phases.map(|phase| self.publishes(phase).len() as u64);
        let told = *self.progress.lock().unwrap();
        assert_eq!(told[..4], counts);
    }

    /// Every invoke has exactly one completion, after it; nothing else completes.
    pub fn assert_sound(&self) {
        let mut open = BTreeMap::new();
        for entry in self.of(Action::Publish) {
            let id = (entry.producer, entry.sequence, entry.attempt);
            match entry.phase {
                Phase::Invoke => assert_eq!(open.insert(id, entry.process), None, "{id:?} again"),
                _ => assert_eq!(open.remove(&id), Some(entry.process), "{id:?} not invoked"),
            }
        }
        assert!(open.is_empty(), "{} without completion", open.len());
    }

    pub fn received(&self) -> BTreeMap<Value, usize> {
        let mut received = BTreeMap::new();
        for entry in self.of(Action::Drain) {
            *received
                .entry((entry.producer, entry.sequence))
                .or_default() += 1;
        }
        received
    }

    /// Confirmed values that were not received.
    pub fn lost(&self) -> Vec<Value> {
        let received = self.received();
        self.publishes(Phase::Ok)
            .iter()
            .map(|entry| (entry.producer, entry.sequence))
            .filter(|value| !received.contains_key(value))
            .collect()
    }
}

pub fn endpoints() -> Vec<Endpoint> {
    let listeners = std::env::var("JTEST_TEST_AMQP").expect("JTEST_TEST_AMQP lists brokers");
    (0u16..)
        .zip(listeners.split(','))
        .map(|(index, listener)| {
            let (address, port) = listener.split_once(':').unwrap();
            Endpoint {
                index,
                name: NodeName(format!("n{}", index + 1)),
                address: address.to_owned(),
                port: port.parse().unwrap(),
            }
        })
        .collect()
}

pub fn credentials() -> Credentials {
    Credentials {
        user: "jtest".to_owned(),
        password: Secret::new("jtest"),
        vhost: "/".to_owned(),
    }
}

pub fn workload(amount: Amount, window: u32) -> Workload {
    Workload {
        amount,
        rate: None,
        window,
        confirm_timeout: Duration::from_secs(10),
        resends: 0,
        reconnects: 100,
        reconnect_pause: Duration::from_millis(500),
        body_bytes: 64,
    }
}

pub struct Bench {
    pub memory: Arc<Memory>,
    pub load: LoadContext,
    pub drain: DrainContext,
    pub stop: watch::Sender<bool>,
}

/// A fresh durable queue on each broker, and contexts for it.
pub async fn bench(queue: &str, endpoints: Vec<Endpoint>, workload: Workload) -> Bench {
    for endpoint in &endpoints {
        let link = Link::open(endpoint, &credentials(), "test").await.unwrap();
        let name = || queue.into();
        link.channel()
            .queue_delete(name(), QueueDeleteOptions::default())
            .await
            .unwrap();
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        link.channel()
            .queue_declare(name(), durable, FieldTable::default())
            .await
            .unwrap();
        link.close().await;
    }
    let memory = Arc::new(Memory::default());
    let (stop, stopped) = watch::channel(false);
    let clock = RunClock::start();
    let tally = Arc::new(Tally::default());
    let run_id = format!("test-{queue}");
    Bench {
        load: LoadContext {
            endpoints: endpoints.clone(),
            credentials: credentials(),
            queue: Queue {
                name: queue.to_owned(),
                kind: QueueType::Classic,
                replicas: None,
            },
            workload,
            run_id: run_id.clone(),
            recorder: memory.clone(),
            emit: memory.clone(),
            clock,
            tally: tally.clone(),
            stop: stopped,
        },
        drain: DrainContext {
            endpoints,
            credentials: credentials(),
            queue: queue.to_owned(),
            run_id,
            recorder: memory.clone(),
            emit: memory.clone(),
            clock,
            tally,
            deadline: Duration::from_secs(60),
        },
        memory,
        stop,
    }
}

/// Runs a shell command as root on the first broker's host.
pub async fn shell(command: &str) -> String {
    let shell = std::env::var("JTEST_TEST_SHELL").expect("JTEST_TEST_SHELL reaches the host");
    let mut words = shell.split_whitespace();
    let output = tokio::process::Command::new(words.next().unwrap())
        .args(words)
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), output)
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first broker's own counts, for every endpoint.
pub async fn counts(queue: &str, endpoints: &[Endpoint]) -> Counts {
    let list =
        "rabbitmqctl -q --no-table-headers list_queues name messages_ready messages_unacknowledged";
    let table = shell(list).await;
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|row| row.first() == Some(&queue))
        .unwrap();
    let counts = NodeCounts {
        ready: row[1].parse().unwrap(),
        unacknowledged: row[2].parse().unwrap(),
    };
    endpoints
        .iter()
        .map(|endpoint| (endpoint.name.clone(), Ok(counts)))
        .collect()
}
