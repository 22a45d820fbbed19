//! The faults there are: what each is called, what it takes and needs, how it is proven and undone.
//!
//! One entry of [`KINDS`] for each. The entry decides what a scenario and the command line may
//! say of the fault, which hosts can have it, and what the documentation tells; how it is done is
//! the business of one file under `src/fault/`.

mod kinds;
mod need;
mod setting;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::kinds::{KINDS, PARTITION};
pub use self::need::Need;
pub use self::setting::{Setting, Settings, Takes, Unfit};

/// What a fault is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Which nodes reach which.
    Partition,
    /// The packets between nodes.
    Packet,
    /// The broker's processes.
    Process,
    /// The broker's application, by its own means.
    App,
    /// What time it is.
    Clock,
    /// Where the broker keeps its data.
    Disk,
    /// What the broker shares with others on its host.
    Resource,
    /// Who belongs to the cluster and to the queue.
    Membership,
    /// The host as a whole.
    Host,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Partition => "partition",
            Self::Packet => "packet",
            Self::Process => "process",
            Self::App => "app",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Resource => "resource",
            Self::Membership => "membership",
            Self::Host => "host",
        })
    }
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is undone.
    Lasting,
    /// It is over when it is done; there is nothing to undo.
    Moment,
}

/// What a fault is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Nodes that are divided, by `groups`.
    Groups,
    /// Some nodes, by `on`.
    Nodes,
}

/// One thing that can be set about a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What stands in where it is not given; `None`: it must be given, or is off without it.
    pub default: Option<&'static str>,
    /// Whether it must be given.
    pub is_required: bool,
    /// In a few words.
    pub about: &'static str,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it is done to.
    pub group: Group,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What it is aimed at.
    pub aim: Aim,
    /// How long it lasts.
    pub lasting: Lasting,
    /// What can be set.
    pub parameters: &'static [Parameter],
    /// What a host must have: of each inner list at least one.
    pub needs: &'static [&'static [Need]],
    /// What proves that it bit.
    pub proof: &'static str,
    /// How it is undone.
    pub undo: &'static str,
}

impl Kind {
    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }

    /// What of its needs a host lacks, which has these abilities.
    pub fn lacks(&self, has: impl Fn(Need) -> bool) -> Vec<&'static [Need]> {
        let met = |any: &&[Need]| any.iter().any(|need| has(*need));
        self.needs.iter().copied().filter(|any| !met(any)).collect()
    }

    /// The settings where none is given.
    pub fn defaults(&self) -> Settings {
        let defaults = self.parameters.iter().filter_map(|parameter| {
            let setting = parameter.takes.read(parameter.default?).ok()?;
            Some((parameter.name.to_owned(), setting))
        });
        defaults.collect()
    }
}

/// The fault of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// A fault's kind as a value: written to files by its name.
#[derive(Debug, Clone, Copy)]
pub struct KindRef(pub &'static Kind);

impl PartialEq for KindRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for KindRef {}

impl std::ops::Deref for KindRef {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        self.0
    }
}

impl Serialize for KindRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for KindRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format_args!("there is no fault `{name}`"));
        kind(&name).map(Self).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_entry_is_whole() {
        let mut names = BTreeSet::new();
        for kind in KINDS {
            assert!(names.insert(kind.name), "{} is there twice", kind.name);
            for text in [kind.about, kind.proof, kind.undo] {
                assert!(!text.is_empty(), "{}", kind.name);
            }
            for parameter in kind.parameters {
                let at = format!("{}.{}", kind.name, parameter.name);
                assert!(!parameter.about.is_empty(), "{at}");
                assert!(
                    !(parameter.is_required && parameter.default.is_some()),
                    "{at}"
                );
                if let Some(default) = parameter.default {
                    assert!(parameter.takes.read(default).is_ok(), "{at}: {default}");
                }
            }
        }
    }

    #[test]
    fn groups_stand_together() {
        let groups: Vec<Group> = KINDS.iter().map(|kind| kind.group).collect();
        assert!(groups.is_sorted());
    }

    #[test]
    fn what_is_missing_is_told() {
        let loss = kind("loss").unwrap();
        assert!(loss.lacks(|_| true).is_empty());
        let lacking = loss.lacks(|need| need == Need::Iptables);
        assert_eq!(lacking, [&[Need::Statistic] as &[Need]]);
    }

    #[test]
    fn a_kind_is_written_by_its_name() {
        let kind = KindRef(kind("partition").unwrap());
        let text = serde_json::to_string(&kind).unwrap();
        assert_eq!(text, "\"partition\"");
        assert_eq!(serde_json::from_str::<KindRef>(&text).unwrap(), kind);
        assert!(serde_json::from_str::<KindRef>("\"flood\"").is_err());
    }
}
