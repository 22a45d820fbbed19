//! `run.json`: what a run was, written before anything is done, and again when its hosts are known.
//! There is no secret in it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::inventory::NodeName;
use crate::run_dir;
use crate::scenario::Scenario;
use crate::schedule::Plan;

/// The version of the run directory's formats that this jtest writes.
pub const FORMAT_VERSION: u32 = 4;

/// Its name in a run directory.
pub const MANIFEST_FILE: &str = "run.json";

/// Far more than the longest schedule takes.
const BYTES_MAX: u64 = 64 << 20;

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
    /// The plan of faults that the seed gave.
    pub schedule: Plan,
}

/// Why `run.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read {}: {error}; is this a run directory?", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// It is not what jtest writes.
    #[error("{} is not a run's description: {error}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{} has format version {found}, this jtest reads {FORMAT_VERSION}; use the jtest that made the run", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// The one field whose place is the same in every version.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Manifest {
    /// Writes `run.json` into a run directory.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        run_dir::write(&directory.join(MANIFEST_FILE), &text)
    }

    /// Reads `run.json` of a run directory.
    pub fn read(directory: &Path) -> Result<Self, ManifestError> {
        let path = directory.join(MANIFEST_FILE);
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) => return Err(ManifestError::Io { path, error }),
        };
        let version = serde_json::from_slice::<Version>(&text);
        match version {
            Ok(Version { format_version }) if format_version != FORMAT_VERSION => {
                return Err(ManifestError::Version {
                    path,
                    found: format_version,
                });
            }
            _ => {}
        }
        serde_json::from_slice(&text).map_err(|error| ManifestError::Malformed { path, error })
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = run_dir::open(path)?;
    file.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        let error = format!("it is larger than {BYTES_MAX} bytes");
        return Err(io::Error::other(error));
    }
    Ok(text)
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
    /// What the host is; absent where the run ended before it was known.
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
