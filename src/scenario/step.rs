//! The language of a schedule: steps, done one after another, and the conditions they wait for.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FaultSpec;
use crate::duration::{self, duration_ms};
use crate::inventory::NodeName;

/// One step of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Injects a fault.
    Fault(FaultStep),
    /// Does nothing for so long.
    Wait(Span),
    /// Waits for the cluster or the load.
    Await(Await),
    /// Undoes faults that stay in force until they are healed.
    Heal(Heal),
    /// The same steps again and again; each time everything random is drawn anew.
    Repeat(Repeat),
    /// Several lists side by side; over when the last of them is.
    Parallel(Vec<Vec<Step>>),
    /// Steps chosen at random, by weight.
    Mix(Mix),
}

/// A length of time, drawn by the seed where it is a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// At least.
    #[serde(with = "duration_ms")]
    pub min: Duration,
    /// At most.
    #[serde(with = "duration_ms")]
    pub max: Duration,
}

/// A fault, injected and healed `repeat` times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultStep {
    /// Not before so long after the load began.
    #[serde(with = "optional_ms")]
    pub at: Option<Duration>,
    /// By which a `heal` step finds it.
    pub name: Option<String>,
    /// What is injected.
    pub fault: FaultSpec,
    /// How long it stays.
    pub lasts: Lasts,
    /// How many times in all, from 1.
    pub repeat: u32,
    /// From a heal to the next injection.
    pub gap: Gap,
}

/// How long a fault stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lasts {
    /// It is over when it is done.
    Moment,
    /// So long.
    For(Span),
    /// Until a condition holds.
    Until(Await),
    /// Until a `heal` step, or the end of the schedule.
    UntilHealed,
}

/// A condition with the time it may take to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Await {
    /// What has to hold.
    pub condition: Condition,
    /// How long it may take.
    #[serde(with = "duration_ms")]
    pub within: Duration,
}

/// Which faults are undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// Every fault that stays in force until it is healed.
    All,
    /// Those of this name.
    Named(String),
}

/// The same steps again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// How many times in all, from 1.
    pub times: u32,
    /// What is repeated.
    pub steps: Vec<Step>,
    /// Between one time and the next.
    pub gap: Gap,
}

/// Steps chosen at random, one choice after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// No choice begins after so long; a condition counts with all the time that it may take.
    #[serde(with = "duration_ms")]
    pub lasts: Duration,
    /// Between one choice and the next.
    pub gap: Gap,
    /// What is chosen from.
    pub choose: Vec<Choice>,
}

/// One thing that a mix chooses from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// How often it is chosen, against the others.
    pub weight: u32,
    /// What is done.
    pub steps: Vec<Step>,
}

/// How long nothing is done between two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// So long.
    Pause(Span),
    /// From nothing to twice as long, each time equally likely.
    Stagger(#[serde(with = "duration_ms")] Duration),
}

/// Something that the cluster or the load can be waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nodes see exactly these nodes running.
    Running {
        /// Who is seen.
        nodes: Whom,
        /// Each of those who see it.
        by: Whom,
    },
    /// Who leads the queue.
    Leader(Leader),
    /// The broker's alarm is up on each of these nodes.
    Alarm {
        /// Which.
        of: Alarm,
        /// Where.
        on: Whom,
    },
    /// So many confirms since the step began.
    Confirms(u64),
    /// Confirms come at this percentage of their rate in the 10 s before the last injection.
    Rate(f64),
}

/// Nodes that a condition is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    /// These.
    Named(Vec<NodeName>),
    /// Every node.
    All,
    /// No node: what a paused node sees.
    Nobody,
    /// The leader of the queue.
    Leader,
    /// The leader's side of the partition in force.
    LeaderSide,
    /// The other sides of the partition in force.
    OtherSide,
    /// The side with more than half of the nodes.
    MajoritySide,
    /// The sides without a majority.
    MinoritySide,
}

/// Who has to lead the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leader {
    /// Anyone.
    Any,
    /// Another one than before the step that is waited for.
    New,
    /// One of these.
    Named(Vec<NodeName>),
}

/// An alarm by which a broker blocks publishers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// Of memory.
    Memory,
    /// Of the disk.
    Disk,
}

impl Step {
    /// Calls `see` with this step and every step inside it, each with its path below `path`.
    pub fn each<'s>(&'s self, path: &str, see: &mut impl FnMut(&str, &'s Step)) {
        see(path, self);
        match self {
            Self::Fault(_) | Self::Wait(_) | Self::Await(_) | Self::Heal(_) => {}
            Self::Repeat(repeat) => Self::each_of(&repeat.steps, &format!("{path}.steps"), see),
            Self::Parallel(branches) => {
                for (index, branch) in branches.iter().enumerate() {
                    Self::each_of(branch, &format!("{path}.parallel.{index}"), see);
                }
            }
            Self::Mix(mix) => {
                for (index, choice) in mix.choose.iter().enumerate() {
                    Self::each_of(&choice.steps, &choice_path(path, index), see);
                }
            }
        }
    }

    /// What it waits for itself, whatever the steps inside it do.
    pub fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Fault(step) => step.lasts.condition(),
            Self::Await(awaited) => Some(&awaited.condition),
            Self::Wait(_) | Self::Heal(_) | Self::Repeat(_) | Self::Parallel(_) | Self::Mix(_) => {
                None
            }
        }
    }

    /// The same for a list of steps.
    pub fn each_of<'s>(steps: &'s [Self], path: &str, see: &mut impl FnMut(&str, &'s Step)) {
        for (index, step) in steps.iter().enumerate() {
            step.each(&format!("{path}.{index}"), see);
        }
    }
}

/// Where a mix has the steps of one of its choices.
pub fn choice_path(mix: &str, index: usize) -> String {
    format!("{mix}.mix.choose.{index}.steps")
}

impl Span {
    /// Nothing.
    pub const ZERO: Self = Self::exactly(Duration::ZERO);

    /// Exactly so long.
    pub const fn exactly(length: Duration) -> Self {
        Self {
            min: length,
            max: length,
        }
    }
}

impl Gap {
    /// No gap at all.
    pub const NONE: Self = Self::Pause(Span::ZERO);

    /// From the shortest to the longest that it can be.
    pub fn span(self) -> Span {
        match self {
            Self::Pause(span) => span,
            Self::Stagger(mean) => Span {
                min: Duration::ZERO,
                max: mean.saturating_mul(2),
            },
        }
    }
}

impl Lasts {
    /// The least time from injection to the step's end.
    pub fn least(&self) -> Duration {
        match self {
            Self::For(span) => span.min,
            Self::Moment | Self::Until(_) | Self::UntilHealed => Duration::ZERO,
        }
    }

    /// What it waits for.
    pub fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Until(until) => Some(&until.condition),
            Self::Moment | Self::For(_) | Self::UntilHealed => None,
        }
    }
}

impl Condition {
    /// Whether it compares with how things were before another step.
    pub fn needs_step_before(&self) -> bool {
        *self == Self::Leader(Leader::New)
    }

    /// The nodes it names.
    pub fn named(&self) -> Vec<&NodeName> {
        let whoms = match self {
            Self::Running { nodes, by } => vec![nodes, by],
            Self::Alarm { on, .. } => vec![on],
            Self::Leader(Leader::Named(names)) => return names.iter().collect(),
            Self::Leader(Leader::Any | Leader::New) | Self::Confirms(_) | Self::Rate(_) => vec![],
        };
        let mut named: Vec<&NodeName> = Vec::new();
        for whom in whoms {
            match whom {
                Whom::Named(names) => named.extend(names),
                Whom::All
                | Whom::Nobody
                | Whom::Leader
                | Whom::LeaderSide
                | Whom::OtherSide
                | Whom::MajoritySide
                | Whom::MinoritySide => {}
            }
        }
        named.sort();
        named.dedup();
        named
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::show(self.min))?;
        if self.max > self.min {
            write!(f, "..{}", duration::show(self.max))?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running {
                nodes: Whom::Nobody,
                by,
            } => write!(f, "{by} to see nobody running"),
            Self::Running { nodes, by } => write!(f, "{by} to see exactly {nodes} running"),
            Self::Leader(Leader::Any) => f.write_str("the queue to have a leader"),
            Self::Leader(Leader::New) => f.write_str("the queue to have a new leader"),
            Self::Leader(Leader::Named(names)) => {
                write!(f, "the queue to be led by {}", either(names))
            }
            Self::Alarm { of, on } => write!(f, "the {of} alarm on {on}"),
            Self::Confirms(count) => write!(f, "{count} confirms"),
            Self::Rate(share) => write!(f, "confirms at {share}% of their rate before"),
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.0.as_str()).collect();
                f.write_str(&names.join(" "))
            }
            Self::All => f.write_str("all"),
            Self::Nobody => f.write_str("nobody"),
            Self::Leader => f.write_str("the leader"),
            Self::LeaderSide => f.write_str("the leader's side"),
            Self::OtherSide => f.write_str("the other side"),
            Self::MajoritySide => f.write_str("the majority's side"),
            Self::MinoritySide => f.write_str("the minority's side"),
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        })
    }
}

fn either(names: &[NodeName]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.0.as_str()).collect();
    names.join(" or ")
}

/// An optional duration as whole milliseconds.
pub mod optional_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes milliseconds, or `null`.
    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let ms = value.map(|value| u64::try_from(value.as_millis()).unwrap_or(u64::MAX));
        ms.serialize(serializer)
    }

    /// Reads milliseconds, or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
