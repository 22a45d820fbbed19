//! The page of metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::event::{Record, Stage};
use crate::progress::{Account, Broker, State};
use crate::workload::Tally;
use crate::workload::tally::{LATENCY_BOUNDS, Latencies};

/// What the body of an answer is.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

const PREFIX: &str = "jtest";

const STAGES: [Stage; 10] = [
    Stage::Connect,
    Stage::Preflight,
    Stage::Deploy,
    Stage::Load,
    Stage::Heal,
    Stage::Recover,
    Stage::Drain,
    Stage::Collect,
    Stage::Check,
    Stage::Report,
];

/// Which run it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
}

/// What a run has told so far; clones are the same page.
#[derive(Debug, Clone)]
pub(super) struct Page(Arc<Told>);

#[derive(Debug)]
struct Told {
    identity: Identity,
    tally: Arc<Tally>,
    state: Mutex<State>,
}

impl Page {
    pub(super) fn new(identity: Identity, tally: Arc<Tally>, state: State) -> Self {
        Self(Arc::new(Told {
            identity,
            tally,
            state: Mutex::new(state),
        }))
    }

    pub(super) fn take(&self, record: &Record) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take(record);
    }

    /// The page as it is now.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        let identity = &self.0.identity;
        out.gauges(
            "run_info",
            "The run, which is always 1",
            [(
                [
                    ("scenario", identity.scenario.clone()),
                    ("seed", identity.seed.to_string()),
                    ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ],
                1,
            )],
        )?;
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.clone();
        out.operations(&self.0.tally)?;
        out.latencies(&self.0.tally)?;
        out.stage(&state)?;
        out.brokers(&state)?;
        let in_force = state.faults.values();
        let in_force = in_force.filter(|fault| fault.since.is_some()).count();
        out.gauge(
            "faults_in_force",
            "Faults injected and not undone",
            in_force,
        )?;
        out.account(&state)
    }
}

/// Writes one metric after another.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn operations(&mut self, tally: &Tally) -> fmt::Result {
        let counts: Vec<_> = tally.counts().collect();
        self.counters(
            "operations_begun",
            "Operations that clients of the node began",
            counts
                .iter()
                .map(|(name, counts)| ([("node", name.0.as_str())], counts.attempts)),
        )?;
        self.counters(
            "operations",
            "Operations of clients of the node that ended, by what came of them",
            counts.iter().flat_map(|(name, counts)| {
                [
                    ("ok", counts.ok),
                    ("fail", counts.fail),
                    ("info", counts.info),
                ]
                .map(|(outcome, count)| ([("node", name.0.as_str()), ("outcome", outcome)], count))
            }),
        )?;
        self.counters(
            "received",
            "Messages that consumers and the drain received from the node",
            counts
                .iter()
                .map(|(name, counts)| ([("node", name.0.as_str())], counts.received)),
        )
    }

    fn latencies(&mut self, tally: &Tally) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(
            "operation_latency_seconds",
            "From the beginning of an operation to its end as ok",
            None,
            MetricType::Histogram,
        )?;
        for (name, latencies) in tally.latencies() {
            let Latencies { counts, sum } = latencies;
            let bounds = LATENCY_BOUNDS.iter().map(|bound| *bound as f64 / 1e9);
            let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
            metric
                .encode_family(&[("node", name.0.as_str())])?
                .encode_histogram::<NoLabelSet>(
                    sum as f64 / 1e9,
                    counts.iter().sum(),
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }

    fn stage(&mut self, state: &State) -> fmt::Result {
        let now = state.stage.map(|(stage, _)| stage);
        self.gauges(
            "stage",
            "1 for the stage that the run is in, 0 for the others",
            STAGES.map(|stage| {
                let is_now = u32::from(now == Some(stage));
                ([("stage", stage.to_string())], is_now)
            }),
        )
    }

    fn brokers(&mut self, state: &State) -> fmt::Result {
        let brokers = state.nodes.iter().filter_map(|(name, _)| {
            let seen = match state.broker(name) {
                Broker::Unknown => return None,
                Broker::Silent | Broker::Down => 0,
                Broker::Alarm(_) | Broker::Apart(_) | Broker::Up => state
                    .view
                    .as_ref()
                    .and_then(|view| view.views.get(name))
                    .map_or(0, |view| view.running.len()),
            };
            Some((name.0.as_str(), seen))
        });
        self.gauges(
            "broker_sees_running",
            "Nodes that the node's broker said last to be running, itself included; 0 without an answer",
            brokers.map(|(name, seen)| ([("node", name)], seen)),
        )
    }

    fn account(&mut self, state: &State) -> fmt::Result {
        let (confirmed, received) = match state.account() {
            Some(Account::Reading {
                confirmed,
                received,
            }) => (confirmed, received),
            Some(Account::Read {
                confirmed,
                received,
                is_proven,
            }) => {
                self.gauge(
                    "drain_proven_complete",
                    "Whether the drain has ended with the proof that everything is read",
                    usize::from(is_proven),
                )?;
                (confirmed, received)
            }
            Some(Account::Unread { .. }) | None => return Ok(()),
        };
        let missing = confirmed.saturating_sub(received);
        self.gauge(
            "drain_still_to_come",
            "Confirmed messages less messages received",
            usize::try_from(missing).unwrap_or(usize::MAX),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::event::{DrainProof, Event, NodeView};
    use crate::inventory::NodeName;
    use crate::progress::Outlook;
    use crate::scenario::testing::scenario;
    use crate::schedule::{FaultId, Plan};

    fn page() -> Page {
        let nodes = ["n1", "n\"2\n"].map(|name| NodeName(name.to_owned()));
        let outlook = Outlook::of(
            &scenario(),
            &Plan::default(),
            nodes.to_vec(),
            Duration::from_secs(60),
        );
        let identity = Identity {
            scenario: "test".to_owned(),
            seed: 7,
        };
        Page::new(identity, Arc::new(Tally::new(nodes)), State::new(outlook))
    }

    fn tell(page: &Page, event: Event) {
        page.take(&Record { time: 0, event });
    }

    #[test]
    fn what_was_told_is_on_the_page() {
        let page = page();
        tell(&page, Event::StageBegan { stage: Stage::Load });
        for fault in [FaultId(1), FaultId(2)] {
            tell(
                &page,
                Event::FaultAsked {
                    fault,
                    kind: "pause".to_owned(),
                    description: "n1".to_owned(),
                    groups: Vec::new(),
                },
            );
        }
        tell(
            &page,
            Event::FaultInjected {
                fault: FaultId(2),
                first: 0,
                last: 0,
                spread_us: None,
            },
        );
        let running = vec![NodeName("n1".to_owned())];
        let view = NodeView {
            running,
            ..NodeView::default()
        };
        tell(
            &page,
            Event::ClusterView {
                views: BTreeMap::from([(NodeName("n1".to_owned()), view)]),
                leader: None,
            },
        );
        insta::assert_snapshot!("page", page.text().unwrap());
    }

    #[test]
    fn what_is_missing_is_told_in_the_drain_alone() {
        let page = page();
        let progress = |ok, received| Event::Progress {
            attempts: ok,
            ok,
            fail: 0,
            info: 0,
            received,
            nodes: BTreeMap::new(),
        };
        tell(&page, Event::StageBegan { stage: Stage::Load });
        tell(&page, progress(10, 0));
        assert!(!page.text().unwrap().contains("still_to_come"));
        tell(
            &page,
            Event::StageBegan {
                stage: Stage::Drain,
            },
        );
        tell(&page, progress(10, 7));
        let text = page.text().unwrap();
        assert!(text.contains("\njtest_drain_still_to_come 3\n"), "{text}");
        assert!(!text.contains("proven_complete"), "{text}");
        let proof = DrainProof {
            complete: true,
            evidence: Vec::new(),
        };
        tell(&page, Event::Drained { proof });
        let text = page.text().unwrap();
        assert!(text.contains("\njtest_drain_proven_complete 1\n"), "{text}");
    }
}
