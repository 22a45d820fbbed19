//! A partition: nodes are split into groups that cannot reach each other.
//!
//! It is made of one grudge per node, the set of addresses whose packets it drops in both
//! directions. Grudges are symmetric, cover every pair across the groups with all addresses
//! of both, and never name the control node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};

use super::probe::{Reach, Sight, Sights, look};
use super::volley::Volley;
use super::{
    Asked, Fault, FaultError, Field, Injected, Target, describe, lease, script, shared_addresses,
};
use crate::event::Proof;
use crate::inventory::NodeName;
use crate::node::firewall::{Direction, Rules};
use crate::schedule::Groups;

/// How long a connection may take before it counts as impossible.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where the cut is so short that the proof has to hurry.
const PATIENCE_SHORT: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// For the nodes to reach each other again once the rules are gone.
const REUNION_DEADLINE: Duration = Duration::from_secs(15);
/// A staged process ends within this time whatever happens.
const PROCESS_DEADLINE: Duration = Duration::from_secs(30);

/// Whom each node drops.
pub type Grudges = BTreeMap<NodeName, BTreeSet<IpAddr>>;

struct Partition {
    field: Field,
    groups: Vec<Vec<NodeName>>,
    rules: BTreeMap<NodeName, Rules>,
    before: Sights,
}

/// See [`super::plan`].
pub(super) fn plan(
    groups: &Groups,
    field: &Field,
    leader: Option<&NodeName>,
) -> Result<Box<dyn Fault>, FaultError> {
    let groups = resolve(groups, leader)?;
    let grudges = grudges(&groups, &field.targets, &field.control)?;
    let rules = grudges
        .iter()
        .map(|(node, drop)| (node.clone(), Rules::dropping(drop, &field.control)));
    Ok(Box::new(Partition {
        rules: rules.collect(),
        field: field.clone(),
        groups,
        before: Sights::new(),
    }))
}

fn resolve(groups: &Groups, leader: Option<&NodeName>) -> Result<Vec<Vec<NodeName>>, FaultError> {
    match groups {
        Groups::Named(groups) => Ok(groups.clone()),
        Groups::WithLeader { order, others } => {
            let leader = leader
                .filter(|leader| order.contains(leader))
                .ok_or_else(|| {
                    FaultError::Refused(
                        "cut off the leader of the queue: no node says who leads it".into(),
                    )
                })?;
            let rest = order.iter().filter(|node| *node != leader);
            let mut side: Vec<_> = rest.clone().take(*others).cloned().collect();
            side.push(leader.clone());
            let mut majority: Vec<_> = rest.skip(*others).cloned().collect();
            side.sort();
            majority.sort();
            Ok(vec![side, majority])
        }
        Groups::MajoritiesRing(_) | Groups::Bridge { .. } => Err(FaultError::Refused(
            "there is no way to cut such groups yet".into(),
        )),
    }
}

/// Groups to grudges. Addresses that several nodes have name none of them and are left out;
/// a grudge that would name the control node is refused.
pub fn grudges(
    groups: &[Vec<NodeName>],
    targets: &[Target],
    control: &[IpAddr],
) -> Result<Grudges, FaultError> {
    let refuse = |reason: String| FaultError::Refused(format!("partition: {reason}"));
    if control.is_empty() {
        return Err(refuse(
            "no host says under which address it sees the control node, so it cannot be kept \
             from being cut off"
                .into(),
        ));
    }
    let shared = shared_addresses(targets);
    let mut own = BTreeMap::new();
    for target in targets {
        let unique: BTreeSet<_> = target.addresses.iter().copied().collect();
        let unique: BTreeSet<_> = unique.difference(&shared).copied().collect();
        own.insert(&target.name, unique);
    }
    let mut group_of = BTreeMap::new();
    for (index, node) in groups
        .iter()
        .enumerate()
        .flat_map(|(i, g)| g.iter().map(move |n| (i, n)))
    {
        let Some(addresses) = own.get(node) else {
            return Err(refuse(format!("{node} is no node of this run")));
        };
        if group_of.insert(node, index).is_some() {
            return Err(refuse(format!("{node} is in two groups")));
        }
        if addresses.is_empty() {
            return Err(refuse(format!(
                "{node} has no address that is its alone; name one by jtest_peer_address"
            )));
        }
        if let Some(address) = addresses.iter().find(|address| control.contains(address)) {
            return Err(refuse(format!(
                "the address {address} of {node} is also the control node's, which is never cut \
                 off; run jtest on a machine that is no node and no way to one"
            )));
        }
    }
    let mut grudges = Grudges::new();
    for (node, group) in &group_of {
        let enemies = group_of.iter().filter(|(_, other)| *other != group);
        let drop = enemies.flat_map(|(enemy, _)| own[enemy].iter().copied());
        grudges.insert((*node).clone(), drop.collect());
    }
    Ok(grudges)
}

#[async_trait]
impl Fault for Partition {
    fn asked(&self) -> Asked {
        Asked {
            kind: "partition",
            description: describe(&self.groups),
            groups: self.groups.clone(),
        }
    }

    async fn prepare(&mut self) {
        let (sights, errors) = look(&self.field, PATIENCE).await;
        for error in errors {
            tracing::warn!(%error, "before the cut");
        }
        self.before = sights;
    }

    async fn inject(&mut self) -> Result<Injected, FaultError> {
        let scripts = self.field.targets.iter().filter_map(|target| {
            let rules = self.rules.get(&target.name)?;
            let script = script("cut it off from its peers", include_str!("cut.sh"))
                .arg(&self.field.run_id)
                .arg(self.field.lease.as_secs().to_string())
                .arg(&rules.v4)
                .arg(&rules.v6)
                .deadline(PROCESS_DEADLINE);
            Some((target.host.clone(), script))
        });
        let volley = Volley::stage(scripts.collect()).await?;
        let fired = volley.fire(self.field.clock).await?;
        Ok(Injected {
            first: fired.first,
            last: fired.last,
            spread_us: fired.spread_us(&self.field.offsets),
            notes: fired.notes,
        })
    }

    async fn prove(&mut self, deadline: Instant) -> Proof {
        let patience = if deadline.saturating_duration_since(Instant::now()) < 3 * PATIENCE {
            PATIENCE_SHORT
        } else {
            PATIENCE
        };
        let mut proof = Proof {
            proven: false,
            evidence: vec!["it ended before it could be proven".into()],
        };
        while let Ok((during, errors)) = timeout_at(deadline, look(&self.field, patience)).await {
            proof = judge_cut(&self.groups, &self.field.targets, &self.before, &during);
            proof
                .evidence
                .extend(errors.iter().map(ToString::to_string));
            if proof.proven || timeout_at(deadline, sleep(LOOK_PAUSE)).await.is_err() {
                break;
            }
        }
        proof
    }

    async fn heal(&mut self) -> Result<Proof, FaultError> {
        let lifted = lease::lift_all(
            &self.field.targets,
            &self.field.run_id,
            self.field.heal_deadline,
        )
        .await?;
        let deadline = Instant::now() + REUNION_DEADLINE;
        let mut proof = Proof {
            proven: false,
            evidence: vec!["the nodes were not asked in time whether they connect again".into()],
        };
        while let Ok((after, errors)) = timeout_at(deadline, look(&self.field, PATIENCE)).await {
            proof = judge_reunion(&self.field.targets, &self.before, &after);
            proof
                .evidence
                .extend(errors.iter().map(ToString::to_string));
            if proof.proven || timeout_at(deadline, sleep(LOOK_PAUSE)).await.is_err() {
                break;
            }
        }
        proof.evidence.splice(0..0, lifted);
        Ok(proof)
    }
}

/// The ways from one node to another, by the addresses of the latter that connected before.
struct Way<'a> {
    from: &'a NodeName,
    to: &'a NodeName,
    open_before: Vec<IpAddr>,
}

fn ways<'a>(targets: &'a [Target], before: &Sights) -> Vec<Way<'a>> {
    let pairs = targets
        .iter()
        .flat_map(|from| targets.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from.name != to.name)
        .map(|(from, to)| {
            let open = |address: &&IpAddr| {
                let sight = before.get(&from.name);
                sight.and_then(|sight| sight.reach.get(address)) == Some(&Reach::Open)
            };
            Way {
                from: &from.name,
                to: &to.name,
                open_before: to.addresses.iter().filter(open).copied().collect(),
            }
        })
        .collect()
}

/// Proven: every way across the groups that was open is silent and its packets are counted as
/// dropped, every way within a group still answers.
fn judge_cut(
    groups: &[Vec<NodeName>],
    targets: &[Target],
    before: &Sights,
    during: &Sights,
) -> Proof {
    let mut evidence = Vec::new();
    let mut proven = true;
    let (mut within, mut within_answered) = (0, 0);
    for way in ways(targets, before) {
        let Way { from, to, .. } = way;
        let Some(sight) = during.get(from) else {
            proven = false;
            evidence.push(format!("{from}→{to}: {from} did not say what it sees"));
            continue;
        };
        if groups
            .iter()
            .any(|group| group.contains(from) && group.contains(to))
        {
            within += 1;
            match way
                .open_before
                .iter()
                .find(|address| reach(sight, address) == Reach::Silent)
            {
                None => within_answered += 1,
                Some(address) => {
                    proven = false;
                    evidence.push(format!("{from}→{to}: cut, though in one group ({address})"));
                }
            }
            continue;
        }
        let finding = across(&way, sight);
        proven &= finding.is_ok();
        let words = finding.unwrap_or_else(|reason| format!("not proven: {reason}"));
        evidence.push(format!("{from}→{to}: {words}"));
    }
    evidence.push(format!(
        "{within_answered} of {within} ways within the groups still connect"
    ));
    Proof { proven, evidence }
}

fn across(way: &Way<'_>, sight: &Sight) -> Result<String, String> {
    if way.open_before.is_empty() {
        return Err("it could not connect before either".into());
    }
    let mut packets = 0;
    for address in &way.open_before {
        match reach(sight, address) {
            Reach::Silent => {}
            answer @ (Reach::Open | Reach::Refused) => {
                return Err(format!("{address} still answers ({answer})"));
            }
        }
        let dropped = sight.dropped.get(&(Direction::Out, *address)).copied();
        match dropped {
            Some(dropped) if dropped > 0 => packets += dropped,
            Some(_) | None => return Err(format!("silent, but nothing to {address} was dropped")),
        }
    }
    let addresses = way.open_before.len();
    Ok(format!(
        "silent at {addresses} of {addresses} addresses, {packets} packets dropped"
    ))
}

/// An address that was not tried counts as silent.
fn reach(sight: &Sight, address: &IpAddr) -> Reach {
    sight.reach.get(address).copied().unwrap_or(Reach::Silent)
}

/// Proven: every way that was open before the cut answers.
fn judge_reunion(targets: &[Target], before: &Sights, after: &Sights) -> Proof {
    let (mut all, mut answered) = (0, 0);
    let mut evidence = Vec::new();
    for way in ways(targets, before) {
        for address in &way.open_before {
            all += 1;
            match after.get(way.from).map(|sight| reach(sight, address)) {
                Some(Reach::Open | Reach::Refused) => answered += 1,
                Some(Reach::Silent) | None => {
                    evidence.push(format!("{}→{}: {address} is silent", way.from, way.to));
                }
            }
        }
    }
    evidence.push(format!(
        "{answered} of {all} ways that were open before connect again"
    ));
    Proof {
        proven: answered == all,
        evidence,
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
