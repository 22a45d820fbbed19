//! YAML as a tree that remembers places: the raw form of the inventory and the scenarios.
//!
//! A mapping is a list of entries in the order of the file, scalars stay text; what they
//! mean is decided by who reads them ([`Fields`], [`Value`]'s readers), so that one file can be
//! told all its mistakes at once. [`parse`] itself reports syntax, duplicate keys, and
//! whatever exceeds a bound; aliases and merge keys (`<<`) are resolved in the tree.
//!
//! Invariants: no input makes it panic; the tree has at most [`NODES_MAX`] values and is
//! at most [`DEPTH_MAX`] deep, aliases counted as what they stand for.
//!
//! ```
//! use jtest::{diagnostic::Collector, yaml};
//! let text = "queue:\n  replicas: 3\n";
//! let mut to = Collector::new("demo.yaml", text);
//! let tree = yaml::parse(text, &mut to).unwrap();
//! let mut fields = tree.fields("the scenario", &mut to).unwrap();
//! let mut queue = fields.mapping("queue", &mut to).unwrap();
//! assert_eq!(queue.u64("replicas", 1..=9, &mut to), Some(3));
//! queue.finish(&mut to);
//! fields.finish(&mut to);
//! assert!(to.finish().is_ok());
//! ```

mod build;
mod fields;
mod read;
mod syntax;

pub use build::parse;
pub use fields::Fields;
pub use read::parse_duration;

use std::ops::RangeInclusive;

use crate::diagnostic::Place;

/// Bytes of a file that is read at all.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Values in a tree, aliases counted as what they stand for.
pub const NODES_MAX: usize = 100_000;
/// Levels of nesting.
pub const DEPTH_MAX: usize = 64;

/// One value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Where it begins; for an alias, where the alias is.
    pub place: Place,
    /// The lines that hold it; for an alias, those of what it stands for.
    pub defined: RangeInclusive<usize>,
    /// Its tag as written (`!vault`), unless it is one of YAML's own that changes nothing.
    pub tag: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other text, whether it looks like a number or not.
    Scalar {
        /// The text, quotes and escapes resolved.
        text: String,
        /// Quoted or a block: a text, whatever it looks like.
        quoted: bool,
    },
    /// A list.
    Sequence(Vec<Value>),
    /// Entries in the order of the file, those of merge keys last. Keys are unique unless
    /// [`parse`] has reported an error.
    Mapping(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key is.
    pub place: Place,
    /// What it maps to.
    pub value: Value,
}

impl Value {
    /// The value of a key (the first, if it is there twice).
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries()?
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The entries, if it is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => None,
        }
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// What it is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a plain value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }
}

#[cfg(test)]
mod tests;
