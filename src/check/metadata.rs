//! The metadata: what was confirmed is there on every node, what was removed is gone, and the nodes agree.
//!
//! Changes to an object are writes to a register that says whether it is there. Which of them may be the
//! last follows from real time: one that was confirmed before another confirmed one began is not. One
//! without a known outcome may happen at any time later, or never. So an object must be there if every
//! change that may be the last makes it, and must not be if none does.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::{Finding, LISTED_MAX};
use super::table::{Check, Known, Seen};
use crate::history::object::{Object, ObjectKind};
use crate::history::operation::{Action, Entry, Nanos, Phase};
use crate::inventory::NodeName;

/// What became of the metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Metadata {
    /// Objects that were confirmed to be made.
    pub created: u64,
    /// Objects that were confirmed to be removed.
    pub deleted: u64,
    /// Changes that the broker did not begin with.
    pub refused: u64,
    /// Changes of which nobody knows.
    pub unknown: u64,
    /// Objects that must be there and that some node has not.
    pub missing: u64,
    /// Objects that must be gone and that some node has.
    pub left: u64,
    /// Objects that some nodes have and others have not.
    pub disagreements: u64,
    /// The first of all these, at most [`LISTED_MAX`].
    pub broken: Vec<BrokenObject>,
    /// Nodes that did not say of every object whether they have it.
    pub silent: Vec<NodeName>,
}

/// An object with everything that was done to it, and what the nodes say of it at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BrokenObject {
    /// What it is.
    pub kind: ObjectKind,
    /// What the brokers call it; of a binding, its routing key.
    pub name: String,
    /// Whether it has to be there; `null` where both are right as long as the nodes agree.
    pub must_be: Option<bool>,
    /// What was done to it.
    pub changes: Vec<ChangeTimes>,
    /// The nodes that have it.
    pub on: Vec<NodeName>,
    /// The nodes that have it not.
    pub not_on: Vec<NodeName>,
}

/// One change to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangeTimes {
    /// `create` or `delete`.
    pub action: Action,
    /// The node through which.
    pub node: Option<NodeName>,
    /// When it began.
    pub from_ns: Nanos,
    /// When its outcome was known.
    pub until_ns: Option<Nanos>,
    /// What became of it.
    pub outcome: Phase,
}

/// One change, as read so far.
#[derive(Debug, Clone, Copy)]
struct Write {
    makes: bool,
    process: u32,
    node: u16,
    from: Nanos,
    until: Option<Nanos>,
    /// `Invoke` while it has none.
    outcome: Phase,
}

impl Write {
    /// Until when it may take effect.
    fn until_at_most(&self) -> Nanos {
        match self.outcome {
            Phase::Ok | Phase::Fail => self.until.unwrap_or(Nanos::MAX),
            Phase::Invoke | Phase::Info => Nanos::MAX,
        }
    }
}

#[derive(Debug, Default)]
struct Life {
    writes: Vec<Write>,
    on: BTreeSet<u16>,
    not_on: BTreeSet<u16>,
}

/// What was read of the history so far.
#[derive(Default)]
pub struct Objects {
    lives: BTreeMap<Object, Life>,
}

impl Check for Objects {
    type Data = Metadata;

    fn begin(_known: &Known<'_>) -> Self {
        Self::default()
    }

    fn add(&mut self, entry: &Entry) {
        let makes = match entry.action {
            Action::Create => true,
            Action::Delete => false,
            Action::Observe => return self.observed(entry),
            _ => return,
        };
        let Some(object) = Object::of(entry) else {
            return;
        };
        let writes = &mut self.lives.entry(object).or_default().writes;
        if entry.phase == Phase::Invoke {
            writes.push(Write {
                makes,
                process: entry.process,
                node: entry.node,
                from: entry.time,
                until: None,
                outcome: Phase::Invoke,
            });
            return;
        }
        let open = writes.iter_mut().rev().find(|write| {
            write.outcome == Phase::Invoke && write.makes == makes && write.process == entry.process
        });
        if let Some(open) = open {
            open.outcome = entry.phase;
            open.until = Some(entry.time);
        }
    }

    fn finding(self, seen: &Seen<'_>) -> Finding<Metadata> {
        let mut data = Metadata::default();
        let nodes = seen.known.nodes;
        let places = 0..u16::try_from(nodes.len()).unwrap_or(u16::MAX);
        let mut silent = BTreeSet::new();
        for (object, life) in &self.lives {
            life.count(&mut data);
            let asked = |node: &u16| life.on.contains(node) || life.not_on.contains(node);
            silent.extend(places.clone().filter(|node| !asked(node)));
            let must_be = life.must_be();
            let is_missing = must_be == Some(true) && !life.not_on.is_empty();
            let is_left = must_be == Some(false) && !life.on.is_empty();
            let is_disputed = !life.on.is_empty() && !life.not_on.is_empty();
            data.missing += u64::from(is_missing);
            data.left += u64::from(is_left);
            data.disagreements += u64::from(is_disputed);
            let is_broken = is_missing || is_left || is_disputed;
            if is_broken && data.broken.len() < LISTED_MAX {
                data.broken.push(life.told(*object, must_be, nodes));
            }
        }
        data.silent = names(&silent, nodes);
        let (mut verdict, mut summary) = judge(&data);
        if verdict == Verdict::Invalid && !seen.is_complete {
            // What the nodes had before they were a cluster again says nothing of afterwards.
            verdict = Verdict::Unknown;
            summary = format!("{summary}; but the run did not come to its end in good order");
        }
        Finding {
            verdict,
            summary,
            data,
        }
    }
}

impl Objects {
    fn observed(&mut self, entry: &Entry) {
        let Some(object) = Object::of(entry) else {
            return;
        };
        let life = self.lives.entry(object).or_default();
        match entry.phase {
            Phase::Ok => life.on.insert(entry.node),
            Phase::Fail => life.not_on.insert(entry.node),
            Phase::Invoke | Phase::Info => false,
        };
    }
}

impl Life {
    /// Whether the object has to be there or must not; `None` where both are possible.
    fn must_be(&self) -> Option<bool> {
        let confirmed = self
            .writes
            .iter()
            .filter(|write| write.outcome == Phase::Ok);
        let last_begun = confirmed.map(|write| write.from).max();
        let mut possible = BTreeSet::new();
        if last_begun.is_none() {
            // It was not there at the beginning.
            possible.insert(false);
        }
        for write in &self.writes {
            let happened = write.outcome != Phase::Fail;
            if happened && last_begun.is_none_or(|begun| write.until_at_most() >= begun) {
                possible.insert(write.makes);
            }
        }
        let first = possible.pop_first();
        first.filter(|_| possible.is_empty())
    }

    fn count(&self, data: &mut Metadata) {
        let confirmed = |makes| {
            let mut writes = self.writes.iter();
            writes.any(|write| write.makes == makes && write.outcome == Phase::Ok)
        };
        data.created += u64::from(confirmed(true));
        data.deleted += u64::from(confirmed(false));
        for write in &self.writes {
            match write.outcome {
                Phase::Ok => {}
                Phase::Fail => data.refused += 1,
                Phase::Invoke | Phase::Info => data.unknown += 1,
            }
        }
    }

    fn told(&self, object: Object, must_be: Option<bool>, nodes: &[NodeName]) -> BrokenObject {
        let changes = self.writes.iter().map(|write| ChangeTimes {
            action: if write.makes {
                Action::Create
            } else {
                Action::Delete
            },
            node: nodes.get(usize::from(write.node)).cloned(),
            from_ns: write.from,
            until_ns: write.until,
            outcome: match write.outcome {
                Phase::Invoke => Phase::Info,
                known => known,
            },
        });
        BrokenObject {
            kind: object.kind,
            name: object.name(),
            must_be,
            changes: changes.collect(),
            on: names(&self.on, nodes),
            not_on: names(&self.not_on, nodes),
        }
    }
}

fn names(indices: &BTreeSet<u16>, nodes: &[NodeName]) -> Vec<NodeName> {
    let known = indices.iter().filter_map(|at| nodes.get(usize::from(*at)));
    known.cloned().collect()
}

fn judge(data: &Metadata) -> (Verdict, String) {
    let mut broken = Vec::new();
    if data.missing > 0 {
        broken.push(format!("{} that were made are missing", data.missing));
    }
    if data.left > 0 {
        broken.push(format!("{} that were removed are there", data.left));
    }
    if data.disagreements > 0 {
        broken.push(format!(
            "the nodes do not agree about {}",
            data.disagreements
        ));
    }
    if let Some(first) = data.broken.first() {
        let (kind, name) = (first.kind.word(), &first.name);
        let summary = format!(
            "of the queues, policies and other objects, {}; the first is the {kind} {name}",
            broken.join(", ")
        );
        return (Verdict::Invalid, summary);
    }
    if !data.silent.is_empty() {
        let silent: Vec<&str> = data.silent.iter().map(|node| node.0.as_str()).collect();
        let summary = format!("what {} has is not known", silent.join(", "));
        return (Verdict::Unknown, summary);
    }
    if data.created == 0 {
        let summary = "no object was confirmed, so nothing was tested".to_owned();
        return (Verdict::Unknown, summary);
    }
    let summary = format!(
        "all nodes agree, and {} objects that were made and {} of them removed are as they should be",
        data.created, data.deleted
    );
    (Verdict::Valid, summary)
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
