//! From a scenario and a seed to the exact timed list of fault steps.
//!
//! Pure: the same scenario, node names and seed give the same list on any machine. What
//! can only be known at injection (who leads the queue) stays symbolic in [`Groups`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::inventory::NodeName;
use crate::scenario::duration_ms;

/// Numbers the faults of a run, from 1, in the order of injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u32);

/// One fault with the times it is due, counted from the start of the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedFault {
    /// Its number in this run.
    pub id: FaultId,
    /// When it is injected.
    #[serde(with = "duration_ms")]
    pub inject_at: Duration,
    /// When it is healed.
    #[serde(with = "duration_ms")]
    pub heal_at: Duration,
    /// What it is.
    pub fault: PlannedFault,
}

/// A fault with everything random already decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedFault {
    /// See [`Groups`].
    Partition(Groups),
}

/// How a partition divides the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// Every node of the inventory in exactly one group; at least two groups, none empty.
    Named(Vec<Vec<NodeName>>),
    /// The leader of the queue with the first `others` nodes of `order` (the leader
    /// left out) against the rest.
    WithLeader {
        /// All nodes, shuffled by the seed.
        order: Vec<NodeName>,
        /// How many nodes go with the leader.
        others: usize,
    },
}
