//! A partition: nodes are divided so that they cannot reach each other.
//!
//! Who drops what is decided in [`grudge`](super::grudge), what proves it in
//! [`cut_proof`](super::cut_proof). All nodes are cut, and healed, at the same moment: the
//! rules lie there beforehand and only their gates are opened and closed at the signal.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};

use super::cut_proof::Expectation;
use super::grudge::{Cut, Grudges, Way, grudges, resolve};
use super::probe::{Sights, look};
use super::volley::Volley;
use super::{Asked, Fault, FaultError, Field, Healed, Injected, lease, script, undo_text};
use crate::catalog::{Setting, Settings};
use crate::event::Proof;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::node::clock_offset::CLOCKS;
use crate::node::firewall::{Direction, rules};
use crate::schedule::{Groups, describe};

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
/// What opens and closes the gates, for the scripts of both.
const GATES: &str = concat!(
    "gates_program=$clocks_program'",
    include_str!("gates.pl"),
    "'\n"
);
/// A port that every node has open, whatever its broker does.
const SSH_PORT: u16 = 22;

struct Partition {
    field: Field,
    key: String,
    description: String,
    cut: Cut,
    grudges: Grudges,
    cut_ports: Vec<u16>,
    open_ports: Vec<u16>,
    /// Of TCP only these are dropped; everything where there are none.
    only_ports: Vec<u16>,
    flap: Option<Duration>,
    before: Sights,
}

/// See [`super::plan`].
pub(super) fn plan(
    groups: &Groups,
    settings: &Settings,
    key: &str,
    field: &Field,
    leader: Option<&NodeName>,
) -> Result<Box<dyn Fault>, FaultError> {
    let cut = resolve(groups, leader)?;
    let way = match settings.get("direction") {
        Some(Setting::Word(word)) if word == "in" => Way::In,
        Some(Setting::Word(word)) if word == "out" => Way::Out,
        _ => Way::Both,
    };
    let only_ports = match settings.get("ports") {
        Some(Setting::Ports(ports)) => ports.clone(),
        _ => Vec::new(),
    };
    let flap = match settings.get("flap") {
        Some(Setting::Duration(period)) => Some(*period),
        _ => None,
    };
    let (cut_ports, open_ports) = if only_ports.is_empty() {
        (vec![field.peer_port], Vec::new())
    } else {
        let witnesses = [SSH_PORT, field.peer_port];
        let others = witnesses
            .into_iter()
            .filter(|port| !only_ports.contains(port));
        (only_ports.clone(), others.take(1).collect())
    };
    Ok(Box::new(Partition {
        description: words(&cut, groups, way, &only_ports, flap),
        grudges: grudges(&cut, way, &field.targets, &field.control)?,
        field: field.clone(),
        key: key.to_owned(),
        cut,
        cut_ports,
        open_ports,
        only_ports,
        flap,
        before: Sights::new(),
    }))
}

fn words(cut: &Cut, groups: &Groups, way: Way, ports: &[u16], flap: Option<Duration>) -> String {
    let mut words = if cut.groups.is_empty() {
        groups.to_string()
    } else {
        describe(&cut.groups)
    };
    match way {
        Way::Both => {}
        Way::In => words.push_str(", only what comes in to the first"),
        Way::Out => words.push_str(", only what goes out of the first"),
    }
    if !ports.is_empty() {
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        words.push_str(&format!(", only port {}", ports.join(" ")));
    }
    if let Some(period) = flap {
        words.push_str(&format!(", flapping every {} ms", period.as_millis()));
    }
    words
}

impl Partition {
    async fn look(&self, patience: Duration) -> (Sights, Vec<String>) {
        let ports: Vec<_> = [&*self.cut_ports, &*self.open_ports].concat();
        let (sights, errors) = look(&self.field, &ports, patience).await;
        (sights, errors.iter().map(ToString::to_string).collect())
    }

    /// Looks again and again until the judgement is good or the deadline has come.
    async fn until_proven(
        &self,
        patience: Duration,
        deadline: Instant,
        otherwise: &str,
        judge: impl Fn(&Expectation<'_>, &Sights) -> Proof,
    ) -> Proof {
        let counted = self.counted();
        let expectation = Expectation {
            targets: &self.field.targets,
            severed: &self.cut.severed,
            cut_ports: &self.cut_ports,
            counted: &counted,
            before: &self.before,
            key: &self.key,
        };
        let mut proof = Proof {
            proven: false,
            evidence: vec![otherwise.to_owned()],
        };
        while let Ok((sights, errors)) = timeout_at(deadline, self.look(patience)).await {
            proof = judge(&expectation, &sights);
            proof.evidence.extend(errors);
            if proof.proven || timeout_at(deadline, sleep(LOOK_PAUSE)).await.is_err() {
                break;
            }
        }
        proof
    }

    fn counted(&self) -> BTreeSet<(NodeName, Direction)> {
        let mut counted = BTreeSet::new();
        for (node, drops) in &self.grudges {
            for drop in drops {
                if drop.is_in {
                    counted.insert((node.clone(), Direction::In));
                }
                if drop.is_out {
                    counted.insert((node.clone(), Direction::Out));
                }
            }
        }
        counted
    }

    /// Ends the cut on all nodes at once; what cannot be is left to the removal of the rules.
    async fn open_gates(&self) -> Option<(Nanos, Option<String>)> {
        if self.flap.is_some() {
            return None;
        }
        let scripts = self.field.targets.iter().filter_map(|target| {
            self.grudges.get(&target.name)?;
            let script = script(
                "open the gates of the cut",
                &[CLOCKS, GATES, include_str!("open.sh")].concat(),
            )
            .arg(&self.field.run_id)
            .arg(&self.key)
            .deadline(PROCESS_DEADLINE);
            Some((target.host.clone(), script))
        });
        let opened = async {
            let volley = Volley::stage(scripts.collect()).await?;
            volley.fire(self.field.clock).await
        };
        match opened.await {
            Ok(fired) => {
                let spread = fired.spread_us(&self.field.offsets);
                let words = |us| format!("the nodes were healed within {us} µs of each other");
                Some((fired.last, spread.map(words)))
            }
            Err(error) => {
                tracing::warn!(%error, "open the gates");
                None
            }
        }
    }
}

#[async_trait]
impl Fault for Partition {
    fn asked(&self) -> Asked {
        Asked {
            kind: "partition",
            description: self.description.clone(),
            groups: self.cut.groups.clone(),
        }
    }

    async fn prepare(&mut self) {
        let (sights, errors) = self.look(PATIENCE).await;
        for error in errors {
            tracing::warn!(%error, "before the cut");
        }
        self.before = sights;
    }

    async fn inject(&mut self) -> Result<Injected, FaultError> {
        let scripts = self.field.targets.iter().filter_map(|target| {
            let drops = self.grudges.get(&target.name)?;
            let [v4, v6] = rules(&self.key, drops, &self.only_ports, &self.field.control);
            let addresses: BTreeSet<_> = drops.iter().map(|drop| drop.address).collect();
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let flap = self.flap.map(|period| period.as_millis().to_string());
            let script = script(
                "cut it off from its peers",
                &[CLOCKS, GATES, include_str!("cut.sh")].concat(),
            )
            .arg(&self.field.run_id)
            .arg(self.field.lease.as_secs().to_string())
            .arg(&self.key)
            .arg(format!("partition {}", self.description))
            .arg(undo_text(&[], include_str!("mend.sh"), &[&self.key]))
            .args([v4.accept, v4.drop, v6.accept, v6.drop])
            .arg(addresses.join(" "))
            .arg(flap.unwrap_or_default())
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
        let otherwise = "it ended before it could be proven";
        let is_flapping = self.flap.is_some();
        self.until_proven(patience, deadline, otherwise, |expectation, sights| {
            if is_flapping {
                expectation.judge_flap(sights)
            } else {
                expectation.judge_cut(sights)
            }
        })
        .await
    }

    async fn heal(&mut self) -> Result<Healed, FaultError> {
        let (opened_at, opened) = self.open_gates().await.unzip();
        let Field {
            targets,
            run_id,
            heal_deadline,
            ..
        } = &self.field;
        let lifted = lease::lift_all(targets, run_id, &self.key, *heal_deadline).await?;
        let at = opened_at.unwrap_or_else(|| self.field.clock.now());
        let deadline = Instant::now() + REUNION_DEADLINE;
        let otherwise = "the nodes were not asked in time whether they connect again";
        let mut proof = self
            .until_proven(PATIENCE, deadline, otherwise, |expectation, sights| {
                expectation.judge_reunion(sights)
            })
            .await;
        proof.proven &= lifted.was_in_force();
        proof
            .evidence
            .splice(0..0, opened.flatten().into_iter().chain(lifted.remarks));
        Ok(Healed { at, proof })
    }
}
