//! One fault: looked up, prepared, injected, proven, healed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::aim::{Cut, Known};
use super::watch::Since;
use super::world::{ask_for_leader, leader};
use super::{NemesisEnd, Open, Walk, lock};
use crate::event::{Event, Proof};
use crate::fault::{self, Fault, FaultError, Healed};
use crate::schedule::{FaultId, PROOF_MAX, PlannedLasts, TimedFault, moment_proof_max};

/// From the end of the proof to the heal.
const PROOF_MARGIN: Duration = Duration::from_millis(100);

/// Why a fault cannot be injected.
enum NotReady {
    /// The queue has no leader, while these are in force or were until lately.
    NoLeader(BTreeSet<FaultId>),
    Failed(FaultError),
}

impl Walk<'_> {
    /// One fault from beginning to end, or until it waits for its heal. An error ends the walk.
    pub(super) async fn fault(
        &self,
        timed: &TimedFault,
        due: Option<Instant>,
    ) -> Result<(), NemesisEnd> {
        let due = due.max(timed.at.map(|at| self.instant(at)));
        self.until_shortly_before(due).await?;
        let before = match &timed.lasts {
            PlannedLasts::Until(until) if until.condition.needs_step_before() => {
                self.leader().await
            }
            _ => None,
        };
        let mut fault = match self.prepare(timed).await? {
            Ok(fault) => fault,
            Err(NotReady::NoLeader(others)) => {
                self.has_no_aim(timed, &others);
                return Ok(());
            }
            Err(NotReady::Failed(error)) => {
                self.failed(timed.id, &error);
                return Ok(());
            }
        };
        if let Some(due) = due {
            self.until(due).await?;
        }
        let since = self.since(before);
        self.rates.mark(since.confirms);
        match fault.inject().await {
            Ok(injected) => {
                for text in injected.notes {
                    self.context.emit.note(None, text);
                }
                self.emit(Event::FaultInjected {
                    fault: timed.id,
                    first: injected.first,
                    last: injected.last,
                    spread_us: injected.spread_us,
                });
                self.injected(timed, fault, since).await
            }
            Err(error) => {
                self.failed(timed.id, &error);
                self.heal(timed.id, fault.as_mut(), false).await
            }
        }
    }

    /// A fault in force: holds, proves and heals it, or leaves it for a later step to heal.
    async fn injected(
        &self,
        timed: &TimedFault,
        mut fault: Box<dyn Fault>,
        since: Since,
    ) -> Result<(), NemesisEnd> {
        let id = timed.id;
        lock(&self.injected).insert(id, None);
        let groups = fault.asked().groups;
        if !groups.is_empty() {
            lock(&self.cuts).push(Cut { id, groups });
        }
        let held = match &timed.lasts {
            PlannedLasts::For(length) => {
                // To stop a broker takes a while; the fault lasts from when all nodes have it.
                let heal_at = Instant::now() + *length;
                let deadline = heal_at.checked_sub(PROOF_MARGIN).unwrap_or(heal_at);
                let proven = self.prove(id, fault.as_mut(), deadline).await;
                match proven {
                    Ok(proven) => self.until(heal_at).await.map(|()| proven),
                    Err(end) => Err(end),
                }
            }
            PlannedLasts::Until(until) => {
                let longest = until.within.min(PROOF_MAX);
                let proving = self.prove(id, fault.as_mut(), Instant::now() + longest);
                let (proven, awaited) =
                    tokio::join!(proving, self.awaited(until, Some(id), since.clone()));
                awaited.and(proven)
            }
            PlannedLasts::Moment => {
                let deadline = Instant::now() + moment_proof_max(&timed.fault.kind);
                self.prove(id, fault.as_mut(), deadline).await
            }
            PlannedLasts::UntilHealed => {
                let deadline = Instant::now() + PROOF_MAX;
                let proven = self.prove(id, fault.as_mut(), deadline).await;
                lock(&self.open).push(Open {
                    id,
                    fault,
                    is_proven: proven == Ok(true),
                });
                return proven.map(drop);
            }
        };
        let healed = self.heal(id, fault.as_mut(), held == Ok(true)).await;
        held?;
        healed
    }

    /// The fault with all that only the cluster can tell; the inner error is why there is none.
    async fn prepare(
        &self,
        timed: &TimedFault,
    ) -> Result<Result<Box<dyn Fault>, NotReady>, NemesisEnd> {
        let answers = if timed.fault.needs_leader() {
            tokio::select! {
                end = self.stopped() => return Err(end),
                answers = ask_for_leader(self.world(), &self.nodes, self.context.leader_deadline) => answers,
            }
        } else {
            BTreeMap::new()
        };
        let cut = self.last_cut();
        let known = Known {
            nodes: &self.nodes,
            answers: &answers,
            cut: cut.as_ref(),
        };
        let planned = known.resolve(&timed.fault).map_err(FaultError::Refused);
        let leader = leader(&answers);
        if timed.fault.needs_leader() && leader.is_none() {
            let others = self.troubling();
            if !others.is_empty() {
                return Ok(Err(NotReady::NoLeader(others)));
            }
        }
        let key = format!("f{}", timed.id.0);
        let planned =
            planned.and_then(|planned| fault::plan(&planned, &key, &self.field, leader.as_ref()));
        let mut fault = match planned {
            Ok(fault) => fault,
            Err(error) => return Ok(Err(NotReady::Failed(error))),
        };
        let asked = fault.asked();
        self.emit(Event::FaultAsked {
            fault: timed.id,
            kind: asked.kind.to_owned(),
            description: asked.description,
            groups: asked.groups,
        });
        fault.prepare().await;
        Ok(Ok(fault))
    }

    /// Proves a fault while it is in force, unless everything has to stop.
    async fn prove(
        &self,
        id: FaultId,
        fault: &mut dyn Fault,
        deadline: Instant,
    ) -> Result<bool, NemesisEnd> {
        let proof = tokio::select! {
            proof = fault.prove(deadline) => proof,
            end = self.stopped() => return Err(end),
        };
        if fault.is_idle() {
            self.emit(Event::FaultIdle {
                fault: id,
                evidence: proof.evidence,
            });
            return Ok(false);
        }
        let proven = proof.proven;
        self.emit(Event::FaultProven { fault: id, proof });
        Ok(proven)
    }

    /// Heals a fault; it is exercised if it is `proven` and this is, too.
    async fn heal(
        &self,
        id: FaultId,
        fault: &mut dyn Fault,
        is_proven: bool,
    ) -> Result<(), NemesisEnd> {
        let healed = fault.heal().await;
        lock(&self.cuts).retain(|cut| cut.id != id);
        if let Some(ended) = lock(&self.injected).get_mut(&id) {
            *ended = Some(Instant::now());
        }
        match healed {
            Ok(Healed { at, proof }) => {
                if is_proven && proof.proven {
                    lock(&self.exercised).insert(id);
                }
                self.emit(Event::FaultHealed {
                    fault: id,
                    at,
                    proof,
                });
                Ok(())
            }
            Err(error) => {
                self.context.hold.stop_renewing();
                self.failed(id, &error);
                Err(self.end(NemesisEnd::NotHealed(error.to_string())))
            }
        }
    }

    /// Heals those of the faults that wait for it, the last one first: all, even if one fails.
    pub(super) async fn heal_open(
        &self,
        is_meant: impl Fn(FaultId) -> bool,
    ) -> Result<(), NemesisEnd> {
        let mut outcome = Ok(());
        loop {
            let last = {
                let mut open = lock(&self.open);
                let last = open.iter().rposition(|open| is_meant(open.id));
                last.map(|last| open.remove(last))
            };
            let Some(mut open) = last else {
                return outcome;
            };
            let healed = self
                .heal(open.id, open.fault.as_mut(), open.is_proven)
                .await;
            outcome = outcome.and(healed);
        }
    }

    /// A fault that is aimed by the queue's leader, while others keep the queue from having one.
    fn has_no_aim(&self, timed: &TimedFault, others: &BTreeSet<FaultId>) {
        let fault = timed.id;
        let numbers: Vec<String> = others.iter().map(|id| id.0.to_string()).collect();
        let others = format!("in force, or until lately: {}", numbers.join(", "));
        self.emit(Event::FaultAsked {
            fault,
            kind: timed.fault.kind.name.to_owned(),
            description: timed.fault.to_string(),
            groups: Vec::new(),
        });
        self.emit(Event::FaultIdle {
            fault,
            evidence: vec![
                "nothing was done: no node says who leads the queue".to_owned(),
                others,
            ],
        });
        self.emit(Event::FaultHealed {
            fault,
            at: self.context.clock.now(),
            proof: Proof {
                proven: true,
                evidence: vec!["nothing to undo".to_owned()],
            },
        });
    }

    fn failed(&self, id: FaultId, error: &FaultError) {
        self.emit(Event::FaultFailed {
            fault: id,
            error: error.to_string(),
        });
    }
}
