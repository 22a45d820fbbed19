//! When faults were in force, and where a moment lies among them.

use serde::{Deserialize, Serialize};

use super::results::FaultCoverage;
use crate::history::operation::Nanos;
use crate::schedule::FaultId;

/// When a fault was in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultTimes {
    /// Which.
    pub fault: FaultId,
    /// When the first node had it.
    pub from: Nanos,
    /// When it was healed, if it was.
    pub until: Option<Nanos>,
}

impl FaultTimes {
    /// Of all faults that were injected.
    pub fn of(faults: &[FaultCoverage]) -> Vec<Self> {
        let times = faults.iter().filter_map(|fault| {
            Some(Self {
                fault: fault.fault,
                from: fault.injected_first_ns?,
                until: fault.healed_ns,
            })
        });
        times.collect()
    }
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

impl Window {
    /// Where a moment lies: in the fault in force that came last, or after the one healed last.
    pub fn of(time: Nanos, faults: &[FaultTimes]) -> Self {
        let begun = || faults.iter().filter(|fault| time >= fault.from);
        let in_force = begun().filter(|fault| fault.until.is_none_or(|until| time < until));
        if let Some(fault) = in_force.max_by_key(|fault| (fault.from, fault.fault)) {
            return Self::During(fault.fault);
        }
        let healed = begun().max_by_key(|fault| (fault.until, fault.fault));
        healed.map_or(Self::Before, |fault| Self::After(fault.fault))
    }
}
