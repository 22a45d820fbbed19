//! What makes a queue let messages go, refuse them, or give them in another order: of the workloads
//! `transient` and `dead-letter`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checks::place;
use super::parse::{HOUR, SECOND, length};
use super::{QueueType, Scenario, Step, WorkloadKind};
use crate::catalog::Group;
use crate::diagnostic::Collector;
use crate::yaml::{Fields, Value};

/// How long a message may stay if it is to be dead-lettered, unless the scenario says.
const TTL_OF_DEAD_LETTERS: Duration = Duration::from_secs(2);

/// A queue's limits; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// `x-message-ttl`: after so many milliseconds a message goes.
    pub message_ttl_ms: Option<u32>,
    /// `x-max-length`: with so many messages in it the queue refuses others.
    pub max_length: Option<u32>,
    /// `x-queue-mode: lazy`: messages are kept on disk only.
    pub lazy: bool,
    /// `x-max-priority`: messages of a higher priority, up to this, are given first.
    pub max_priority: Option<u8>,
}

impl Limits {
    /// Their keys in a scenario, and whether each is set.
    fn keys(&self) -> [(&'static str, bool); 4] {
        [
            ("message_ttl", self.message_ttl_ms.is_some()),
            ("max_length", self.max_length.is_some()),
            ("lazy", self.lazy),
            ("max_priority", self.max_priority.is_some()),
        ]
    }
}

/// Those of the scenario's `queue`.
pub(super) fn parse(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Limits {
    let mut limits = Limits::default();
    if fields.take("message_ttl").is_some() {
        let ttl = length(fields, "message_ttl", SECOND, SECOND / 10..=24 * HOUR, to);
        limits.message_ttl_ms = u32::try_from(ttl.as_millis()).ok();
    }
    let max_length = fields.u64("max_length", 1..=1_000_000_000, to);
    limits.max_length = max_length.and_then(|length| u32::try_from(length).ok());
    limits.lazy = fields.bool("lazy", to).unwrap_or(false);
    let max_priority = fields.u64("max_priority", 1..=255, to);
    limits.max_priority = max_priority.and_then(|priority| u8::try_from(priority).ok());
    limits
}

/// Sets what follows from the workload.
pub(super) fn complete(scenario: &mut Scenario) {
    if scenario.workload.kind == WorkloadKind::DeadLetter {
        let queue = &mut scenario.queue;
        queue.dead_letters = true;
        queue.count = 2;
        let ttl = u32::try_from(TTL_OF_DEAD_LETTERS.as_millis()).ok();
        queue.limits.message_ttl_ms = queue.limits.message_ttl_ms.or(ttl);
    }
}

/// What only shows when the values are seen together.
pub(super) fn check(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    let kind = scenario.workload.kind;
    let limits = &scenario.queue.limits;
    for (key, is_set) in limits.keys() {
        let at = place(tree, &format!("queue.{key}"));
        let is_allowed = match kind {
            WorkloadKind::Transient => true,
            WorkloadKind::DeadLetter => key == "message_ttl",
            WorkloadKind::Queue
            | WorkloadKind::Order
            | WorkloadKind::Lock
            | WorkloadKind::Fifo
            | WorkloadKind::Metadata
            | WorkloadKind::Stream => false,
        };
        if is_set && !is_allowed {
            to.error(
                at,
                format!("`{key}` is not for this workload"),
                "remove it, or choose `workload.kind: transient`, which knows what such a queue may let go",
            );
        }
    }
    if kind == WorkloadKind::Transient && limits.message_ttl_ms.is_some() {
        true_clocks(scenario, tree, to);
    }
    if kind == WorkloadKind::Transient && limits.keys().iter().all(|(_, is_set)| !is_set) {
        to.error(
            place(tree, "workload.kind"),
            "the queue of a `transient` workload has no limit",
            "set `queue.message_ttl`, `max_length`, `lazy` or `max_priority`, or choose `workload.kind: queue`",
        );
    }
    if scenario.queue.kind == QueueType::Quorum {
        for (key, is_set) in [
            ("lazy", limits.lazy),
            ("max_priority", limits.max_priority.is_some()),
        ] {
            if is_set {
                to.error(
                    place(tree, &format!("queue.{key}")),
                    format!("quorum queues have no `{key}`"),
                    "remove it, or choose `type: classic` or `type: mirrored`",
                );
            }
        }
    }
    if kind == WorkloadKind::DeadLetter {
        dead_letters(scenario, tree, to);
    }
}

/// A broker whose clock jumps lets messages go before their time by any other clock, which would look like loss.
fn true_clocks(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    Step::each_of(&scenario.schedule, "schedule", &mut |path, step| {
        let Step::Fault(step) = step else {
            return;
        };
        if step.fault.kind.group == Group::Clock {
            to.error(
                place(tree, path),
                format!(
                    "`{}` makes messages expire at a wrong time",
                    step.fault.kind.name
                ),
                "remove it, or `queue.message_ttl`",
            );
        }
    });
}

fn dead_letters(scenario: &Scenario, tree: &Value, to: &mut Collector<'_>) {
    if scenario.queue.kind != QueueType::Quorum {
        to.error(
            place(tree, "queue.type"),
            "only quorum queues dead-letter at least once",
            "choose `type: quorum`",
        );
    }
    if tree
        .get("queue")
        .is_some_and(|queue| queue.get("count").is_some())
    {
        to.error(
            place(tree, "queue.count"),
            "`dead-letter` has two queues: one that lets messages go, and one that takes them",
            "remove `count`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn read(kind: &str, queue: &str) -> Result<Scenario, String> {
        let text = format!("name: a\nworkload: {{kind: {kind}, amount: 1m}}\nqueue: {{{queue}}}\n");
        match parse("s.yaml", &text, &[]) {
            Ok((scenario, _)) => Ok(scenario),
            Err(told) => Err(told.to_string()),
        }
    }

    #[test]
    fn a_transient_queue_has_what_is_written() {
        let queue =
            "type: mirrored, message_ttl: 90s, max_length: 500, lazy: true, max_priority: 9";
        let scenario = read("transient", queue).unwrap();
        let expected = Limits {
            message_ttl_ms: Some(90_000),
            max_length: Some(500),
            lazy: true,
            max_priority: Some(9),
        };
        assert_eq!(scenario.queue.limits, expected);
        assert_eq!(scenario.queue.published(), 1);
    }

    #[test]
    fn dead_letters_go_from_one_queue_to_the_other() {
        let queue = read("dead-letter", "name: q").unwrap().queue;
        assert_eq!(queue.names(), ["q", "q.2"]);
        assert_eq!(queue.published(), 1);
        assert_eq!(queue.drained(), [(1, "q.2".to_owned())]);
        assert_eq!(queue.limits.message_ttl_ms, Some(2_000));
        let plain = read("queue", "name: q, count: 2").unwrap().queue;
        assert_eq!(plain.published(), 2);
        let both = [(0, "q".to_owned()), (1, "q.2".to_owned())];
        assert_eq!(plain.drained(), both);
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for (kind, queue, said) in [
            (
                "queue",
                "message_ttl: 1m",
                "`message_ttl` is not for this workload",
            ),
            (
                "dead-letter",
                "max_length: 5",
                "`max_length` is not for this workload",
            ),
            ("transient", "type: classic", "has no limit"),
            ("transient", "lazy: true", "quorum queues have no `lazy`"),
            (
                "transient",
                "max_priority: 3",
                "quorum queues have no `max_priority`",
            ),
            ("transient", "max_length: 0", "`max_length`"),
            ("dead-letter", "type: classic", "only quorum queues"),
            ("dead-letter", "count: 2", "has two queues"),
        ] {
            let told = read(kind, queue).unwrap_err();
            assert!(told.contains(said), "{kind} {queue}: {told}");
        }
    }

    #[test]
    fn no_clock_goes_wrong_where_messages_expire() {
        let clock = "name: a\nworkload: {kind: transient}\nqueue: {message_ttl: 1m}\n\
            schedule:\n- {fault: clock-bump, on: leader, by: +90s, duration: 20s}\n";
        let told = parse("s.yaml", clock, &[]).unwrap_err().to_string();
        assert!(
            told.contains("`clock-bump` makes messages expire at a wrong time"),
            "{told}"
        );
        let length = [("queue".to_owned(), "{max_length: 100}".to_owned())];
        assert!(parse("s.yaml", clock, &length).is_ok());
    }
}
