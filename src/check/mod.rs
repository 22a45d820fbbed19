//! Checkers: pure functions from a history and the run's events to findings.
//!
//! The verdict is three-valued; unknown is never rounded up.

pub mod availability;
pub mod coverage;
pub mod duplicates;
pub mod exclusive;
pub mod fifo;
pub mod judge;
pub mod latency;
pub mod linear;
pub mod lock;
pub mod logs;
pub mod losses;
pub mod metadata;
pub mod node_clock;
pub mod order;
pub mod results;
#[cfg(test)]
mod schema_tests;
mod sent;
pub mod stream;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod total_queue;
pub mod value_set;
pub mod window;

use serde::{Deserialize, Serialize};

/// The answer of a checker or of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing that was promised was broken, and the evidence is complete.
    Valid,
    /// A promise was broken.
    Invalid,
    /// The evidence does not suffice.
    Unknown,
}

impl Verdict {
    /// Of two verdicts about the same run: a broken promise outweighs everything, missing
    /// evidence outweighs `Valid`.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Invalid, _) | (_, Self::Invalid) => Self::Invalid,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Valid, Self::Valid) => Self::Valid,
        }
    }
}
