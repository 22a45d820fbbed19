//! The hosts in somebody's hand: held under one name for all verbs, so that one adds to what
//! another did, and left to the lease when the verb ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::HandArgs;
use crate::catalog::Lasting;
use crate::cli::deploy::Notes;
use crate::cli::{Outcome, print};
use crate::clock::RunClock;
use crate::diagnostic::visible;
use crate::event::Proof;
use crate::fault::hold::{HEAL_DEADLINE, Hold, Holder};
use crate::fault::status::Status;
use crate::fault::{self, Field};
use crate::inventory::{Inventory, NodeName};
use crate::node::abilities::Abilities;
use crate::node::clock_offset;
use crate::rabbitmq::PEER_PORT;
use crate::remote::Host;
use crate::run::setup;
use crate::schedule::{PlannedFault, moment_proof_max, words};

/// The name of the hold that all verbs share.
const HOLD: &str = "by-hand";

/// For a fault to be proven, where it is not to be undone before.
const PROOF_DEADLINE: Duration = Duration::from_secs(60);

/// The same where it is: one that ends before anybody could look at it proves nothing.
const PROOF_MIN: Duration = Duration::from_secs(20);

/// The hosts, held.
pub(super) struct Hand {
    hosts: Vec<Host>,
    hold: Hold,
    field: Field,
}

impl Hand {
    pub(super) async fn take(args: &HandArgs, inventory: &Inventory) -> anyhow::Result<Self> {
        let hosts = setup::connect_all(&inventory.nodes, &args.target.options()).await?;
        let holder = Holder {
            run_id: HOLD.to_owned(),
            ..setup::holder(Timestamp::now())
        };
        let notes = Arc::new(Notes);
        let hold = setup::take_hold(&inventory.nodes, &hosts, holder, args.lease, notes).await?;
        let mut offsets = BTreeMap::new();
        let measured = join_all(hosts.iter().map(clock_offset::measure)).await;
        for (host, offset) in hosts.iter().zip(measured) {
            if let Ok(Some(offset)) = offset {
                offsets.insert(host.node().clone(), offset);
            }
        }
        let field = Field {
            targets: Arc::clone(hold.targets()),
            control: hold.control().to_vec(),
            run_id: HOLD.to_owned(),
            lease: args.lease,
            peer_port: PEER_PORT,
            queue: args.queue.clone(),
            away: hold.away().clone(),
            heal_deadline: HEAL_DEADLINE,
            clock: RunClock::start(),
            offsets,
        };
        Ok(Self { hosts, hold, field })
    }

    /// Injects a fault and proves it; undoes it again after a time, if one is given.
    pub(super) async fn inject(
        self,
        planned: &PlannedFault,
        lasts: Option<Duration>,
    ) -> anyhow::Result<Outcome> {
        let outcome = self.exercise(planned, lasts).await;
        self.end().await?;
        outcome
    }

    /// The same, and the hosts stay in hand.
    pub(super) async fn exercise(
        &self,
        planned: &PlannedFault,
        lasts: Option<Duration>,
    ) -> anyhow::Result<Outcome> {
        self.must_allow(planned).await?;
        let key = self.next_key().await?;
        let mut fault = fault::plan(planned, &key, &self.field, None)?;
        let asked = fault.asked();
        print(&format!(
            "{key}: {} {}\n",
            asked.kind,
            visible(&asked.description)
        ))?;
        fault.prepare().await;
        let injected = match fault.inject().await {
            Ok(injected) => injected,
            Err(error) => {
                if let Err(error) = fault.heal().await {
                    eprintln!("{}", visible(&error.to_string()));
                }
                bail!(error);
            }
        };
        if let Some(spread) = injected.spread_us {
            print(&format!("on all its nodes within {spread} µs\n"))?;
        }
        let now = Instant::now();
        let (proof_until, heal_at) = match (planned.kind.lasting, lasts) {
            (Lasting::Moment, _) => (now + moment_proof_max(&planned.kind), Some(now)),
            (Lasting::Lasting, Some(lasts)) => (now + lasts.max(PROOF_MIN), Some(now + lasts)),
            (Lasting::Lasting, None) => (now + PROOF_DEADLINE, None),
        };
        let proof = fault.prove(proof_until).await;
        if fault.is_idle() {
            print("nothing to do:\n")?;
            tell_lines(&proof)?;
        } else {
            tell("proven", &proof)?;
        }
        let mut is_good = proof.proven;
        if let Some(heal_at) = heal_at {
            tokio::select! {
                () = tokio::time::sleep_until(heal_at) => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            let healed = fault.heal().await?.proof;
            tell("healed", &healed)?;
            is_good &= healed.proven;
        } else {
            let lease = self.field.lease.as_secs();
            print(&format!(
                "in force until it is undone; the hosts undo it by themselves in {lease} s\n"
            ))?;
        }
        Ok(if is_good {
            Outcome::Done
        } else {
            Outcome::NotInOrder
        })
    }

    /// Undoes the faults of these kinds on these nodes.
    pub(super) async fn undo(self, kinds: &[&str], nodes: &[NodeName]) -> anyhow::Result<Outcome> {
        let mut undone: BTreeMap<_, Vec<NodeName>> = BTreeMap::new();
        let mut left = BTreeSet::new();
        for (node, status) in self.status().await? {
            for fault in status.faults {
                let kind = fault.about.split(' ').next().unwrap_or_default();
                if !kinds.contains(&kind) {
                    continue;
                }
                if nodes.contains(&node) {
                    let on = undone.entry((fault.key, fault.about)).or_default();
                    on.push(node.clone());
                } else {
                    left.insert(fault.key);
                }
            }
        }
        if undone.is_empty() {
            print("nothing to undo\n")?;
        }
        for ((key, about), nodes) in &undone {
            let lifted = self.hold.undo(key, nodes).await?;
            let on = if left.contains(key) {
                format!(" (on {})", words(nodes))
            } else {
                String::new()
            };
            print(&format!("undone{on}: {}\n", visible(about)))?;
            for remark in lifted.remarks {
                print(&format!("  {}\n", visible(&remark)))?;
            }
        }
        self.end().await
    }

    /// Leaves what is in force to the lease; where there is nothing, gives the hosts free.
    pub(super) async fn end(self) -> anyhow::Result<Outcome> {
        let status = self.status().await?;
        if status.values().any(|status| !status.faults.is_empty()) {
            let left = status.values().map(|status| status.lease_left).min();
            let left = left.unwrap_or_default().as_secs();
            print(&format!("the lease ends in {left} s\n"))?;
            return Ok(Outcome::Done);
        }
        let mut outcome = Outcome::Done;
        for (node, released) in self.hold.release().await {
            if let Err(error) = released {
                eprintln!(
                    "{node}: not released, its lease will: {}",
                    visible(&error.to_string())
                );
                outcome = Outcome::NotInOrder;
            }
        }
        Ok(outcome)
    }

    async fn status(&self) -> anyhow::Result<BTreeMap<NodeName, Status>> {
        let mut all = BTreeMap::new();
        for (host, status) in self
            .hosts
            .iter()
            .zip(join_all(self.hosts.iter().map(Status::of)).await)
        {
            all.insert(host.node().clone(), status?);
        }
        Ok(all)
    }

    /// A name that no fault on any host has.
    async fn next_key(&self) -> anyhow::Result<String> {
        let status = self.status().await?;
        let keys = status.values().flat_map(|status| &status.faults);
        let numbers = keys.filter_map(|fault| fault.key.strip_prefix('h')?.parse::<u32>().ok());
        Ok(format!(
            "h{}",
            numbers.max().unwrap_or_default().saturating_add(1)
        ))
    }

    /// Refuses what a host cannot have, before anything is done.
    async fn must_allow(&self, planned: &PlannedFault) -> anyhow::Result<()> {
        let needs = planned.needs();
        let mut lacking = Vec::new();
        for (host, abilities) in self
            .hosts
            .iter()
            .zip(join_all(self.hosts.iter().map(Abilities::of)).await)
        {
            if planned.may_touch(host.node())
                && let Some(words) = abilities?.lacking(&needs)
            {
                lacking.push(format!(
                    "{}: {} needs {words}",
                    host.node(),
                    planned.kind.name
                ));
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        bail!(crate::run::Refusal(lacking.join("\n")))
    }
}

/// Waits between two faults.
pub(super) async fn pause(length: Duration) -> bool {
    tokio::select! {
        () = sleep(length) => true,
        _ = tokio::signal::ctrl_c() => false,
    }
}

fn tell(what: &str, proof: &Proof) -> anyhow::Result<()> {
    let not = if proof.proven { "" } else { "not " };
    print(&format!("{not}{what}:\n"))?;
    tell_lines(proof)
}

fn tell_lines(proof: &Proof) -> anyhow::Result<()> {
    let lines = proof.evidence.iter();
    let lines = lines.map(|line| format!("  {}\n", visible(line)));
    Ok(print(&lines.collect::<String>())?)
}
