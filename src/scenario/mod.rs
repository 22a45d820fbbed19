//! A scenario: one experiment. Cluster settings, queue, workload, schedule, checks.
//!
//! These are the validated types; they serialize into `run.json` as resolved.
//! All durations are whole milliseconds in files of a run and `10s`, `1m30s`, `250ms` in YAML.

mod broker;
mod builtin;
mod checking;
mod checks;
mod conditions;
mod consumers;
mod faults;
mod limits;
mod overrides;
mod parse;
mod queue;
mod spare;
pub mod step;
mod steps;
#[cfg(test)]
pub mod testing;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::{KindRef, Settings};
use crate::duration::duration_ms;
use crate::inventory::NodeName;

pub use self::broker::{BrokerVersion, Refusal, refusals, without_effect};
pub use self::builtin::{BUILTINS, Builtin, DEFAULT, builtin, is_path};
pub use self::checking::{Checker, Checks, Weight};
pub use self::consumers::{Consumers, Receiving};
pub use self::limits::Limits;
pub use self::parse::{Parsed, parse};
pub use self::queue::{Promotion, Queue, QueueType, SyncMode};
pub use self::step::{Condition, FaultStep, Span, Step};

/// One experiment, every value resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name: also the directory under `runs/`.
    pub name: String,
    /// One sentence for `jtest scenarios`.
    pub description: String,
    /// How the brokers are installed and configured.
    pub cluster: Cluster,
    /// The queues under test.
    pub queue: Queue,
    /// What the clients do.
    pub workload: Workload,
    /// Which faults are injected and healed when: steps, one after another.
    pub schedule: Vec<Step>,
    /// Which checkers look at it, and what their findings are for.
    pub checks: Checks,
    /// How long the cluster may take to become whole after the last heal.
    #[serde(with = "duration_ms")]
    pub recovery_timeout: Duration,
    /// How long the drain may take.
    #[serde(with = "duration_ms")]
    pub drain_timeout: Duration,
}

/// Where the broker comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The host's own package repositories.
    Apt,
    /// A directory of `.deb` files on the control node, uploaded over SSH.
    Debs(PathBuf),
    /// Already installed; only configured.
    Installed,
    /// An existing cluster: nothing is installed, configured or wiped.
    Existing,
}

/// The broker's `cluster_partition_handling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionHandling {
    /// Does nothing; after the cut one side must be restarted by hand, which jtest does and records.
    Ignore,
    /// Nodes in a minority stop their application.
    PauseMinority,
    /// After the cut the losing side restarts and takes the winner's state.
    Autoheal,
}

/// Settings of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Where the broker comes from.
    pub source: Source,
    /// A version of the package, as the package manager writes it; `None` is the newest there.
    pub version: Option<String>,
    /// How many nodes the scenario is written for; `None` where any number will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// `cluster_partition_handling`.
    pub partition_handling: PartitionHandling,
    /// `net_ticktime` of the Erlang kernel, in seconds.
    pub net_ticktime_s: u32,
    /// Whether the unit's own restart of a killed broker (Debian: after 10 s) stays.
    pub systemd_restart: bool,
    /// How long installing, configuring and clustering may take.
    #[serde(with = "duration_ms")]
    pub deploy_timeout: Duration,
}

/// When a workload has done enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many values per producer.
    Messages(u64),
    /// So long in all.
    Duration(#[serde(with = "duration_ms")] Duration),
    /// Until the schedule's last step is done (and a little after).
    Schedule,
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// Producers at each node: publisher confirms, persistent, mandatory; and consumers, if asked for.
    Queue,
    /// One message is a lock: got without an ack it is held, rejected with requeue it is free.
    Lock,
    /// Enqueues and dequeues in turn.
    Fifo,
    /// As `Queue`, with one consumer of each queue, or one at a time.
    Order,
    /// Queues, exchanges, bindings, policies, users and virtual hosts are made and removed; no message is sent.
    Metadata,
    /// As `Queue`, and the queue dead-letters every message to another, at least once.
    DeadLetter,
    /// As `Queue`, and the queue has limits.
    Transient,
    /// Named publishers with publishing ids, and readers by offset, of a stream.
    Stream,
}

impl WorkloadKind {
    /// All, by their words.
    pub const WORDS: [(&str, Self); 8] = [
        ("queue", Self::Queue),
        ("lock", Self::Lock),
        ("fifo", Self::Fifo),
        ("order", Self::Order),
        ("metadata", Self::Metadata),
        ("dead-letter", Self::DeadLetter),
        ("transient", Self::Transient),
        ("stream", Self::Stream),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        word(&Self::WORDS, self)
    }

    /// Whether the clients publish as those of `queue` do.
    pub fn publishes_as_queue(self) -> bool {
        matches!(
            self,
            Self::Queue | Self::Order | Self::DeadLetter | Self::Transient | Self::Stream
        )
    }

    /// Whether there is a choice of what producers speak.
    pub fn has_protocols(self) -> bool {
        self.publishes_as_queue() && self != Self::Stream
    }

    /// Whether consumers may read while the producers publish.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Queue | Self::Order | Self::Stream)
    }

    /// Whether the clients of one run may use several queues.
    pub fn has_many_queues(self) -> bool {
        matches!(self, Self::Queue | Self::Order)
    }

    /// Whether the clients send messages.
    pub fn sends(self) -> bool {
        self != Self::Metadata
    }
}

/// What producers speak to the broker, and consumers that subscribe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// AMQP 0-9-1: publisher confirms and returns.
    #[default]
    #[serde(rename = "amqp-0-9-1")]
    Amqp091,
    /// AMQP 1.0: outcomes of deliveries.
    #[serde(rename = "amqp-1.0")]
    Amqp10,
}

impl Protocol {
    /// All, by their words.
    pub const WORDS: [(&str, Self); 2] =
        [("amqp-0-9-1", Self::Amqp091), ("amqp-1.0", Self::Amqp10)];
}

/// The workload: what the clients of each node do, each on one connection at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// What the clients do.
    pub kind: WorkloadKind,
    /// What those speak that publish as `queue` does, and those that subscribe to what these publish.
    #[serde(default)]
    pub protocol: Protocol,
    /// When it has done enough.
    pub amount: Amount,
    /// Messages per second and producer, open loop (latency counts from the intended
    /// time); `None` is a closed loop, as fast as confirms come.
    pub rate: Option<f64>,
    /// How many messages of one producer may be unconfirmed at once, from 1.
    pub window: u32,
    /// After how long a missing confirm becomes `info`.
    #[serde(with = "duration_ms")]
    pub confirm_timeout: Duration,
    /// How often a value whose attempt did not end `ok` is sent again; each is an attempt of its own.
    pub resends: u32,
    /// How often a producer reconnects (to the same node) before it gives up.
    pub reconnects: u32,
    /// Pause before a reconnect.
    #[serde(with = "duration_ms")]
    pub reconnect_pause: Duration,
    /// Bytes of a message's body, at least what identifies it.
    pub body_bytes: u32,
    /// How long a client keeps a lock, at least.
    #[serde(with = "duration_ms")]
    pub hold: Duration,
    /// Producers (or other clients that publish) at each node.
    pub producers: u32,
    /// Those that read meanwhile.
    pub consumers: Consumers,
}

impl Workload {
    /// How many clients there are that publish, of so many nodes.
    pub fn all_producers(&self, nodes: u32) -> u32 {
        nodes.saturating_mul(self.producers.max(1))
    }

    /// How many clients there are that only read.
    pub fn all_consumers(&self, queue: &Queue, nodes: u32) -> u32 {
        match self.consumers.count {
            0 => 0,
            // Of an order that several saw at once, nobody can tell.
            _ if self.kind == WorkloadKind::Order && !queue.single_active_consumer => {
                u32::from(queue.count)
            }
            count => nodes.saturating_mul(count),
        }
    }

    /// How many clients there are. The logical processes of one are its number and every so many after that.
    pub fn clients(&self, queue: &Queue, nodes: u32) -> u32 {
        let producers = self.all_producers(nodes);
        producers.saturating_add(self.all_consumers(queue, nodes))
    }
}

/// A fault as a scenario asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultSpec {
    /// Which.
    pub kind: KindRef,
    /// To whom.
    pub aim: AimSpec,
    /// What is set about it, defaults included.
    pub settings: Settings,
}

impl FaultSpec {
    /// Whether it may be done to this node, as far as is known before anything is drawn.
    pub fn may_touch(&self, node: &NodeName) -> bool {
        match &self.aim {
            AimSpec::On(NodesSpec::Named(names)) => names.contains(&node.0),
            AimSpec::On(_) | AimSpec::Groups(_) => true,
        }
    }
}

/// What a fault is aimed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AimSpec {
    /// The nodes, divided.
    Groups(PartitionSpec),
    /// Some nodes.
    On(NodesSpec),
}

impl AimSpec {
    /// Whether it divides the nodes.
    pub fn is_groups(&self) -> bool {
        matches!(self, Self::Groups(_))
    }
}

/// How a partition divides the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionSpec {
    /// Named nodes; nodes in no group form one more.
    Groups(Vec<Vec<String>>),
    /// A random minority (as large as it can be) against the majority, by the seed.
    Minority,
    /// The first half (smaller) of a shuffle against the rest, by the seed.
    Halves,
    /// One random node against all others, by the seed.
    One,
    /// Two or more random groups, none empty, by the seed.
    Random,
    /// Every node reaches a majority, and no two the same one.
    MajoritiesRing,
    /// Two halves that only one node between them reaches.
    Bridge,
    /// The leader of the queue and as many others as still make a minority, looked up at injection.
    LeaderMinority,
    /// The leader of the queue on the side of the majority, looked up at injection.
    LeaderMajority,
    /// The leader of the queue alone, looked up at injection.
    LeaderAlone,
}

/// Which nodes a fault is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodesSpec {
    /// These.
    Named(Vec<String>),
    /// One at random, by the seed.
    One,
    /// A random minority, as large as it can be.
    Minority,
    /// A random majority, as small as it can be.
    Majority,
    /// A random third, rounded down, but one at least.
    MinorityThird,
    /// Every node.
    All,
    /// The leader of the queue, looked up at injection.
    Leader,
    /// The other members of the queue (its mirrors or followers), looked up at injection.
    Followers,
    /// The leader's side of the partition in force.
    LeaderSide,
    /// The other sides of the partition in force.
    OtherSide,
}

impl PartitionSpec {
    /// All but the named groups, by their words.
    pub const WORDS: [(&str, Self); 9] = [
        ("minority", Self::Minority),
        ("halves", Self::Halves),
        ("one", Self::One),
        ("random", Self::Random),
        ("majorities-ring", Self::MajoritiesRing),
        ("bridge", Self::Bridge),
        ("leader-minority", Self::LeaderMinority),
        ("leader-majority", Self::LeaderMajority),
        ("leader-alone", Self::LeaderAlone),
    ];
}

impl NodesSpec {
    /// All but named nodes, by their words.
    pub const WORDS: [(&str, Self); 9] = [
        ("one", Self::One),
        ("minority", Self::Minority),
        ("majority", Self::Majority),
        ("minority-third", Self::MinorityThird),
        ("all", Self::All),
        ("leader", Self::Leader),
        ("followers", Self::Followers),
        ("leader-side", Self::LeaderSide),
        ("other-side", Self::OtherSide),
    ];
}

/// The word that stands for a value.
fn word<T: PartialEq>(words: &[(&'static str, T)], wanted: T) -> &'static str {
    let found = words.iter().find(|(_, value)| *value == wanted);
    found.map_or("", |(word, _)| *word)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod language_tests;
