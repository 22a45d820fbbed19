//! A scenario for unit tests, to be changed where a test needs another.

use std::time::Duration;

use super::{
    Amount, Cluster, Consumers, PartitionHandling, Protocol, Queue, QueueType, Scenario, Source,
    Workload, WorkloadKind, checking,
};

/// A quorum queue on every node, a short load, no fault.
pub fn scenario() -> Scenario {
    let queue = Queue::new("jtest.queue", QueueType::Quorum);
    let workload = Workload {
        kind: WorkloadKind::Queue,
        protocol: Protocol::default(),
        amount: Amount::Schedule,
        rate: Some(50.0),
        window: 100,
        confirm_timeout: Duration::from_secs(10),
        resends: 0,
        reconnects: 1000,
        reconnect_pause: Duration::from_secs(1),
        body_bytes: 128,
        hold: Duration::ZERO,
        producers: 1,
        consumers: Consumers::new(0),
    };
    Scenario {
        name: "test".to_owned(),
        description: String::new(),
        cluster: Cluster {
            source: Source::Apt,
            version: None,
            nodes: None,
            partition_handling: PartitionHandling::PauseMinority,
            net_ticktime_s: 8,
            systemd_restart: true,
            deploy_timeout: Duration::from_secs(300),
        },
        checks: checking::defaults(&workload, &queue),
        queue,
        workload,
        schedule: Vec::new(),
        recovery_timeout: Duration::from_secs(180),
        drain_timeout: Duration::from_secs(180),
    }
}
