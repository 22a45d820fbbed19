//! A fault on some nodes, each by itself: the same way for all that are not partitions.
//!
//! A [`Recipe`] says what is done on a host, by three shell functions: `inject`, `undo` and `look`, the
//! last of which tells how things are. What was looked at before is held against what is
//! seen meanwhile and afterwards; that makes the proofs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::lease::Lifted;
use super::recipe::{Finding, Look, Needs, Recipe, value};
use super::volley::Volley;
use super::{
    Asked, Fault, FaultError, Field, Healed, Injected, Target, lease, script, shared_addresses,
    undo_text,
};
use crate::catalog::Group;
use crate::event::Proof;
use crate::inventory::NodeName;
use crate::node::clock_offset;
use crate::remote::{RemoteError, Script};
use crate::schedule::{PlannedFault, words};

const BROKER_HELD: &str = include_str!("broker_held.sh");

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// What a process on a host may take beyond the injection itself.
const PROCESS_GRACE: Duration = Duration::from_secs(25);

struct NodeFault {
    kind: &'static str,
    description: String,
    key: String,
    field: Field,
    targets: Vec<Target>,
    recipe: Recipe,
    before: BTreeMap<NodeName, Look>,
    /// Where it had nothing to do, and why.
    idle: BTreeMap<NodeName, String>,
}

/// What came of the looks.
type Findings = BTreeMap<NodeName, Finding>;

/// Makes the fault.
pub(super) fn plan(
    planned: &PlannedFault,
    recipe: Recipe,
    key: &str,
    nodes: &[NodeName],
    field: &Field,
) -> Result<Box<dyn Fault>, FaultError> {
    let mut targets = Vec::new();
    for node in nodes {
        let target = field.targets.iter().find(|target| target.name == *node);
        let unknown = || FaultError::Refused(format!("{node} is no node of this run"));
        targets.push(target.ok_or_else(unknown)?.clone());
    }
    if let Some(kept) = targets
        .iter()
        .find(|target| recipe.destroys && !target.is_disposable)
    {
        return Err(FaultError::Refused(format!(
            "{} destroys data of {}, whose data is not there for that; say so in the inventory by \
             jtest_disposable: true",
            planned.kind.name, kept.name
        )));
    }
    let is_unknown = |name: &&NodeName| !field.targets.iter().any(|target| target.name == **name);
    if let Some(unknown) = recipe.towards.iter().find(is_unknown) {
        return Err(FaultError::Refused(format!(
            "{}: {unknown} is no node of this run",
            planned.kind.name
        )));
    }
    let of_control = |target: &Target| {
        let mut addresses = target.addresses.iter();
        addresses
            .find(|address| field.control.contains(address))
            .copied()
    };
    let peers = field.targets.iter();
    if planned.kind.group == Group::Packet
        && let Some((peer, address)) = peers
            .filter_map(|peer| Some((&peer.name, of_control(peer)?)))
            .next()
    {
        return Err(FaultError::Refused(format!(
            "{}: the address {address} of {peer} is also the control node's, whose packets are never \
             touched; run jtest on a machine that is no node and no way to one",
            planned.kind.name
        )));
    }
    if targets.is_empty() {
        let reason = format!("{}: no node is left to do it to", planned.kind.name);
        return Err(FaultError::Refused(reason));
    }
    Ok(Box::new(NodeFault {
        kind: planned.kind.0.name,
        description: described(planned, nodes),
        key: key.to_owned(),
        field: field.clone(),
        targets,
        recipe,
        before: BTreeMap::new(),
        idle: BTreeMap::new(),
    }))
}

fn described(planned: &PlannedFault, nodes: &[NodeName]) -> String {
    let planned = planned.to_string();
    let settings = planned
        .split_once(", ")
        .map_or("", |(_, settings)| settings);
    if settings.is_empty() {
        words(nodes)
    } else {
        format!("{}, {settings}", words(nodes))
    }
}

fn parse(text: &str) -> Look {
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

impl NodeFault {
    fn args(&self, target: &Target) -> Vec<String> {
        let shared = shared_addresses(&self.field.targets);
        let peers = self
            .field
            .targets
            .iter()
            .filter(|peer| peer.name != target.name)
            .filter(|peer| {
                self.recipe.towards.is_empty() || self.recipe.towards.contains(&peer.name)
            });
        let peers = peers.flat_map(|peer| &peer.addresses);
        let peers = peers.filter(|address| !shared.contains(address));
        let peers: Vec<_> = peers.map(ToString::to_string).collect();
        let own = self.recipe.args.iter().cloned();
        own.chain([peers.join(" "), self.clock_offset(target)])
            .collect()
    }

    /// In microseconds; 0 where what was measured may be the measurement's own error.
    fn clock_offset(&self, target: &Target) -> String {
        let number = |key| {
            value(self.before.get(&target.name)?, key)
                .parse::<i64>()
                .ok()
        };
        match (number("seen_offset_us"), number("seen_error_us")) {
            (Some(offset), Some(error)) if offset.abs() > error => offset.to_string(),
            (Some(_), Some(_)) => "0".to_owned(),
            _ => String::new(),
        }
    }

    fn inject_script(&self, target: &Target) -> Script {
        let shell = &self.recipe.shell;
        let args = self.args(target);
        let text = [shell, BROKER_HELD, include_str!("arm.sh")].join("\n");
        let undo = if self.recipe.has_undo {
            let quoted: Vec<_> = args.iter().map(String::as_str).collect();
            undo_text(&[shell], "undo \"$@\"", &quoted)
        } else {
            String::new()
        };
        script(&format!("inject {}", self.kind), &text)
            .arg(&self.field.run_id)
            .arg(self.field.lease.as_secs().to_string())
            .arg(&self.key)
            .arg(format!("{} {}", self.kind, self.description))
            .arg(undo)
            .arg(self.recipe.needs.word())
            .args(args)
            .deadline(self.recipe.inject_deadline + PROCESS_GRACE)
    }

    async fn look(&self, target: &Target) -> Result<Look, RemoteError> {
        let asks = self.recipe.needs == Needs::App;
        let text = [
            &self.recipe.shell,
            BROKER_HELD,
            &format!("jtest_fault_is {}\nlook_asks={asks}", self.key),
            include_str!("look.sh"),
        ];
        let text = text.join("\n");
        let script = script(&format!("look at {}", self.kind), &text)
            .args(self.args(target))
            .deadline(self.recipe.look_deadline);
        let asked = SystemTime::now();
        let began = Instant::now();
        let mut look = parse(&target.host.run(&script).await?.text());
        if let Some(offset) = clock_offset::offset(asked, began.elapsed(), value(&look, "wall_us"))
        {
            look.insert("seen_offset_us".to_owned(), offset.offset_us.to_string());
            look.insert("seen_error_us".to_owned(), offset.error_us.to_string());
        }
        Ok(look)
    }

    /// Looks at all nodes again and again until all findings are good or the deadline has come.
    async fn until_found(
        &self,
        mut judge: impl FnMut(&NodeName, &Look, &Look) -> Finding,
        deadline: Instant,
    ) -> Findings {
        let mut findings = Findings::new();
        for node in self.idle.keys() {
            findings.insert(node.clone(), Ok("nothing to undo".into()));
        }
        loop {
            let open = self
                .targets
                .iter()
                .filter(|target| !matches!(findings.get(&target.name), Some(Ok(_))));
            let looks = open.map(|target| async move { (target, self.look(target).await) });
            let Ok(looks) = timeout_at(deadline, join_all(looks)).await else {
                break;
            };
            for (target, look) in looks {
                let none = Look::new();
                let before = self.before.get(&target.name).unwrap_or(&none);
                let finding = look.map_err(|error| error.to_string()).and_then(|now| {
                    match value(&now, "held") {
                        "" => judge(&target.name, before, &now),
                        held => Err(held.to_owned()),
                    }
                });
                findings.insert(target.name.clone(), finding);
            }
            if findings.values().all(Result::is_ok)
                || timeout_at(deadline, sleep(LOOK_PAUSE)).await.is_err()
            {
                break;
            }
        }
        findings
    }

    fn proof(&self, findings: &Findings) -> Proof {
        let evidence = self.targets.iter().map(|target| {
            let node = &target.name;
            match findings.get(node) {
                Some(Ok(words)) => format!("{node}: {words}"),
                Some(Err(reason)) => format!("{node}: not proven: {reason}"),
                None => format!("{node}: not proven: there was no time to look"),
            }
        });
        let proven = |target: &Target| matches!(findings.get(&target.name), Some(Ok(_)));
        Proof {
            proven: self.targets.iter().all(proven),
            evidence: evidence.collect(),
        }
    }

    /// On these nodes at once.
    async fn inject_on(&self, targets: &[Target]) -> Result<Injected, FaultError> {
        if self.recipe.goes_down {
            let back = Instant::now() + self.recipe.mend_deadline;
            for target in targets {
                self.field.away.allow(&target.name, back);
            }
        }
        let scripts = targets
            .iter()
            .map(|target| (target.host.clone(), self.inject_script(target)));
        let volley = Volley::stage(scripts.collect()).await?;
        let deadline = self.recipe.inject_deadline;
        let fired = volley.fire_within(self.field.clock, deadline).await?;
        Ok(Injected {
            first: fired.first,
            last: fired.last,
            spread_us: fired.spread_us(&self.field.offsets),
            notes: fired.notes,
        })
    }
}

#[async_trait]
impl Fault for NodeFault {
    fn asked(&self) -> Asked {
        Asked {
            kind: self.kind,
            description: self.description.clone(),
            groups: Vec::new(),
        }
    }

    async fn prepare(&mut self) {
        let looks = self.targets.iter().map(|target| self.look(target));
        let looks = join_all(looks).await;
        for (target, look) in self.targets.iter().zip(looks) {
            match look {
                Ok(look) => {
                    self.before.insert(target.name.clone(), look);
                }
                Err(error) => tracing::warn!(%error, "before the fault"),
            }
        }
    }

    async fn inject(&mut self) -> Result<Injected, FaultError> {
        let Some(pause) = self.recipe.rolling else {
            return self.inject_on(&self.targets).await;
        };
        let mut whole: Option<Injected> = None;
        for target in &self.targets {
            if whole.is_some() {
                sleep(pause).await;
            }
            let injected = self.inject_on(std::slice::from_ref(target)).await?;
            whole = Some(match whole {
                None => injected,
                Some(mut whole) => {
                    whole.last = injected.last;
                    whole.spread_us = None;
                    whole.notes.extend(injected.notes);
                    whole
                }
            });
        }
        whole.ok_or_else(|| FaultError::Refused("no node is left to do it to".into()))
    }

    async fn prove(&mut self, deadline: Instant) -> Proof {
        let mut idle = BTreeMap::new();
        let judge = |node: &NodeName, before: &Look, now: &Look| match value(now, "idle") {
            "" => (self.recipe.bitten)(before, now),
            why => {
                idle.insert(node.clone(), why.to_owned());
                Ok(format!("nothing was done: {why}"))
            }
        };
        let findings = self.until_found(judge, deadline).await;
        self.idle = idle;
        self.proof(&findings)
    }

    fn is_idle(&self) -> bool {
        self.idle.len() == self.targets.len()
    }

    async fn heal(&mut self) -> Result<Healed, FaultError> {
        let Field {
            run_id,
            heal_deadline,
            ..
        } = &self.field;
        let mut lifted = Lifted::default();
        if self.recipe.has_undo {
            lifted = lease::lift_all(&self.targets, run_id, &self.key, *heal_deadline).await?;
        }
        let at = self.field.clock.now();
        let deadline = Instant::now() + self.recipe.mend_deadline;
        let judge = |_: &NodeName, before: &Look, now: &Look| {
            let healed = (self.recipe.healed)(before, now);
            match value(now, "others") {
                "" => healed,
                // What several faults hold is as before when the last of them is undone.
                others => healed
                    .or_else(|reason| Ok(format!("undone; still in force is {others}: {reason}"))),
            }
        };
        let findings = self.until_found(judge, deadline).await;
        let mut proof = self.proof(&findings);
        proof.proven &= lifted.was_in_force();
        proof.evidence.splice(0..0, lifted.remarks);
        Ok(Healed { at, proof })
    }
}
