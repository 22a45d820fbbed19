//! The queues under test: what they are called, of what type, and how the type is set.

use serde::{Deserialize, Serialize};

use super::checks::place;
use super::limits::{self, Limits};
use super::parse::{is_word, text};
use super::word;
use crate::diagnostic::{Collector, quoted};
use crate::yaml::{Fields, Value};

/// The drain reads every queue through every node on a connection of its own.
const COUNT_MAX: u64 = 32;

/// Bytes of a queue's name in AMQP.
const NAME_BYTES_MAX: usize = 255;

/// The kind of the queues under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueType {
    /// One replica, on one node.
    Classic,
    /// A classic queue with mirrors by policy (up to RabbitMQ 3.x).
    Mirrored,
    /// Replicated by Raft.
    Quorum,
    /// A replicated log, read by offset.
    Stream,
}

/// `ha-sync-mode` of mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncMode {
    /// A new mirror takes over what is in the queue, which blocks the queue meanwhile.
    Automatic,
    /// A new mirror has only what comes from then on.
    Manual,
}

/// When a mirror that is not in step may become the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// Whenever there is no other: the queue stays available.
    Always,
    /// Never: the queue waits for one that is in step.
    WhenSynced,
}

impl SyncMode {
    /// All, by the broker's words.
    pub const WORDS: [(&str, Self); 2] = [("automatic", Self::Automatic), ("manual", Self::Manual)];

    /// The broker's word.
    pub fn word(self) -> &'static str {
        word(&Self::WORDS, self)
    }
}

impl Promotion {
    /// All, by the broker's words.
    pub const WORDS: [(&str, Self); 2] =
        [("always", Self::Always), ("when-synced", Self::WhenSynced)];

    /// The broker's word.
    pub fn word(self) -> &'static str {
        word(&Self::WORDS, self)
    }
}

/// The queues under test, all alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The name of the first; see [`Self::names`].
    pub name: String,
    /// How many there are.
    pub count: u16,
    /// Their kind.
    #[serde(rename = "type")]
    pub kind: QueueType,
    /// How many nodes hold each (`ha-params` of exactly-N mirrors, `x-quorum-initial-group-size`, `x-initial-cluster-size`);
    /// `None` is every node. Meaningless for `Classic`.
    pub replicas: Option<u32>,
    /// After how many returns a quorum queue drops a message; `None` is never.
    pub delivery_limit: Option<u32>,
    /// Whether one consumer at a time is given messages.
    pub single_active_consumer: bool,
    /// Of mirrors; `None` is `automatic`.
    pub sync_mode: Option<SyncMode>,
    /// Of mirrors, when their leader is shut down; `None` is the broker's default.
    pub promote_on_shutdown: Option<Promotion>,
    /// Of mirrors, when their leader is lost; `None` is the broker's default.
    pub promote_on_failure: Option<Promotion>,
    /// What makes them let messages go, or refuse them.
    pub limits: Limits,
    /// Whether the first dead-letters all its messages to the second, at least once.
    pub dead_letters: bool,
}

impl Queue {
    /// One queue, and nothing special about it.
    pub fn new(name: &str, kind: QueueType) -> Self {
        Self {
            name: name.to_owned(),
            count: 1,
            kind,
            replicas: None,
            delivery_limit: None,
            single_active_consumer: false,
            sync_mode: None,
            promote_on_shutdown: None,
            promote_on_failure: None,
            limits: Limits::default(),
            dead_letters: false,
        }
    }

    /// To how many of them clients publish, the first ones.
    pub fn published(&self) -> u16 {
        if self.dead_letters { 1 } else { self.count }
    }

    /// Those whose messages count when they are read at the end, with their places.
    pub fn drained(&self) -> Vec<(u16, String)> {
        let numbered = (0u16..).zip(self.names());
        let first = u16::from(self.dead_letters);
        numbered.filter(|(place, _)| *place >= first).collect()
    }

    /// The names of all, in the order by which the history numbers them: `NAME`, `NAME.2`, `NAME.3`.
    pub fn names(&self) -> Vec<String> {
        let more = (2..=self.count).map(|number| format!("{}.{number}", self.name));
        std::iter::once(self.name.clone()).chain(more).collect()
    }
}

/// The scenario's `queue`.
pub(super) fn parse(fields: Option<Fields<'_>>, to: &mut Collector<'_>) -> Queue {
    let mut queue = Queue::new("jtest.queue", QueueType::Quorum);
    let Some(mut fields) = fields else {
        return queue;
    };
    queue.name = text(&mut fields, "name", &queue.name, 1..=NAME_BYTES_MAX, to);
    if queue.name.starts_with("amq.") || queue.name.chars().any(char::is_control) {
        to.error(
            fields.take("name").map(|value| value.place),
            format!("{} cannot be the name of a queue", quoted(&queue.name)),
            "names that begin with `amq.` are the broker's own, and control characters hide",
        );
    }
    let count = fields.u64("count", 1..=COUNT_MAX, to);
    queue.count = count
        .and_then(|count| u16::try_from(count).ok())
        .unwrap_or(1);
    let kind = fields.choice(
        "type",
        &[
            ("classic", QueueType::Classic),
            ("mirrored", QueueType::Mirrored),
            ("quorum", QueueType::Quorum),
            ("stream", QueueType::Stream),
        ],
        to,
    );
    queue.kind = kind.unwrap_or(queue.kind);
    queue.replicas = fields
        .take("replicas")
        .filter(|value| !is_word(value, "all"))
        .and_then(|value| value.u64("`replicas` (unless it is `all`)", 1..=99, to))
        .and_then(|replicas| u32::try_from(replicas).ok());
    queue.delivery_limit = fields
        .take("delivery_limit")
        .filter(|value| !is_word(value, "none"))
        .and_then(|value| value.u64("`delivery_limit` (unless it is `none`)", 0..=1_000_000, to))
        .and_then(|limit| u32::try_from(limit).ok());
    queue.single_active_consumer = fields.bool("single_active_consumer", to).unwrap_or(false);
    queue.limits = limits::parse(&mut fields, to);
    queue.sync_mode = fields.choice("sync_mode", &SyncMode::WORDS, to);
    queue.promote_on_shutdown = fields.choice("promote_on_shutdown", &Promotion::WORDS, to);
    queue.promote_on_failure = fields.choice("promote_on_failure", &Promotion::WORDS, to);
    fields.finish(to);
    queue
}

/// What only shows when the values are seen together.
pub(super) fn check(queue: &Queue, tree: &Value, to: &mut Collector<'_>) {
    names(queue, tree, to);
    replicas(queue, tree, to);
    if queue.delivery_limit.is_some() {
        let at = place(tree, "queue.delivery_limit");
        if queue.kind == QueueType::Quorum {
            to.warning(
                at,
                "a message that was given back more often than `delivery_limit` is dropped, and counts as lost",
                "leave it out, unless that is what is to be tested",
            );
        } else {
            to.error(
                at,
                "only quorum queues have a `delivery_limit`",
                "remove it, or choose `type: quorum`",
            );
        }
    }
    if queue.kind != QueueType::Mirrored {
        for (key, is_set) in [
            ("sync_mode", queue.sync_mode.is_some()),
            ("promote_on_shutdown", queue.promote_on_shutdown.is_some()),
            ("promote_on_failure", queue.promote_on_failure.is_some()),
        ] {
            if is_set {
                to.error(
                    place(tree, &format!("queue.{key}")),
                    format!("only mirrored queues have a `{key}`"),
                    "remove it, or choose `type: mirrored`",
                );
            }
        }
    }
}

fn names(queue: &Queue, tree: &Value, to: &mut Collector<'_>) {
    let longest = queue.names().iter().map(String::len).max();
    if longest.is_some_and(|bytes| bytes > NAME_BYTES_MAX) {
        to.error(
            place(tree, "queue.name"),
            format!("the names of these queues are longer than {NAME_BYTES_MAX} bytes"),
            "choose a shorter `name`; the second queue is called `NAME.2`",
        );
    }
}

fn replicas(queue: &Queue, tree: &Value, to: &mut Collector<'_>) {
    let Some(replicas) = queue.replicas else {
        return;
    };
    let at = place(tree, "queue.replicas");
    match queue.kind {
        QueueType::Classic => to.error(
            at,
            "a classic queue has one replica only",
            "remove `replicas`, or choose `type: quorum`",
        ),
        QueueType::Quorum | QueueType::Stream if replicas % 2 == 0 => to.warning(
            at,
            format!(
                "{replicas} replicas survive no more than {} do",
                replicas - 1
            ),
            "choose an odd number",
        ),
        QueueType::Mirrored | QueueType::Quorum | QueueType::Stream => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn told(queue: &str) -> Result<Queue, String> {
        let text = format!("name: a\nworkload: {{amount: 1m}}\nqueue: {queue}\n");
        match parse("s.yaml", &text, &[]) {
            Ok((scenario, _)) => Ok(scenario.queue),
            Err(told) => Err(told.to_string()),
        }
    }

    #[test]
    fn queues_are_named_after_the_first() {
        let queue = told("{name: q, count: 3}").unwrap();
        assert_eq!(queue.names(), ["q", "q.2", "q.3"]);
        assert_eq!(told("{}").unwrap().names(), ["jtest.queue"]);
    }

    #[test]
    fn a_type_has_its_own_settings_and_no_others() {
        let mirrored = "type: mirrored, sync_mode: manual, promote_on_shutdown: always, promote_on_failure: when-synced";
        let queue = told(&format!("{{{mirrored}}}")).unwrap();
        assert_eq!(queue.sync_mode, Some(SyncMode::Manual));
        assert_eq!(queue.promote_on_shutdown, Some(Promotion::Always));
        assert_eq!(queue.promote_on_failure, Some(Promotion::WhenSynced));
        let quorum = told("{delivery_limit: 5, single_active_consumer: true}").unwrap();
        assert_eq!(quorum.delivery_limit, Some(5));
        assert!(quorum.single_active_consumer);
        assert_eq!(told("{delivery_limit: none}").unwrap().delivery_limit, None);
        for (queue, said) in [
            (
                "{type: classic, delivery_limit: 5}",
                "only quorum queues have a `delivery_limit`",
            ),
            (
                "{sync_mode: manual}",
                "only mirrored queues have a `sync_mode`",
            ),
            (
                "{promote_on_failure: always}",
                "only mirrored queues have a `promote_on_failure`",
            ),
            ("{count: 0}", "`count` must be a whole number from 1 to 32"),
            (
                "{type: mirrored, sync_mode: auto}",
                "`sync_mode` cannot be `auto`",
            ),
        ] {
            let told = told(queue).unwrap_err();
            assert!(told.contains(said), "{queue}: {told}");
        }
        let long = format!("{{name: {}, count: 2}}", "q".repeat(254));
        assert!(told(&long).unwrap_err().contains("longer than 255 bytes"));
    }
}
