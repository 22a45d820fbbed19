//! What happens in a run besides operations: stages, faults, cluster views, findings.
//!
//! One enum, linearized by one task, feeds the recorder (`events.jsonl`), the terminal and
//! the report. Nothing else writes to the terminal while a run is on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::duration_ms;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::{AwaitId, FaultId};

/// The stages of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Connections to all hosts; the hold on them is taken.
    Connect,
    /// Facts of the hosts; refusals.
    Preflight,
    /// Broker installed, configured, clustered, proven ready.
    Deploy,
    /// Producers run; faults are injected and healed.
    Load,
    /// Everything in force is undone.
    Heal,
    /// The cluster becomes whole.
    Recover,
    /// Every queue is read to its proven end.
    Drain,
    /// Logs and configuration come home.
    Collect,
    /// The verdict.
    Check,
    /// The pages and files for people and machines.
    Report,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connect",
            Self::Preflight => "preflight",
            Self::Deploy => "deploy",
            Self::Load => "load",
            Self::Heal => "heal",
            Self::Recover => "recover",
            Self::Drain => "drain",
            Self::Collect => "collect",
            Self::Check => "check",
            Self::Report => "report",
        })
    }
}

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Nanoseconds since the run's zero, on the control node's monotonic clock.
    pub time: Nanos,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a fault's proof went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Whether the fault is proven to have bitten.
    pub proven: bool,
    /// What was seen, in words: counters, connection attempts.
    pub evidence: Vec<String>,
}

/// What one node says of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Nodes it sees running, itself included; empty when its broker does not answer.
    pub running: Vec<NodeName>,
    /// Nodes it reports as partitioned from it.
    pub partitions: Vec<NodeName>,
    /// Its own alarms that block publishers, such as `memory`.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Who leads the queue in its eyes; a node that holds itself for the leader says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeName>,
}

/// How a node's clocks stand to the control node's, in microseconds; positive where they are ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeClock {
    /// The host's.
    pub host_us: i64,
    /// The broker's, by which it writes its log; `None` where it did not answer.
    pub broker_us: Option<i64>,
    /// How far they may be wrong.
    pub error_us: u64,
}

/// Why a drain is or is not proven complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainProof {
    /// Whether every node's own counts of ready and unacknowledged were zero.
    pub complete: bool,
    /// What was asked and answered.
    pub evidence: Vec<String>,
}

/// Counts of the clients of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProgress {
    /// Attempts invoked.
    pub attempts: u64,
    /// Completed `ok`.
    pub ok: u64,
    /// Completed `fail`.
    pub fail: u64,
    /// Completed `info`.
    pub info: u64,
    /// Messages received.
    pub received: u64,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A stage begins.
    StageBegan {
        /// Which.
        stage: Stage,
    },
    /// A stage ended.
    StageEnded {
        /// Which.
        stage: Stage,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// Something a person wants to read while it runs.
    Note {
        /// The host it concerns.
        node: Option<NodeName>,
        /// The text.
        text: String,
    },
    /// A fault was asked for; everything looked up at injection is in it.
    FaultAsked {
        /// Which.
        fault: FaultId,
        /// Its kind, such as `partition`.
        kind: String,
        /// In words, such as `n1 n2 | n3 n4 n5`.
        description: String,
        /// For a partition: the groups.
        groups: Vec<Vec<NodeName>>,
    },
    /// It is in force on all its nodes.
    FaultInjected {
        /// Which.
        fault: FaultId,
        /// When the first node had it, on the run's clock.
        first: Nanos,
        /// When the last node had it.
        last: Nanos,
        /// Last minus first as measured on the nodes, in microseconds; `None` where their clocks cannot tell.
        spread_us: Option<u64>,
    },
    /// Whether it bit.
    FaultProven {
        /// Which.
        fault: FaultId,
        /// The proof.
        proof: Proof,
    },
    /// It had nothing to do: other faults had taken away what it is about, on all its nodes.
    FaultIdle {
        /// Which.
        fault: FaultId,
        /// What was found, node by node.
        evidence: Vec<String>,
    },
    /// It is undone on all its nodes.
    FaultHealed {
        /// Which.
        fault: FaultId,
        /// When the last node was without it, on the run's clock; the proof takes longer.
        at: Nanos,
        /// Proof that it is gone.
        proof: Proof,
    },
    /// It could not be injected or healed.
    FaultFailed {
        /// Which.
        fault: FaultId,
        /// Why.
        error: String,
    },
    /// The schedule waits for a condition.
    AwaitBegan {
        /// Which.
        condition: AwaitId,
        /// The fault that it ends, if it ends one.
        fault: Option<FaultId>,
        /// In words, such as `n1 n2 to see exactly n1 n2 running`.
        description: String,
        /// How long it may take.
        #[serde(rename = "within_ms", with = "duration_ms")]
        within: Duration,
    },
    /// The condition came, or its time was up; then the schedule ends.
    AwaitEnded {
        /// Which.
        condition: AwaitId,
        /// Whether it came, and what was seen last.
        proof: Proof,
    },
    /// The cluster's view of itself, node by node.
    ClusterView {
        /// Per node asked; a node that did not answer is absent.
        views: BTreeMap<NodeName, NodeView>,
        /// The node that leads the queue, where one knows.
        leader: Option<NodeName>,
    },
    /// A node's clocks are off by so much from now on; told where that changed.
    ClockMeasured {
        /// Whose.
        node: NodeName,
        /// How much.
        clock: NodeClock,
        /// When they were last found to be off as told before, or when that was told.
        since: Nanos,
    },
    /// Counts so far, about once a second while clients work; for whoever watches.
    Progress {
        /// Attempts invoked.
        attempts: u64,
        /// Completed `ok`.
        ok: u64,
        /// Completed `fail`.
        fail: u64,
        /// Completed `info`.
        info: u64,
        /// Messages received.
        received: u64,
        /// The same, by the node that the client is connected to; runs of old have none.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        nodes: BTreeMap<NodeName, NodeProgress>,
    },
    /// The drain ended.
    Drained {
        /// Whether it is proven complete.
        proof: DrainProof,
    },
    /// jtest did to a broker what an operator would have done, so that the cluster becomes whole.
    Intervened {
        /// On which node.
        node: NodeName,
        /// What, and why.
        what: String,
    },
    /// The history was written to its end.
    HistoryEnded {
        /// Bytes of the file.
        bytes: u64,
        /// Its SHA-1, in hexadecimal digits: what it holds is evidence only as it was written.
        sha1: String,
    },
    /// The user or a signal asked to stop.
    Interrupted {
        /// How, such as `SIGINT`.
        by: String,
    },
}

/// Where events go. One task behind it gives them their order and their time.
pub trait Emit: Send + Sync {
    /// Hands over an event. Returns soon: the way behind it is bounded and always drained.
    fn emit(&self, event: Event);

    /// Something a person wants to read.
    fn note(&self, node: Option<&NodeName>, text: String) {
        self.emit(Event::Note {
            node: node.cloned(),
            text,
        });
    }
}

/// Shows events to a person.
pub trait Show: Send {
    /// An event happened. Called in order, from one thread.
    fn show(&mut self, record: &Record);
}
