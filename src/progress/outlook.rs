//! What was planned, as far as whoever watches wants to know it.

use std::time::Duration;

use crate::event::Stage;
use crate::inventory::NodeName;
use crate::scenario::{Amount, Scenario, WorkloadKind};
use crate::schedule::{LOAD_TAIL, Moment, Plan, outline};

/// What was planned.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// The nodes, in their order.
    pub nodes: Vec<NodeName>,
    /// How long after jtest was last heard of the hosts undo every fault.
    pub lease: Duration,
    /// How long the load lasts.
    pub load: Moment,
    /// How many values are published in all, where that is what ends the load.
    pub messages: Option<u64>,
    /// Whether all that is confirmed waits in a queue until the drain: what is received can then be
    /// set against it.
    pub is_queue: bool,
    /// How long other stages may take.
    limits: [(Stage, Duration); 3],
}

impl Outlook {
    /// Of a scenario with its schedule.
    pub fn of(scenario: &Scenario, plan: &Plan, nodes: Vec<NodeName>, lease: Duration) -> Self {
        let steps = outline(plan).end;
        let amount = scenario.workload.amount;
        let clients = match (amount, scenario.workload.rate) {
            (Amount::Schedule, _) => steps.time.saturating_add(LOAD_TAIL),
            (Amount::Duration(duration), _) => duration,
            (Amount::Messages(count), Some(rate)) => {
                Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(Duration::MAX)
            }
            (Amount::Messages(_), None) => Duration::ZERO,
        };
        let messages = match amount {
            Amount::Messages(count) => Some(count.saturating_mul(nodes.len() as u64)),
            Amount::Duration(_) | Amount::Schedule => None,
        };
        Self {
            nodes,
            lease,
            load: Moment {
                time: steps.time.max(clients),
                is_exact: steps.is_exact && messages.is_none(),
            },
            messages,
            is_queue: scenario.workload.kind == WorkloadKind::Queue,
            limits: [
                (Stage::Deploy, scenario.cluster.deploy_timeout),
                (Stage::Recover, scenario.recovery_timeout),
                (Stage::Drain, scenario.drain_timeout),
            ],
        }
    }

    /// How long a stage may take; `None` where that is not the scenario's to say.
    pub fn limit(&self, stage: Stage) -> Option<Duration> {
        let limit = self.limits.iter().find(|(of, _)| *of == stage);
        limit.map(|(_, limit)| *limit)
    }
}
