//! `run.json`: what a run was, written before its first fault. There is no secret in it.

use serde::{Deserialize, Serialize};

use crate::inventory::NodeName;
use crate::scenario::Scenario;
use crate::schedule::TimedFault;

/// The version of the run directory's formats that this jtest writes.
pub const FORMAT_VERSION: u32 = 1;

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// jtest's own version.
    pub jtest_version: String,
    /// Random; every message carries it.
    pub run_id: String,
    /// When the run's zero was, as an RFC 3339 time in UTC.
    pub started: String,
    /// The command line, secrets left out by construction (they never come on it).
    pub command: Vec<String>,
    /// Everything random comes from it.
    pub seed: u64,
    /// The scenario as resolved.
    pub scenario: Scenario,
    /// The nodes; a history's node indices point into this list.
    pub nodes: Vec<ManifestNode>,
    /// The fault schedule that the seed gave.
    pub schedule: Vec<TimedFault>,
}

/// One node of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestNode {
    /// Its name.
    pub name: NodeName,
    /// Where the control node reaches it.
    pub address: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// What the host is; absent where it could not be asked.
    pub facts: Option<NodeFacts>,
}

/// What a host is and has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// `uname -r`.
    pub kernel: String,
    /// `systemd-detect-virt --container`, `none` on a true machine.
    pub container: String,
    /// The version of the installed broker's package, if any.
    pub rabbitmq: Option<String>,
    /// `nf_tables`, `legacy` or `missing`.
    pub iptables: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes free where the broker keeps its data.
    pub disk_free_bytes: u64,
    /// The host's clock minus the control node's, in microseconds, measured as NTP does.
    pub clock_offset_us: Option<i64>,
    /// Half the round trip of that measurement: its uncertainty.
    pub clock_error_us: Option<u64>,
}
