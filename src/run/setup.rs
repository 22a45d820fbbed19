//! The stages before the load: connect, preflight, deploy.
//!
//! Nothing has been injected yet, so an error here ends the run; the logs of a failed deployment
//! are brought home, and what was taken (the hold on the hosts) is given back first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::event::{Emit, Stage};
use crate::fault::hold::{Hold, HoldError, Holder};
use crate::fault::{self, Target};
use crate::inventory::{Node, NodeName};
use crate::manifest::{FORMAT_VERSION, Manifest, ManifestNode, NodeFacts};
use crate::node::abilities::Abilities;
use crate::node::clock_offset::ClockOffset;
use crate::node::facts;
use crate::rabbitmq::deploy::DeployError;
use crate::rabbitmq::{Broker, Member, collect};
use crate::remote::{self, Host};
use crate::scenario::{FaultSpec, Scenario};
use crate::schedule::{self, Plan};

use super::interrupt::Urgency;
use super::stage::StageError;
use super::{NODES_DIRECTORY, Refusal, Run};

const CONNECT_DEADLINE: Duration = Duration::from_secs(180);
const PREFLIGHT_DEADLINE: Duration = Duration::from_secs(60);

/// Hosts that are held, known and run a whole cluster.
pub struct Ready {
    /// The hold on the hosts, with its lease.
    pub hold: Hold,
    /// The hosts' clocks against ours, where known.
    pub offsets: BTreeMap<NodeName, ClockOffset>,
    /// The cluster.
    pub broker: Broker,
}

struct Held {
    hosts: Vec<Host>,
    hold: Hold,
}

impl Run {
    /// From nothing to a cluster that is proven ready, and `run.json`.
    pub(super) async fn set_up(&mut self) -> anyhow::Result<Ready> {
        let held = self
            .stages
            .stage(
                Stage::Connect,
                CONNECT_DEADLINE,
                Urgency::Stop,
                self.connect(),
            )
            .await
            .map_err(cause)?;
        match self.prepare(&held.hosts).await {
            Ok((offsets, broker)) => Ok(Ready {
                hold: held.hold,
                offsets,
                broker,
            }),
            Err(error) => {
                held.hold.release().await;
                Err(error)
            }
        }
    }

    pub(super) fn node_names(&self) -> Vec<NodeName> {
        self.plan.node_names()
    }

    async fn connect(&self) -> anyhow::Result<Held> {
        let hosts = connect_all(&self.plan.inventory.nodes, &self.plan.connect).await?;
        let holder = Holder {
            run_id: self.run_id.clone(),
            ..holder(self.started)
        };
        let nodes = &self.plan.inventory.nodes;
        let emit = self.stages.emit.clone();
        let hold = take_hold(nodes, &hosts, holder, self.plan.lease, emit).await?;
        Ok(Held { hosts, hold })
    }

    async fn prepare(
        &mut self,
        hosts: &[Host],
    ) -> anyhow::Result<(BTreeMap<NodeName, ClockOffset>, Broker)> {
        let (facts, fitting) = self
            .stages
            .stage(Stage::Preflight, PREFLIGHT_DEADLINE, Urgency::Stop, async {
                Ok((facts_of(hosts).await?, self.fit_to(hosts).await?))
            })
            .await
            .map_err(cause)?;
        if let Some((scenario, schedule)) = fitting {
            self.plan.scenario = scenario;
            self.plan.schedule = schedule;
        }
        let (broker, facts) = self.deploy_stage(hosts, facts).await?;
        let offsets = offsets(&self.node_names(), &facts);
        self.write_manifest(Some(facts))?;
        Ok((offsets, broker))
    }

    /// The cluster, and the facts with what the deployment installed; without one, the hosts' logs.
    async fn deploy_stage(
        &self,
        hosts: &[Host],
        facts: Vec<NodeFacts>,
    ) -> anyhow::Result<(Broker, Vec<NodeFacts>)> {
        let deadline = self.plan.scenario.cluster.deploy_timeout;
        let members = members(&self.plan.inventory.nodes, hosts);
        let work = async {
            let broker = self.deploy(members.clone()).await?;
            let is_new = facts.iter().any(|facts| facts.rabbitmq.is_none());
            let facts = if is_new {
                facts_of(hosts).await?
            } else {
                facts
            };
            Ok((broker, facts))
        };
        let deployed = self
            .stages
            .stage(Stage::Deploy, deadline, Urgency::Stop, work)
            .await
            .map_err(cause);
        if let Err(error) = &deployed
            && !error.is::<Refusal>()
        {
            let home = self.directory.join(NODES_DIRECTORY);
            let queue = &self.plan.scenario.queue;
            let since = self.started.as_second();
            self.collect(collect::collect(&members, "/", queue, &home, since))
                .await;
        }
        deployed
    }

    /// Before anything is touched: each fault of the plan needs something of the hosts. What a mix may choose is left out
    /// where they lack it, and all is drawn anew from the rest; anything else that they lack is refused.
    async fn fit_to(&self, hosts: &[Host]) -> anyhow::Result<Option<(Scenario, Plan)>> {
        if self.plan.schedule.faults().is_empty() {
            return Ok(None);
        }
        let mut abilities = Vec::new();
        for asked in join_all(hosts.iter().map(Abilities::of)).await {
            abilities.push(asked?);
        }
        let missing = RefCell::new(BTreeSet::new());
        let is_impossible = |fault: &FaultSpec| {
            let needs = schedule::needs(fault.kind, &fault.settings);
            let lacking = hosts.iter().zip(&abilities).find_map(|(host, abilities)| {
                let words = abilities
                    .lacking(&needs)
                    .filter(|_| fault.may_touch(host.node()))?;
                Some(format!(
                    "{} needs {words}, and {} has not",
                    fault.kind.name,
                    host.node()
                ))
            });
            let is_impossible = lacking.is_some();
            missing.borrow_mut().extend(lacking);
            is_impossible
        };
        let scenario = self.plan.scenario.spared(&is_impossible);
        let mut fitting = None;
        if scenario != self.plan.scenario {
            for words in missing.take() {
                let text = format!("left out of what is chosen at random: {words}");
                self.stages.emit.note(None, text);
            }
            let plan = schedule::plan(&scenario, &self.node_names(), self.plan.seed)?;
            fitting = Some((scenario, plan));
        }
        let plan = fitting
            .as_ref()
            .map_or(&self.plan.schedule, |(_, plan)| plan);
        refuse_what_hosts_cannot_have(plan, hosts, &abilities)?;
        Ok(fitting)
    }

    async fn deploy(&self, members: Vec<Member>) -> anyhow::Result<Broker> {
        let scenario = &self.plan.scenario;
        let emit = self.stages.emit.as_ref();
        match Broker::deploy(members, scenario, emit).await {
            Err(DeployError::Refused(reason)) => bail!(Refusal(reason)),
            deployed => Ok(deployed?),
        }
    }

    /// `run.json`: without the facts of the hosts as long as nobody has asked them.
    pub(super) fn write_manifest(&self, facts: Option<Vec<NodeFacts>>) -> anyhow::Result<()> {
        let nodes = self.plan.inventory.nodes.iter();
        let mut facts = facts.unwrap_or_default().into_iter();
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            jtest_version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: self.run_id.clone(),
            started: self.started.to_string(),
            command: self.plan.command.clone(),
            seed: self.plan.seed,
            scenario: self.plan.scenario.clone(),
            nodes: nodes
                .map(|node| ManifestNode {
                    name: node.name.clone(),
                    address: node.address.clone(),
                    peer_address: node.peer_address().to_owned(),
                    facts: facts.next(),
                })
                .collect(),
            schedule: self.plan.schedule.clone(),
        };
        manifest.write(&self.directory).context("write run.json")
    }
}

/// What every host is.
async fn facts_of(hosts: &[Host]) -> anyhow::Result<Vec<NodeFacts>> {
    let facts = join_all(hosts.iter().map(facts::gather)).await;
    Ok(facts.into_iter().collect::<Result<_, _>>()?)
}

fn refuse_what_hosts_cannot_have(
    plan: &Plan,
    hosts: &[Host],
    abilities: &[Abilities],
) -> anyhow::Result<()> {
    let mut lacking = BTreeSet::new();
    for (host, abilities) in hosts.iter().zip(abilities) {
        for timed in plan.faults() {
            if timed.fault.may_touch(host.node())
                && let Some(words) = abilities.lacking(&timed.fault.needs())
            {
                let kind = timed.fault.kind.name;
                lacking.insert(format!("{}: {kind} needs {words}", host.node()));
            }
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let lacking: Vec<_> = lacking.into_iter().collect();
    bail!(Refusal(lacking.join("\n")))
}

/// Connects to all hosts or to none.
pub async fn connect_all(
    nodes: &[Node],
    options: &remote::ConnectOptions,
) -> anyhow::Result<Vec<Host>> {
    let mut hosts = Vec::new();
    let mut errors = Vec::new();
    for (_, outcome) in remote::connect_all(nodes, options).await {
        match outcome {
            Ok(host) => hosts.push(host),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if !errors.is_empty() {
        bail!(
            "{} of {} hosts cannot be used:\n  {}\n`jtest doctor` checks them one by one",
            errors.len(),
            nodes.len(),
            errors.join("\n  ")
        );
    }
    Ok(hosts)
}

/// This process, to those who find the hosts held.
pub fn holder(since: Timestamp) -> Holder {
    Holder {
        run_id: new_id(),
        who: who(),
        pid: std::process::id(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        since: since.to_string(),
    }
}

/// Random, and not of the seed: two runs with one seed must tell their messages apart.
pub fn new_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Takes the hosts, all or none; that another jtest has them is a [`Refusal`].
pub async fn take_hold(
    nodes: &[Node],
    hosts: &[Host],
    holder: Holder,
    lease: Duration,
    emit: Arc<dyn Emit>,
) -> anyhow::Result<Hold> {
    let (targets, control) = addresses(nodes, hosts).await?;
    match Hold::acquire(Arc::new(targets), holder, lease, control, emit).await {
        Err(error @ HoldError::HeldBy { .. }) => Err(Refusal(error.to_string()).into()),
        taken => Ok(taken?),
    }
}

/// Every node as a cluster's member.
pub fn members(nodes: &[Node], hosts: &[Host]) -> Vec<Member> {
    nodes
        .iter()
        .zip(hosts)
        .map(|(node, host)| Member {
            name: node.name.clone(),
            host: host.clone(),
            address: node.address.clone(),
            peer_address: node.peer_address().to_owned(),
            is_disposable: node.disposable,
        })
        .collect()
}

/// Every node as a target of faults; and every address under which the hosts may see us.
async fn addresses(nodes: &[Node], hosts: &[Host]) -> anyhow::Result<(Vec<Target>, Vec<IpAddr>)> {
    let asked = join_all(
        nodes
            .iter()
            .zip(hosts)
            .map(|(node, host)| fault::addresses(host, node.peer_address())),
    )
    .await;
    let mut targets = Vec::new();
    let mut control = Vec::new();
    for ((node, host), addresses) in nodes.iter().zip(hosts).zip(asked) {
        let addresses = addresses?;
        let towards = addresses.own.iter().copied();
        control.extend(towards.filter_map(fault::local_address_towards));
        control.extend(addresses.control);
        targets.push(Target {
            name: node.name.clone(),
            host: host.clone(),
            addresses: addresses.own,
            is_disposable: node.disposable,
        });
    }
    control.sort_unstable();
    control.dedup();
    Ok((targets, control))
}

fn offsets(names: &[NodeName], facts: &[NodeFacts]) -> BTreeMap<NodeName, ClockOffset> {
    names
        .iter()
        .zip(facts)
        .filter_map(|(name, facts)| {
            let offset = ClockOffset {
                offset_us: facts.clock_offset_us?,
                error_us: facts.clock_error_us?,
            };
            Some((name.clone(), offset))
        })
        .collect()
}

/// `user@host`, for those who find the hosts held, and for their logs.
pub fn who() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", user.as_deref().unwrap_or("root"), host.trim())
}

/// A failed stage is its work's error, so that a [`Refusal`] is seen as one.
fn cause(error: StageError) -> anyhow::Error {
    match error {
        StageError::Failed(error) => error,
        other => other.into(),
    }
}
