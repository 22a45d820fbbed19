//! Which checkers look at a run, and which of them make its verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Queue, Workload, WorkloadKind, word};
use crate::diagnostic::Collector;
use crate::yaml::Fields;

/// A checker of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Checker {
    /// What happened to every message.
    TotalQueue,
    /// Messages that were received more than once.
    Duplicates,
    /// Whether two held the lock at once.
    Lock,
    /// Whether the queue was first in, first out.
    Fifo,
    /// Whether consumers saw each producer's messages in order.
    Order,
    /// Whether one consumer at a time was active.
    Exclusive,
    /// Whether every reader of a stream read the same, in order and whole.
    Stream,
    /// Whether queues, policies and other objects are where they should be.
    Metadata,
    /// For how long each node served nobody.
    Availability,
    /// How long answers took.
    Latency,
}

/// What a finding is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The run's verdict heeds it.
    Decides,
    /// It is told and changes no verdict.
    Reported,
}

/// Every checker that looks at a run, with what its finding is for.
pub type Checks = BTreeMap<Checker, Weight>;

impl Checker {
    /// All, by their words.
    pub const WORDS: [(&str, Self); 10] = [
        ("total-queue", Self::TotalQueue),
        ("duplicates", Self::Duplicates),
        ("lock", Self::Lock),
        ("fifo", Self::Fifo),
        ("order", Self::Order),
        ("exclusive", Self::Exclusive),
        ("stream", Self::Stream),
        ("metadata", Self::Metadata),
        ("availability", Self::Availability),
        ("latency", Self::Latency),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        word(&Self::WORDS, self)
    }

    /// Whether it looks at runs of such a workload on such queues.
    pub fn applies(self, workload: &Workload, queue: &Queue) -> bool {
        match self {
            Self::TotalQueue | Self::Availability | Self::Latency => true,
            // The lock is one message that is received again and again.
            // Everybody reads all of a stream.
            Self::Duplicates => {
                !matches!(workload.kind, WorkloadKind::Lock | WorkloadKind::Stream)
                    && workload.kind.sends()
            }
            Self::Lock => workload.kind == WorkloadKind::Lock,
            Self::Fifo => workload.kind == WorkloadKind::Fifo,
            Self::Order => workload.kind == WorkloadKind::Order,
            Self::Exclusive => queue.single_active_consumer && workload.consumers.count > 0,
            Self::Stream => workload.kind == WorkloadKind::Stream,
            Self::Metadata => workload.kind == WorkloadKind::Metadata,
        }
    }

    /// What its finding is for where the scenario does not say.
    fn weight(self) -> Weight {
        match self {
            Self::TotalQueue
            | Self::Lock
            | Self::Fifo
            | Self::Order
            | Self::Exclusive
            | Self::Stream
            | Self::Metadata => Weight::Decides,
            Self::Duplicates | Self::Availability | Self::Latency => Weight::Reported,
        }
    }
}

/// What the checkers' findings are for where nothing is said.
pub(super) fn defaults(workload: &Workload, queue: &Queue) -> Checks {
    let checkers = Checker::WORDS.iter().map(|(_, checker)| *checker);
    let looking = checkers.filter(|checker| checker.applies(workload, queue));
    looking.map(|checker| (checker, checker.weight())).collect()
}

/// The scenario's `checks`.
pub(super) fn parse(
    fields: Option<Fields<'_>>,
    workload: &Workload,
    queue: &Queue,
    to: &mut Collector<'_>,
) -> Checks {
    let mut checks = defaults(workload, queue);
    let Some(mut fields) = fields else {
        return checks;
    };
    for (word, checker) in Checker::WORDS {
        let Some(value) = fields.take(word) else {
            continue;
        };
        if !checker.applies(workload, queue) {
            to.error(
                value.place,
                format!("`{word}` does not look at runs of this workload"),
                "remove it",
            );
            continue;
        }
        let words = [("decides", Weight::Decides), ("reported", Weight::Reported)];
        let Some(weight) = value.choice(&format!("`{word}`"), &words, to) else {
            continue;
        };
        if weight == Weight::Reported && checker.weight() == Weight::Decides {
            to.warning(
                value.place,
                format!("a run can be `valid` whatever `{word}` finds"),
                format!("write `{word}: decides`, unless that is meant"),
            );
        }
        checks.insert(checker, weight);
    }
    fields.finish(to);
    checks
}
