//! `results.json`: the verdict and every finding. Documented field by field in `docs/results.md`.
//!
//! The same run directory gives the same bytes, whoever judges it and whenever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::{AwaitId, FaultId};

/// Everything that was found out about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`crate::manifest::FORMAT_VERSION`] of the run directory.
    pub format_version: u32,
    /// The answer: of all findings, the worst.
    pub verdict: Verdict,
    /// One sentence for each finding that is not valid.
    pub reasons: Vec<String>,
    /// The scenario's name.
    pub scenario: String,
    /// The run's id.
    pub run_id: String,
    /// The seed.
    pub seed: u64,
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// What happened to every message.
    pub total_queue: Finding<TotalQueue>,
    /// Of a lock: whether two held it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Finding<Lock>>,
    /// Of a queue that is read while it is written: whether its order was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fifo: Option<Finding<Fifo>>,
    /// Whether every fault bit.
    pub coverage: Finding<Coverage>,
    /// Whether there is all the evidence that a verdict needs.
    pub evidence: Finding<Evidence>,
    /// What the brokers wrote around the faults. It explains the verdict and never makes it.
    pub logs: BrokerLogs,
}

/// A finding without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The checker.
    pub name: &'static str,
    /// Its part of the verdict.
    pub verdict: Verdict,
    /// In one sentence.
    pub summary: &'a str,
}

impl Results {
    /// What each checker says, in the order in which it is told.
    pub fn parts(&self) -> Vec<Part<'_>> {
        fn part<'a, T>(name: &'static str, finding: &'a Finding<T>) -> Part<'a> {
            Part {
                name,
                verdict: finding.verdict,
                summary: &finding.summary,
            }
        }
        let mut parts = vec![part("total-queue", &self.total_queue)];
        parts.extend(self.lock.as_ref().map(|lock| part("lock", lock)));
        parts.extend(self.fifo.as_ref().map(|fifo| part("fifo", fifo)));
        parts.push(part("coverage", &self.coverage));
        parts.push(part("evidence", &self.evidence));
        parts
    }
}

/// What one checker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding<T> {
    /// Its part of the verdict.
    pub verdict: Verdict,
    /// In one sentence.
    pub summary: String,
    /// In full.
    pub data: T,
}

/// Counts of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// Publishes that were begun.
    pub attempts: u64,
    /// Confirmed, and not returned.
    pub ok: u64,
    /// Surely not done.
    pub fail: u64,
    /// Nobody knows; those that a killed run left open are counted here.
    pub info: u64,
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerCounts {
    /// Its number.
    pub producer: u32,
    /// The node it published to.
    pub node: Option<NodeName>,
    /// Its attempts.
    #[serde(flatten)]
    pub counts: AttemptCounts,
    /// Values with at least one confirmed attempt.
    pub confirmed: u64,
    /// Values received at least once.
    pub received: u64,
    /// Values confirmed and never received; a loss only if `total_queue.data.lost` is known.
    pub confirmed_not_received: u64,
    /// Their sequence numbers, at most [`LISTED_MAX`] ranges.
    pub missing: Vec<ValueRange>,
}

/// Sequence numbers without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRange {
    /// The smallest.
    pub first: u64,
    /// The largest.
    pub last: u64,
}

/// What happened to every message. A value is a producer's sequence number, however often
/// it was attempted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalQueue {
    /// Of all producers.
    #[serde(flatten)]
    pub counts: AttemptCounts,
    /// Values with at least one confirmed attempt.
    pub confirmed: u64,
    /// Values received at least once.
    pub received: u64,
    /// Receipts of a value beyond its first.
    pub duplicates: u64,
    /// Values with no confirmed attempt, some of unknown outcome, that were received.
    pub recovered: u64,
    /// Values whose attempts all failed, at least one by a nack, that were received all the same.
    pub nacked_received: u64,
    /// Values received that were never sent, or all of whose attempts surely were not taken.
    /// Of those never sent, beyond [`LISTED_MAX`], each receipt counts.
    pub unexpected: u64,
    /// Received messages of another run, or with a damaged body.
    pub foreign: u64,
    /// Values confirmed and never received: the number of lost ones where the drain and
    /// the history are complete, `null` where one cannot know.
    pub lost: Option<u64>,
    /// Values confirmed and not received, whether or not one can know that they are lost.
    pub confirmed_not_received: u64,
    /// The lost by confirming node and by fault window.
    pub losses: Vec<LossGroup>,
    /// The first lost values by confirm time, at most [`LISTED_MAX`].
    pub lost_values: Vec<LostValue>,
    /// The last lost value by confirm time.
    pub last_lost: Option<LostValue>,
    /// The first unexpected values, at most [`LISTED_MAX`].
    pub unexpected_values: Vec<Value>,
    /// By producer.
    pub producers: Vec<ProducerCounts>,
}

/// How many single values are listed of each kind.
pub const LISTED_MAX: usize = 1000;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Value {
    /// The producer.
    pub producer: u32,
    /// Its sequence number.
    pub sequence: u64,
}

/// A lost value and the confirm that promised it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostValue {
    /// Which.
    #[serde(flatten)]
    pub value: Value,
    /// The attempt that was confirmed.
    pub attempt: u16,
    /// The node that confirmed it.
    pub node: NodeName,
    /// When that attempt was published.
    pub published_ns: Option<Nanos>,
    /// When it was confirmed.
    pub confirmed_ns: Nanos,
    /// Where that lies among the faults.
    pub window: Window,
}

/// Lost values that share a fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossGroup {
    /// The node that confirmed them.
    pub node: NodeName,
    /// When, among the faults.
    pub window: Window,
    /// How many.
    pub count: u64,
    /// The first confirm.
    pub first_confirmed_ns: Nanos,
    /// The last confirm.
    pub last_confirmed_ns: Nanos,
}

/// Where a moment lies among the faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// Before the first fault.
    Before,
    /// While this fault was in force.
    During(FaultId),
    /// After this fault was healed and before the next.
    After(FaultId),
}

/// Who held the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Acquires that were begun.
    pub tried: u64,
    /// Those that got the lock.
    pub acquired: u64,
    /// Those that found it taken.
    pub refused: u64,
    /// Those of which nobody knows.
    pub unknown: u64,
    /// How often a holder lost the lock with its connection.
    pub lost_with_connection: u64,
    /// How often it was acquired while another client held it for certain.
    pub overlaps: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub overlapping: Vec<Overlap>,
}

/// Two clients that held the lock at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The one that had it.
    pub held: HoldTimes,
    /// The one that got it as well.
    pub also: HoldTimes,
}

/// For how long a client held the lock for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTimes {
    /// The client's connection.
    pub process: u32,
    /// The node it was connected to.
    pub node: Option<NodeName>,
    /// When it was told that it has it.
    pub from_ns: Nanos,
    /// When it began to give it back, or learned that its connection was lost.
    pub until_ns: Option<Nanos>,
}

/// Enqueues and dequeues of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fifo {
    /// Enqueues that were confirmed.
    pub enqueued: u64,
    /// Dequeues that gave a value.
    pub dequeued: u64,
    /// Of them, those marked as redelivered.
    pub redelivered: u64,
    /// Dequeues that found the queue empty.
    pub empty: u64,
    /// Dequeues of which nobody knows.
    pub unknown: u64,
    /// Receipts in the drain.
    pub drained: u64,
    /// Values that were dequeued before another that was enqueued before them.
    pub overtakings: u64,
    /// The first of them, at most [`LISTED_MAX`], each with one that it overtook.
    pub overtaken: Vec<Overtaking>,
    /// Dequeues that found the queue empty while something was in it all the time.
    pub false_empties: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub falsely_empty: Vec<FalseEmpty>,
    /// Values that were dequeued before they were enqueued.
    pub early: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub early_values: Vec<Value>,
    /// Values that were dequeued more than once and not marked as redelivered; allowed.
    pub repeated: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub repeated_values: Vec<Value>,
}

/// A value that was overtaken, and by which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overtaking {
    /// The value that was overtaken.
    pub value: Value,
    /// When its enqueue was confirmed.
    pub enqueued_ns: Nanos,
    /// The value that overtook it.
    pub by: Value,
    /// When its enqueue began.
    pub by_enqueued_from_ns: Nanos,
    /// When it was dequeued.
    pub by_dequeued_ns: Nanos,
    /// When the dequeue of the overtaken one began, if it ever came.
    pub dequeued_from_ns: Option<Nanos>,
}

/// A dequeue that found the queue empty while it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FalseEmpty {
    /// Its beginning.
    pub from_ns: Nanos,
    /// Its end.
    pub until_ns: Nanos,
    /// A value that was in the queue at its end.
    pub inside: Value,
}

/// Whether every fault of the schedule bit, and whether what it waited for came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// In the order of the schedule.
    pub faults: Vec<FaultCoverage>,
    /// The conditions that the schedule waits for, in its order.
    pub awaits: Vec<AwaitCoverage>,
}

/// One condition, from the schedule to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitCoverage {
    /// Its number.
    pub condition: AwaitId,
    /// What was waited for.
    pub description: String,
    /// The fault that it ends, if it ends one.
    pub fault: Option<FaultId>,
    /// From when it was waited for.
    pub began_ns: Option<Nanos>,
    /// When it came, or its time was up.
    pub ended_ns: Option<Nanos>,
    /// Whether it came.
    pub came: bool,
    /// What was seen last.
    pub evidence: Vec<String>,
}

/// One fault, from the schedule to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCoverage {
    /// Its number.
    pub fault: FaultId,
    /// What it was, once asked for.
    pub description: Option<String>,
    /// When the first node had it.
    pub injected_first_ns: Option<Nanos>,
    /// When the last node had it.
    pub injected_last_ns: Option<Nanos>,
    /// Last minus first as the nodes measured it, in microseconds.
    pub spread_us: Option<u64>,
    /// When it was undone.
    pub healed_ns: Option<Nanos>,
    /// How often an operation of a client began or ended while it was in force (or, of one that was undone
    /// at once, in its first second); receiving does not count.
    pub operations: u64,
    /// Whether it is proven to have bitten.
    pub proven: bool,
    /// What proves it.
    pub evidence: Vec<String>,
    /// Whether it is proven to be gone.
    pub heal_proven: bool,
    /// What went wrong.
    pub errors: Vec<String>,
}

/// Whether there is all the evidence that a verdict needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether the history was written to its end.
    pub history_complete: bool,
    /// Whether the drain is proven complete.
    pub drain_complete: bool,
    /// What the brokers answered to that.
    pub drain_evidence: Vec<String>,
    /// What jtest itself did to brokers so that the cluster became whole, such as a restart.
    pub interventions: Vec<String>,
    /// Stages that failed, with the reason.
    pub failed_stages: BTreeMap<String, String>,
}

/// What the brokers wrote around the faults: from 2 s before each until 15 s after its heal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerLogs {
    /// Telling lines, by time and node. The whole logs are in `nodes/NODE/log`.
    pub lines: Vec<LogLine>,
    /// How many telling lines are left out: of one pattern, node and fault the first 8 are kept.
    pub left_out: u64,
}

/// One line of a broker's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, on the run's clock: the node's time less its clock's offset.
    pub time_ns: Nanos,
    /// Whose log.
    pub node: NodeName,
    /// Why it is telling.
    pub pattern: LogPattern,
    /// The line without time, level and process, at most 300 characters.
    pub text: String,
}

/// Why a log line is telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogPattern {
    /// Autoheal chose whose data stays and whose goes.
    AutohealDecision,
    /// Anything else of autoheal.
    Autoheal,
    /// A mirror became the leader of a mirrored queue.
    Promotion,
    /// Anything else of a mirrored queue.
    Mirror,
    /// A node sees itself in a minority and pauses.
    Pause,
    /// A partition that not all nodes see alike.
    PartialPartition,
    /// The database ran on both sides of a partition.
    Partition,
    /// A vote or a new leader among the replicas of a quorum queue.
    Election,
    /// A node is seen down.
    NodeDown,
    /// A node is seen up.
    NodeUp,
    /// The broker stops or starts.
    Stop,
    /// A process inside the broker crashed.
    Crash,
}
