//! What the tests against brokers share.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use jtest::clock::RunClock;
use jtest::event::{Emit, Event};
use jtest::history::operation::{Action, Entry, Phase};
use jtest::inventory::{NodeName, Secret};
use jtest::remote::Script;
use jtest::scenario::{Amount, Consumers, Protocol, Queue, QueueType, Workload, WorkloadKind};
use jtest::workload::amqp::Link;
use jtest::workload::drain::{Counts, DrainContext, NodeCounts};
use jtest::workload::load::LoadContext;
use jtest::workload::{Credentials, Endpoint, Record, Tally};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::sync::watch;

use crate::lab::Lab;

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
                ..
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

/// The broker on one of the lab's hosts, clustered with no other.
#[derive(Clone)]
pub struct Broker {
    lab: Arc<Lab>,
    n: u16,
}

impl Broker {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            index: self.n,
            name: NodeName(format!("n{}", self.n)),
            address: format!("10.77.0.{}", 10 + self.n),
            port: 5672,
        }
    }

    /// Runs a shell command as root on its host.
    pub async fn shell(&self, command: &str) -> String {
        let script = Script::new("test", command).deadline(Duration::from_secs(300));
        let host = self.lab.host(usize::from(self.n));
        host.run(&script).await.unwrap().text()
    }

    /// What it says of a queue.
    pub async fn counts(&self, queue: &str) -> Counts {
        let ask = format!(
            "{ASK}\nrabbit_eval '{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             Counts = rabbit_amqqueue:info(Queue, [messages_ready, messages_unacknowledged]), \
             lists:flatten(io_lib:format(\"~w ~w\", [Count || {{_, Count}} <- Counts]))'"
        );
        let said = self.shell(&ask).await;
        let (ready, unacknowledged) = said.split_once(' ').unwrap();
        let counts = NodeCounts {
            ready: ready.parse().unwrap(),
            unacknowledged: unacknowledged.parse().unwrap(),
        };
        Counts::from([(self.endpoint().name, Ok(counts))])
    }
}

/// Where this process is outside the lab's control namespace, runs the test again inside.
pub fn ran_inside_the_lab() -> bool {
    let lab = crate::lab::name();
    let pid = std::process::id().to_string();
    let identify = Command::new("ip")
        .args(["netns", "identify", &pid])
        .output();
    if String::from_utf8_lossy(&identify.unwrap().stdout).trim() == format!("jtest-{lab}") {
        return false;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab");
    let again = Command::new(script)
        .args(["--name", &lab, "exec"])
        .args(std::env::args())
        .status();
    assert!(again.unwrap().success());
    true
}

/// Brokers on all hosts, made where they are missing or were something else.
pub async fn brokers() -> Vec<Broker> {
    let lab = Arc::new(Lab::connect().await);
    let brokers: Vec<Broker> = (1..=5)
        .map(|n| Broker {
            lab: Arc::clone(&lab),
            n,
        })
        .collect();
    join_all(brokers.iter().map(|broker| broker.shell(PREPARE))).await;
    brokers
}

/// Asks a broker in its own language, for a small part of what its command line takes.
const ASK: &str = include_str!("../../src/rabbitmq/shell.sh");

const PREPARE: &str = r"
    export DEBIAN_FRONTEND=noninteractive
    ready() { rabbitmqctl -q authenticate_user jtest jtest; }
    if ! ready >/dev/null 2>&1; then
        if ! command -v rabbitmqctl >/dev/null; then
            apt-get update -qq && apt-get install -y -qq rabbitmq-server >/dev/null
        fi
        systemctl stop rabbitmq-server
        rm -rf /var/lib/rabbitmq/mnesia /etc/rabbitmq/rabbitmq.conf /etc/rabbitmq/advanced.config
        systemctl start rabbitmq-server
        rabbitmqctl -q await_startup
        rabbitmqctl -q add_user jtest jtest
        rabbitmqctl -q set_permissions jtest '.*' '.*' '.*'
        ready
    fi";

pub fn credentials() -> Credentials {
    Credentials {
        user: "jtest".to_owned(),
        password: Secret::new("jtest"),
        vhost: "/".to_owned(),
    }
}

pub fn workload(amount: Amount, window: u32) -> Workload {
    Workload {
        kind: WorkloadKind::Queue,
        protocol: Protocol::default(),
        amount,
        rate: None,
        window,
        confirm_timeout: Duration::from_secs(10),
        resends: 0,
        reconnects: 100,
        reconnect_pause: Duration::from_millis(500),
        body_bytes: 64,
        hold: Duration::ZERO,
        producers: 1,
        consumers: Consumers::new(0),
    }
}

pub struct Bench {
    pub memory: Arc<Memory>,
    pub load: LoadContext,
    pub drain: DrainContext,
    pub stop: watch::Sender<bool>,
}

/// A fresh durable queue on each broker, and contexts for it.
pub async fn bench(queue: &str, brokers: &[Broker], workload: Workload) -> Bench {
    let endpoints: Vec<Endpoint> = brokers.iter().map(Broker::endpoint).collect();
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
    // A broker's index is its number.
    let names = (0..=5).map(|n| NodeName(format!("n{n}")));
    let tally = Arc::new(Tally::new(names));
    let run_id = format!("test-{queue}");
    Bench {
        load: LoadContext {
            endpoints: endpoints.clone(),
            credentials: credentials(),
            queue: Queue::new(queue, QueueType::Classic),
            workload,
            run_id: run_id.clone(),
            recorder: memory.clone(),
            emit: memory.clone(),
            clock,
            tally: tally.clone(),
            stop: stopped,
            administration: None,
        },
        drain: DrainContext {
            endpoints,
            credentials: credentials(),
            queues: vec![(0, queue.to_owned())],
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
