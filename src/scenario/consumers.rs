//! Consumers that read while the producers publish.

use serde::{Deserialize, Serialize};

use super::checks::place;
use super::{Scenario, WorkloadKind};
use crate::diagnostic::Collector;
use crate::yaml::{Fields, Value};

/// Clients of one kind at each node.
pub(super) const CLIENTS_MAX: u64 = 32;

/// How consumers come by messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receiving {
    /// They subscribe.
    Push,
    /// They ask for one message after another.
    Get,
    /// Of those of one queue every other subscribes, the first among them.
    Mixed,
}

impl Receiving {
    /// All, by their words.
    pub const WORDS: [(&str, Self); 3] = [
        ("push", Self::Push),
        ("get", Self::Get),
        ("mixed", Self::Mixed),
    ];
}

/// Consumers that read while the producers publish, each one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumers {
    /// How many there are at each node.
    pub count: u32,
    /// How they come by messages.
    pub by: Receiving,
    /// How many messages a subscriber may have and not have acknowledged.
    pub prefetch: u16,
    /// How many messages are acknowledged at once, at most.
    pub ack_batch: u16,
}

impl Consumers {
    /// So many at each node, and nothing special about them.
    pub fn new(count: u32) -> Self {
        Self {
            count,
            by: Receiving::Push,
            prefetch: 100,
            ack_batch: 1,
        }
    }
}

/// The workload's `consumers`.
pub(super) fn parse(
    fields: Option<Fields<'_>>,
    kind: WorkloadKind,
    to: &mut Collector<'_>,
) -> Consumers {
    let mut consumers = Consumers::new(u32::from(kind == WorkloadKind::Order));
    let Some(mut fields) = fields else {
        return consumers;
    };
    let count = fields.u64("count", 0..=CLIENTS_MAX, to);
    consumers.count = count
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(consumers.count);
    if kind == WorkloadKind::Stream {
        fields.finish(to);
        return consumers;
    }
    let by = fields.choice("by", &Receiving::WORDS, to);
    consumers.by = by.unwrap_or(consumers.by);
    if consumers.by == Receiving::Get
        && let Some(prefetch) = fields.take("prefetch")
    {
        to.warning(
            prefetch.place,
            "`prefetch` has no effect: those that get ask for one message after another",
            "remove it, or write `by: push` or `by: mixed`",
        );
    }
    for (key, target) in [
        ("prefetch", &mut consumers.prefetch),
        ("ack_batch", &mut consumers.ack_batch),
    ] {
        let given = fields.u64(key, 1..=u64::from(u16::MAX), to);
        *target = given
            .and_then(|given| u16::try_from(given).ok())
            .unwrap_or(*target);
    }
    fields.finish(to);
    consumers
}

/// What only shows when the values are seen together.
pub(super) fn check(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let Scenario {
        workload, queue, ..
    } = scenario;
    let consumers = &workload.consumers;
    if !workload.kind.has_many_queues() && queue.count > 1 && !queue.dead_letters {
        to.error(
            place(tree, "queue.count"),
            "this workload uses one queue",
            "remove `count`, or choose the workload `queue` or `order`",
        );
    }
    if workload.kind == WorkloadKind::Order && consumers.count == 0 {
        to.error(
            place(tree, "workload.consumers.count"),
            "nobody would read, so that no order can be seen",
            "leave it out, or ask for at least 1",
        );
    }
    if consumers.count == 0 {
        return;
    }
    if workload.kind == WorkloadKind::Order && !queue.single_active_consumer && consumers.count > 1
    {
        to.error(
            place(tree, "workload.consumers.count"),
            "without a single active consumer, each queue has one consumer in all",
            "leave it out, or write `queue.single_active_consumer: true`",
        );
    }
    if queue.single_active_consumer && consumers.by != Receiving::Push {
        to.error(
            place(tree, "workload.consumers.by"),
            "a queue with a single active consumer does not answer those that get",
            "write `by: push`, or remove `queue.single_active_consumer`",
        );
    }
    if consumers.by == Receiving::Push && consumers.ack_batch > consumers.prefetch {
        to.warning(
            place(tree, "workload.consumers.ack_batch"),
            "`ack_batch` is more than a subscriber may have unacknowledged",
            "ask for at most `prefetch`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn told(text: &str) -> Result<Consumers, String> {
        match parse("s.yaml", &format!("name: a\n{text}"), &[]) {
            Ok((scenario, _)) => Ok(scenario.workload.consumers),
            Err(told) => Err(told.to_string()),
        }
    }

    #[test]
    fn consumers_are_asked_for_by_name() {
        let asked =
            "workload: {amount: 1m, consumers: {count: 2, by: mixed, prefetch: 10, ack_batch: 5}}";
        let consumers = Consumers {
            count: 2,
            by: Receiving::Mixed,
            prefetch: 10,
            ack_batch: 5,
        };
        assert_eq!(told(asked).unwrap(), consumers);
        assert_eq!(told("workload: {amount: 1m}").unwrap(), Consumers::new(0));
        let order = told("workload: {kind: order, amount: 1m}");
        assert_eq!(order.unwrap(), Consumers::new(1));
    }

    #[test]
    fn what_has_no_effect_is_told() {
        for (by, expected) in [
            ("push", ""),
            ("get", "`prefetch` has no effect"),
            ("mixed", ""),
        ] {
            let text = format!(
                "name: a\nworkload: {{amount: 1m, consumers: {{count: 2, by: {by}, prefetch: 10}}}}"
            );
            let (_, warnings) = parse("s.yaml", &text, &[]).unwrap();
            let warnings = warnings.to_string();
            assert!(warnings.contains(expected), "{by}: {warnings}");
            assert_eq!(warnings.is_empty(), expected.is_empty(), "{by}: {warnings}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        for (text, said) in [
            (
                "workload: {kind: lock, amount: 1m, consumers: {count: 1}}",
                "the workload `lock` has no `consumers`",
            ),
            (
                "workload: {kind: dead-letter, amount: 1m, consumers: {count: 1}}",
                "the workload `dead-letter` has no `consumers`",
            ),
            (
                "workload: {kind: fifo, amount: 1m}\nqueue: {count: 2}",
                "this workload uses one queue",
            ),
            (
                "workload: {kind: order, amount: 1m, consumers: {count: 0}}",
                "no order can be seen",
            ),
            (
                "workload: {kind: order, amount: 1m, consumers: {count: 2}}",
                "each queue has one consumer in all",
            ),
            (
                "workload: {amount: 1m, consumers: {count: 2, by: get}}\nqueue: {single_active_consumer: true}",
                "does not answer those that get",
            ),
            (
                "workload: {kind: stream, amount: 1m, consumers: {by: get}}\nqueue: {type: stream}",
                "unknown key `by`",
            ),
            (
                "workload: {kind: stream, amount: 1m}\nqueue: {type: stream, count: 2}",
                "this workload uses one queue",
            ),
            (
                "workload: {kind: stream, amount: 1m}",
                "a stream and the workload `stream` need each other",
            ),
            (
                "workload: {amount: 1m}\nqueue: {type: stream}",
                "a stream and the workload `stream` need each other",
            ),
            (
                "workload: {amount: 1m, consumers: {by: pull}}",
                "`by` cannot be `pull`",
            ),
        ] {
            let told = told(text).unwrap_err();
            assert!(told.contains(said), "{text}: {told}");
        }
    }
}
