//! What a broker keeps besides messages, as entries of the history name it.
//!
//! An object belongs to one client, which numbers its objects over all kinds. In an entry the client is
//! the `producer`, the number the `sequence`, and the kind's own number stands in `queue`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::operation::Entry;

/// With this every object's name on the brokers begins.
const PREFIX: &str = "jtest.metadata.";

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum ObjectKind {
    /// A durable queue.
    Queue,
    /// A durable exchange.
    Exchange,
    /// A binding of the queue under test, told from others by its routing key.
    Binding,
    /// A policy.
    Policy,
    /// A user.
    User,
    /// A virtual host.
    Vhost,
}

impl ObjectKind {
    /// All, in the order of their numbers, with their words.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Queue, "queue"),
        (Self::Exchange, "exchange"),
        (Self::Binding, "binding"),
        (Self::Policy, "policy"),
        (Self::User, "user"),
        (Self::Vhost, "vhost"),
    ];

    /// Its number.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL[usize::from(self.number())].1
    }
}

/// One thing that a client made, or tried to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Whose it is.
    pub client: u32,
    /// Its number among all that this client made.
    pub number: u64,
}

impl Object {
    /// The object that an entry is about; `None` for a kind that no version of jtest knew.
    pub fn of(entry: &Entry) -> Option<Self> {
        let (kind, _) = ObjectKind::ALL.get(usize::from(entry.queue))?;
        Some(Self {
            kind: *kind,
            client: entry.producer,
            number: entry.sequence,
        })
    }

    /// What the brokers call it; of a binding, its routing key.
    pub fn name(self) -> String {
        format!("{PREFIX}{}.{}", self.client, self.number)
    }

    /// The object of this kind that the brokers call so.
    pub fn named(kind: ObjectKind, name: &str) -> Option<Self> {
        let (client, number) = name.strip_prefix(PREFIX)?.split_once('.')?;
        Some(Self {
            kind,
            client: client.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} of client {}",
            self.kind.word(),
            self.number,
            self.client
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_its_name_and_by_its_entries() {
        for (number, (kind, _)) in (0..).zip(ObjectKind::ALL) {
            let object = Object {
                kind,
                client: 3,
                number: 17,
            };
            assert_eq!(object.kind.number(), number);
            assert_eq!(Object::named(kind, &object.name()), Some(object));
            let entry = Entry {
                producer: 3,
                sequence: 17,
                queue: number,
                ..Entry::default()
            };
            assert_eq!(Object::of(&entry), Some(object));
        }
        let unknown = Entry {
            queue: 6,
            ..Entry::default()
        };
        assert_eq!(Object::of(&unknown), None);
        for name in ["jtest.metadata.3", "jtest.metadata.a.1", "other.3.1", ""] {
            assert_eq!(Object::named(ObjectKind::Queue, name), None, "{name}");
        }
    }
}
