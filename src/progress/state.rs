//! What the events so far add up to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::outlook::Outlook;
use crate::event::{Event, NodeProgress, NodeView, Record, Stage};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::{AwaitId, FaultId};

/// Rates that are kept for a sparkline: more than any terminal is wide.
const RATES_MAX: usize = 400;

/// Counts that lie closer together than this say nothing of a rate.
const SAMPLE_MIN: Nanos = 500_000_000;

/// What the events so far add up to.
#[derive(Debug, Clone)]
pub struct State {
    /// What was planned.
    pub outlook: Outlook,
    /// The stage, and when it began.
    pub stage: Option<(Stage, Nanos)>,
    /// Counts of all clients.
    pub total: Meter,
    /// Counts of each node's clients, in the order of the nodes.
    pub nodes: Vec<(NodeName, Meter)>,
    /// What the nodes said last of the cluster.
    pub view: Option<View>,
    /// The faults that are asked for and not undone, by number.
    pub faults: BTreeMap<FaultId, InForce>,
    /// The conditions that are waited for, by number.
    pub awaits: BTreeMap<AwaitId, Awaited>,
    /// Whether the drain is proven complete, once it has ended.
    pub drained: Option<bool>,
    /// By what the run was asked to stop.
    pub interrupted: Option<String>,
    sampled: Option<Nanos>,
}

/// Counts, and how fast those grow that matter now: confirms, in the drain receipts.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    /// The counts; `None` where nobody told any.
    pub counts: Option<NodeProgress>,
    /// For each second or so of this stage.
    pub rates: VecDeque<f64>,
    base: u64,
}

/// What the nodes said of the cluster.
#[derive(Debug, Clone)]
pub struct View {
    /// When.
    pub at: Nanos,
    /// Of those that answered.
    pub views: BTreeMap<NodeName, NodeView>,
    /// Who leads the queue, if anybody said so.
    pub leader: Option<NodeName>,
}

/// A fault that was asked for and is not undone.
#[derive(Debug, Clone)]
pub struct InForce {
    /// What, in words.
    pub what: String,
    /// The sides of a cut.
    pub groups: Vec<Vec<NodeName>>,
    /// When the last of its nodes had it; `None` while it is being injected.
    pub since: Option<Nanos>,
    /// Whether it is proven, once that is known.
    pub proven: Option<bool>,
    /// Whether it could not be injected or undone.
    pub failed: bool,
}

/// A condition that is waited for.
#[derive(Debug, Clone)]
pub struct Awaited {
    /// What, in words.
    pub what: String,
    /// Since when.
    pub since: Nanos,
    /// For how long at most.
    pub within: Duration,
}

/// What is known of a node's broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// Nobody has asked yet.
    Unknown,
    /// The host or the broker did not answer.
    Silent,
    /// It answered that it does not run.
    Down,
    /// It blocks publishers.
    Alarm(String),
    /// It sees so many nodes running, which are not all, or it reports a partition.
    Apart(usize),
    /// It sees every node.
    Up,
}

/// What is known of the messages that were confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// They lie in the queue: nothing can be known lost.
    Unread {
        /// How many.
        confirmed: u64,
    },
    /// They are being read.
    Reading {
        /// How many were confirmed.
        confirmed: u64,
        /// How many messages were received, some of them perhaps twice or without a confirm.
        received: u64,
    },
    /// They were read.
    Read {
        /// How many were confirmed.
        confirmed: u64,
        /// How many messages were received.
        received: u64,
        /// Whether all that is there is proven to be read.
        is_proven: bool,
    },
}

impl State {
    /// Nothing has happened yet.
    pub fn new(outlook: Outlook) -> Self {
        let nodes = outlook.nodes.iter();
        Self {
            nodes: nodes.map(|name| (name.clone(), Meter::default())).collect(),
            outlook,
            stage: None,
            total: Meter::default(),
            view: None,
            faults: BTreeMap::new(),
            awaits: BTreeMap::new(),
            drained: None,
            interrupted: None,
            sampled: None,
        }
    }

    /// Takes an event in.
    pub fn take(&mut self, record: &Record) {
        match &record.event {
            Event::StageBegan { stage } => self.begin(*stage, record.time),
            Event::StageEnded { stage, error } => {
                if *stage == Stage::Heal && error.is_none() {
                    self.faults.clear();
                }
            }
            Event::FaultAsked {
                fault,
                kind,
                description,
                groups,
            } => {
                let asked = InForce {
                    what: format!("{kind} {description}"),
                    groups: groups.clone(),
                    since: None,
                    proven: None,
                    failed: false,
                };
                self.faults.insert(*fault, asked);
            }
            Event::FaultInjected { fault, last, .. } => {
                self.fault(*fault, |fault| fault.since = Some(*last));
            }
            Event::FaultProven { fault, proof } => {
                self.fault(*fault, |fault| fault.proven = Some(proof.proven));
            }
            Event::FaultFailed { fault, .. } => self.fault(*fault, |fault| fault.failed = true),
            Event::FaultHealed { fault, .. } => {
                self.faults.remove(fault);
            }
            Event::AwaitBegan {
                condition,
                description,
                within,
                ..
            } => {
                let awaited = Awaited {
                    what: description.clone(),
                    since: record.time,
                    within: *within,
                };
                self.awaits.insert(*condition, awaited);
            }
            Event::AwaitEnded { condition, .. } => {
                self.awaits.remove(condition);
            }
            Event::ClusterView { views, leader } => {
                self.view = Some(View {
                    at: record.time,
                    views: views.clone(),
                    leader: leader.clone(),
                });
            }
            Event::Progress {
                attempts,
                ok,
                fail,
                info,
                received,
                nodes,
            } => {
                let total = NodeProgress {
                    attempts: *attempts,
                    ok: *ok,
                    fail: *fail,
                    info: *info,
                    received: *received,
                };
                self.count(record.time, total, nodes);
            }
            Event::Drained { proof } => self.drained = Some(proof.complete),
            Event::Interrupted { by } => self.interrupted = Some(by.clone()),
            Event::Note { .. }
            | Event::Intervened { .. }
            | Event::FaultIdle { .. }
            | Event::ClockMeasured { .. }
            | Event::HistoryEnded { .. } => {}
        }
    }

    fn begin(&mut self, stage: Stage, at: Nanos) {
        self.stage = Some((stage, at));
        self.sampled = None;
        self.awaits.clear();
        let meters = self.nodes.iter_mut().map(|(_, meter)| meter);
        for meter in meters.chain([&mut self.total]) {
            meter.rates.clear();
        }
    }

    fn fault(&mut self, id: FaultId, change: impl FnOnce(&mut InForce)) {
        if let Some(fault) = self.faults.get_mut(&id) {
            change(fault);
        }
    }

    fn count(&mut self, at: Nanos, total: NodeProgress, nodes: &BTreeMap<NodeName, NodeProgress>) {
        let seconds = match self.sampled {
            None => None,
            Some(before) if at - before < SAMPLE_MIN => return self.hold(total, nodes),
            Some(before) => Some((at - before) as f64 / 1e9),
        };
        self.sampled = Some(at);
        let is_drain = self.is_drain();
        self.total.sample(total, is_drain, seconds);
        for (name, meter) in &mut self.nodes {
            if let Some(counts) = nodes.get(name) {
                meter.sample(*counts, is_drain, seconds);
            }
        }
    }

    /// The counts alone.
    fn hold(&mut self, total: NodeProgress, nodes: &BTreeMap<NodeName, NodeProgress>) {
        self.total.counts = Some(total);
        for (name, meter) in &mut self.nodes {
            if let Some(counts) = nodes.get(name) {
                meter.counts = Some(*counts);
            }
        }
    }

    /// Whether clients receive what others published.
    pub fn is_drain(&self) -> bool {
        matches!(self.stage, Some((Stage::Drain, _)))
    }

    /// What a node's broker is, as far as is known.
    pub fn broker(&self, node: &NodeName) -> Broker {
        let Some(view) = &self.view else {
            return Broker::Unknown;
        };
        match view.views.get(node) {
            None => Broker::Silent,
            Some(view) if view.running.is_empty() => Broker::Down,
            Some(view) if !view.alarms.is_empty() => Broker::Alarm(view.alarms.join(" ")),
            Some(view) if view.running.len() < self.nodes.len() || !view.partitions.is_empty() => {
                Broker::Apart(view.running.len())
            }
            Some(_) => Broker::Up,
        }
    }

    /// Whether the node leads the queue, as far as is known.
    pub fn leads(&self, node: &NodeName) -> bool {
        let leader = self.view.as_ref().and_then(|view| view.leader.as_ref());
        leader == Some(node)
    }

    /// On which side of the last cut in force a node is, counted from 0.
    pub fn side(&self, node: &NodeName) -> Option<usize> {
        let cuts = self.faults.values().rev();
        let cut = cuts
            .filter(|fault| fault.since.is_some())
            .find(|fault| !fault.groups.is_empty())?;
        cut.groups.iter().position(|group| group.contains(node))
    }

    /// What is known of the confirmed messages; `None` where nothing is to be told.
    pub fn account(&self) -> Option<Account> {
        let counts = self.total.counts.filter(|_| self.outlook.is_queue)?;
        let (confirmed, received) = (counts.ok, counts.received);
        let (stage, _) = self.stage?;
        match (self.drained, stage) {
            (Some(is_proven), _) => Some(Account::Read {
                confirmed,
                received,
                is_proven,
            }),
            (None, Stage::Drain) => Some(Account::Reading {
                confirmed,
                received,
            }),
            (None, Stage::Load | Stage::Heal | Stage::Recover) => {
                Some(Account::Unread { confirmed })
            }
            (
                None,
                Stage::Connect
                | Stage::Preflight
                | Stage::Deploy
                | Stage::Collect
                | Stage::Check
                | Stage::Report,
            ) => None,
        }
    }
}

impl Meter {
    fn sample(&mut self, counts: NodeProgress, is_drain: bool, seconds: Option<f64>) {
        let count = if is_drain { counts.received } else { counts.ok };
        if let Some(seconds) = seconds {
            let rate = count.saturating_sub(self.base) as f64 / seconds;
            if self.rates.len() == RATES_MAX {
                self.rates.pop_front();
            }
            self.rates.push_back(rate);
        }
        self.base = count;
        self.counts = Some(counts);
    }

    /// The newest.
    pub fn rate(&self) -> Option<f64> {
        self.rates.back().copied()
    }
}
