//! `results.json`: the verdict and every finding. Documented field by field in `docs/results.md`, and as a JSON Schema,
//! which is made from these types, in `docs/results.schema.json`.
//!
//! The same run directory gives the same bytes, whoever judges it and whenever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::table::Findings;
use super::window::Window;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::scenario::Checker;
use crate::schedule::{AwaitId, FaultId};

/// Everything that was found out about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Results {
    /// [`crate::manifest::FORMAT_VERSION`] of the run directory.
    pub format_version: u32,
    /// The answer: the worst of all findings that decide.
    pub verdict: Verdict,
    /// One sentence for each deciding finding that is not valid. Where the load failed or never began, nothing was
    /// confirmed and nothing is invalid, the first says which stage failed and why.
    pub reasons: Vec<String>,
    /// Checkers whose findings are told and do not decide, as the scenario has it.
    pub reported: Vec<Checker>,
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
    /// What the other checkers of the history say.
    #[serde(flatten)]
    pub findings: Findings,
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
    /// Its own verdict.
    pub verdict: Verdict,
    /// In one sentence.
    pub summary: &'a str,
    /// Whether the run's verdict heeds it.
    pub decides: bool,
}

/// The name of the part that says whether there is all the evidence that a verdict needs.
pub const EVIDENCE: &str = "evidence";

impl Results {
    /// What each checker says, in the order in which it is told.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let of_history = |checker: Checker, (verdict, summary)| Part {
            name: checker.word(),
            verdict,
            summary,
            decides: !self.reported.contains(&checker),
        };
        let always = |name, (verdict, summary)| Part {
            name,
            verdict,
            summary,
            decides: true,
        };
        let mut parts = vec![of_history(Checker::TotalQueue, self.total_queue.told())];
        let told = self.findings.told().into_iter();
        parts.extend(told.map(|(checker, told)| of_history(checker, told)));
        parts.push(always("coverage", self.coverage.told()));
        parts.push(always(EVIDENCE, self.evidence.told()));
        parts
    }
}

/// What one checker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "{T}Finding"))]
pub struct Finding<T> {
    /// Its own verdict.
    pub verdict: Verdict,
    /// In one sentence.
    pub summary: String,
    /// In full.
    pub data: T,
}

impl<T> Finding<T> {
    /// Without its data.
    pub fn told(&self) -> (Verdict, &str) {
        (self.verdict, &self.summary)
    }
}

/// Counts of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ValueRange {
    /// The smallest.
    pub first: u64,
    /// The largest.
    pub last: u64,
}

/// What happened to every message. A value is a producer's sequence number, however often
/// it was attempted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// Receipts of messages of another run, or with a damaged body; one that is received again counts again.
    pub foreign: u64,
    /// Values confirmed, never received and not expired: the number of lost ones where the drain and
    /// the history are complete, `null` where one cannot know.
    pub lost: Option<u64>,
    /// Values confirmed and not received whose time to live may have been over before the drain's end.
    pub expired: u64,
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
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Value {
    /// The producer.
    pub producer: u32,
    /// Its sequence number.
    pub sequence: u64,
}

/// A lost value and the confirm that promised it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// Whether every fault of the schedule bit, and whether what it waited for came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Coverage {
    /// In the order of the schedule.
    pub faults: Vec<FaultCoverage>,
    /// The conditions that the schedule waits for, in its order.
    pub awaits: Vec<AwaitCoverage>,
}

/// One condition, from the schedule to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// Whether it had nothing to do, because other faults had taken away what it is about.
    #[serde(default)]
    pub idle: bool,
    /// What proves it.
    pub evidence: Vec<String>,
    /// Whether it is proven to be gone.
    pub heal_proven: bool,
    /// What went wrong.
    pub errors: Vec<String>,
}

/// Whether there is all the evidence that a verdict needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Evidence {
    /// Whether the history was written to its end.
    pub history_complete: bool,
    /// What shows that the files are not as the run left them; nothing can be judged from them then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BrokerLogs {
    /// Telling lines, by time and node. The whole logs are in `nodes/NODE/log`.
    pub lines: Vec<LogLine>,
    /// How many telling lines are left out: of one pattern, node and fault the first 8 are kept.
    pub left_out: u64,
}

/// One line of a broker's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
