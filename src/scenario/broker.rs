//! What which version of the broker can do, and what of a scenario it therefore cannot.
//!
//! Decided by the version alone, before anything on a host is touched.

use std::fmt;

use super::{PartitionHandling, Protocol, QueueType, Scenario, Source};

/// A version of RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokerVersion {
    /// As 3 in 3.10.8.
    pub major: u32,
    /// As 10 in 3.10.8.
    pub minor: u32,
    /// As 8 in 3.10.8.
    pub patch: u32,
}

impl BrokerVersion {
    /// Reads what the broker, or a package manager, calls its version: `3.10.8`, `4.0`,
    /// `1:3.10.8-1.1+deb12u3`, `4.1.0-rc.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let upstream = match text.trim().split_once(':') {
            Some((_epoch, rest)) => rest,
            None => text.trim(),
        };
        let end = upstream
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(upstream.len());
        let mut parts = upstream[..end].split('.').map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        let minor = parts.next()?.ok()?;
        let patch = parts.next().and_then(Result::ok).unwrap_or(0);
        Some(Self {
            major,
            minor,
            patch,
        })
    }

    fn at_least(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for BrokerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Something a scenario asks for that the broker has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for and why it is not to be had.
    pub what: String,
    /// What this broker offers instead.
    pub offer: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.offer)
    }
}

/// What this version of the broker cannot do of the scenario; a run is refused unless this
/// is empty.
pub fn refusals(scenario: &Scenario, version: BrokerVersion) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if !version.at_least(3, 7) && scenario.cluster.source != Source::Existing {
        refusals.push(Refusal {
            what: format!("RabbitMQ {version} does not read the rabbitmq.conf that jtest writes"),
            offer: "use RabbitMQ 3.7 or newer, or set the cluster up yourself and use `source: existing`"
                .to_owned(),
        });
    }
    if scenario.queue.single_active_consumer && !version.at_least(3, 8) {
        refusals.push(Refusal {
            what: format!("RabbitMQ {version} has no single active consumer: it came with 3.8"),
            offer: "remove `queue.single_active_consumer`, or use 3.8 or newer".to_owned(),
        });
    }
    if scenario.queue.promote_on_failure.is_some() && !version.at_least(3, 8) {
        refusals.push(Refusal {
            what: format!(
                "RabbitMQ {version} may not know `ha-promote-on-failure`: it came with 3.7.5"
            ),
            offer: "remove `queue.promote_on_failure`, or use 3.8 or newer".to_owned(),
        });
    }
    let limits = &scenario.queue.limits;
    let is_quorum = scenario.queue.kind == QueueType::Quorum;
    if scenario.queue.dead_letters && !version.at_least(3, 10) {
        refusals.push(Refusal {
            what: format!(
                "quorum queues of RabbitMQ {version} do not dead-letter at least once: that came with 3.10"
            ),
            offer: "use 3.10 or newer".to_owned(),
        });
    } else if is_quorum && limits.message_ttl_ms.is_some() && !version.at_least(3, 10) {
        refusals.push(Refusal {
            what: format!(
                "quorum queues of RabbitMQ {version} have no message TTL: it came with 3.10"
            ),
            offer: "use 3.10 or newer, or `--set queue.type=classic`".to_owned(),
        });
    }
    if scenario.workload.protocol == Protocol::Amqp10 && !version.at_least(4, 0) {
        refusals.push(Refusal {
            what: format!(
                "RabbitMQ {version} does not serve AMQP 1.0 by itself: 4.0 is the first that does"
            ),
            offer: "use 4.0 or newer, or `--set workload.protocol=amqp-0-9-1`".to_owned(),
        });
    }
    match scenario.queue.kind {
        QueueType::Mirrored if version.at_least(4, 0) => refusals.push(Refusal {
            what: format!("RabbitMQ {version} has no mirrored queues: 4.0 removed them"),
            offer: "it replicates with quorum queues (`--set queue.type=quorum`, or the scenario \
                    `partitions`); for mirrors use RabbitMQ 3.x, as in Debian 11 and 12"
                .to_owned(),
        }),
        QueueType::Quorum if !version.at_least(3, 8) => refusals.push(Refusal {
            what: format!("RabbitMQ {version} has no quorum queues: they came with 3.8"),
            offer: "it replicates with mirrored queues: `--set queue.type=mirrored`, or the \
                    scenario `mirrored-pause-minority`"
                .to_owned(),
        }),
        QueueType::Stream if !version.at_least(3, 9) => refusals.push(Refusal {
            what: format!("RabbitMQ {version} has no streams: they came with 3.9"),
            offer: "use 3.9 or newer, or the scenario `order` on a quorum queue".to_owned(),
        }),
        QueueType::Classic | QueueType::Mirrored | QueueType::Quorum | QueueType::Stream => {}
    }
    refusals
}

/// What this version of the broker accepts of the scenario but does not do; worth telling,
/// no reason to refuse.
pub fn without_effect(scenario: &Scenario, version: BrokerVersion) -> Vec<String> {
    let mut told = Vec::new();
    if scenario.queue.limits.lazy && version.at_least(3, 12) {
        told.push(format!(
            "RabbitMQ {version} accepts `lazy` but does nothing with it: from 3.12 on all classic queues are alike"
        ));
    }
    let handling = match scenario.cluster.partition_handling {
        PartitionHandling::Ignore => None,
        PartitionHandling::PauseMinority => Some("pause_minority"),
        PartitionHandling::Autoheal => Some("autoheal"),
    };
    if let Some(handling) = handling.filter(|_| version.at_least(4, 3)) {
        told.push(format!(
            "RabbitMQ {version} accepts `partition_handling: {handling}` but does nothing with it: \
             its metadata store is a Raft cluster that needs a majority anyway"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{BrokerVersion, refusals, without_effect};
    use crate::scenario::{PartitionHandling, Protocol, QueueType, Scenario, Source, testing};

    #[test]
    fn limits_of_quorum_queues_came_with_3_10() {
        let mut scenario = testing::scenario();
        scenario.queue.limits.message_ttl_ms = Some(1000);
        assert_eq!(refusals(&scenario, version("3.8.9")).len(), 1);
        assert!(refusals(&scenario, version("3.10.8")).is_empty());
        scenario.queue.dead_letters = true;
        assert_eq!(refusals(&scenario, version("3.9.13")).len(), 1);
        assert!(refusals(&scenario, version("4.0.5")).is_empty());
        scenario.queue.kind = QueueType::Classic;
        scenario.queue.dead_letters = false;
        scenario.queue.limits.lazy = true;
        assert!(refusals(&scenario, version("3.8.9")).is_empty());
        assert!(without_effect(&scenario, version("3.10.8")).is_empty());
        assert_eq!(without_effect(&scenario, version("3.13.0")).len(), 1);
    }

    fn version(text: &str) -> BrokerVersion {
        BrokerVersion::parse(text).unwrap()
    }

    #[test]
    fn versions_as_brokers_and_packages_write_them() {
        for (text, expected) in [
            ("3.10.8", "3.10.8"),
            ("3.10.8-1.1+deb12u3", "3.10.8"),
            ("1:4.0.5-8", "4.0.5"),
            ("4.1.0-rc.1", "4.1.0"),
            ("4.3", "4.3.0"),
            (" 4.0.5\n", "4.0.5"),
        ] {
            assert_eq!(version(text).to_string(), expected, "{text}");
        }
        for text in ["", "4", "four", "4.x", ":", "-1.2", "99999999999.1.1"] {
            assert_eq!(BrokerVersion::parse(text), None, "{text}");
        }
        assert!(version("3.10.8") > version("3.8.9"));
    }

    fn asks_for(kind: QueueType) -> Scenario {
        let mut scenario = testing::scenario();
        scenario.queue.kind = kind;
        scenario
    }

    #[test]
    fn refuses_exactly_what_the_broker_has_not() {
        for (kind, broker, refused) in [
            (QueueType::Quorum, "3.7.28", true),
            (QueueType::Quorum, "3.8.9", false),
            (QueueType::Quorum, "3.10.8", false),
            (QueueType::Quorum, "4.0.5", false),
            (QueueType::Quorum, "4.3.6", false),
            (QueueType::Stream, "3.8.9", true),
            (QueueType::Stream, "3.10.8", false),
            (QueueType::Mirrored, "3.6.5", true),
            (QueueType::Mirrored, "3.7.28", false),
            (QueueType::Mirrored, "3.13.7", false),
            (QueueType::Mirrored, "4.0.0", true),
            (QueueType::Mirrored, "4.3.6", true),
            (QueueType::Classic, "3.6.5", true),
            (QueueType::Classic, "4.3.6", false),
        ] {
            let found = refusals(&asks_for(kind), version(broker));
            assert_eq!(
                !found.is_empty(),
                refused,
                "{kind:?} on {broker}: {found:?}"
            );
        }
    }

    #[test]
    fn amqp_1_0_came_with_4_0() {
        let mut scenario = asks_for(QueueType::Quorum);
        assert!(refusals(&scenario, version("3.13.7")).is_empty());
        scenario.workload.protocol = Protocol::Amqp10;
        assert!(refusals(&scenario, version("4.0.5")).is_empty());
        let refused = refusals(&scenario, version("3.13.7"));
        insta::assert_snapshot!(refused[0], @"RabbitMQ 3.13.7 does not serve AMQP 1.0 by itself: 4.0 is the first that does; use 4.0 or newer, or `--set workload.protocol=amqp-0-9-1`");
    }

    #[test]
    fn an_existing_cluster_is_not_configured() {
        let mut scenario = asks_for(QueueType::Classic);
        scenario.cluster.source = Source::Existing;
        assert_eq!(refusals(&scenario, version("3.6.5")), []);
    }

    #[test]
    fn a_refusal_tells_what_there_is_instead() {
        let told = refusals(&asks_for(QueueType::Mirrored), version("4.0.5"));
        insta::assert_snapshot!(told[0], @"RabbitMQ 4.0.5 has no mirrored queues: 4.0 removed them; it replicates with quorum queues (`--set queue.type=quorum`, or the scenario `partitions`); for mirrors use RabbitMQ 3.x, as in Debian 11 and 12");
    }

    #[test]
    fn partition_handling_is_idle_where_there_is_no_mnesia() {
        let mut scenario = testing::scenario();
        assert!(without_effect(&scenario, version("4.0.5")).is_empty());
        assert_eq!(without_effect(&scenario, version("4.3.6")).len(), 1);
        scenario.cluster.partition_handling = PartitionHandling::Ignore;
        assert!(without_effect(&scenario, version("4.3.6")).is_empty());
    }
}
