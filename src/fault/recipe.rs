//! How a fault on a node is done, and how what the node tells is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::{Setting, Settings};
use crate::inventory::NodeName;

/// What a host said of itself: keys and values.
pub(super) type Look = BTreeMap<String, String>;

/// What follows from it, in words.
pub(super) type Finding = Result<String, String>;

/// The value of a key, nothing where there is none.
pub(super) fn value<'a>(look: &'a Look, key: &str) -> &'a str {
    look.get(key).map_or("", String::as_str)
}

/// How far apart the nodes have it, where they have it one after another.
pub(super) fn rolling(settings: &Settings) -> Option<Duration> {
    match settings.get("rolling") {
        Some(Setting::Duration(pause)) => Some(*pause),
        _ => None,
    }
}

/// What a fault needs of the broker: where another fault has taken that away, it has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing, or it finds out by itself.
    Nothing,
    /// That it is not frozen.
    Thawed,
    /// A process that is not frozen.
    Process,
    /// Its application, to answer.
    App,
}

impl Needs {
    /// As `broker_held.sh` takes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Thawed => "thawed",
            Self::Process => "process",
            Self::App => "app",
        }
    }
}

/// How a fault is done.
pub(super) struct Recipe {
    /// Shell text that defines `inject`, `look` and, if there is anything to undo, `undo`.
    pub shell: String,
    /// What all three are given; after it come the addresses of the node's peers, and by how many microseconds the
    /// host's clock was before the control node's, where the look before told.
    pub args: Vec<String>,
    /// What it needs of the broker.
    pub needs: Needs,
    /// The peers that it is about; all of them, where none is named.
    pub towards: Vec<NodeName>,
    /// Whether there is anything to undo.
    pub has_undo: bool,
    /// Whether it destroys the broker's data, which not every host is there for.
    pub destroys: bool,
    /// Whether the host goes down by it, and comes back.
    pub goes_down: bool,
    /// Whether it bit: how it was before, how it is now.
    pub bitten: fn(&Look, &Look) -> Finding,
    /// Whether it is over.
    pub healed: fn(&Look, &Look) -> Finding,
    /// For the injection on one node.
    pub inject_deadline: Duration,
    /// For a look at one node.
    pub look_deadline: Duration,
    /// For things to be as they were, once it is undone.
    pub mend_deadline: Duration,
    /// One node after another, so far apart; all at once without it.
    pub rolling: Option<Duration>,
}
