//! The nemesis: walks the schedule of faults.
//!
//! Each fault is asked for, injected, proven and healed, and each of these steps is an event.
//! Whatever ends the walk (its end, a cancellation, a lost hold, an error), what is in force is
//! healed before it returns; what even then does not heal is left to the lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::RunClock;
use crate::event::{Emit, Event};
use crate::fault::hold::{Hold, HoldLost};
use crate::fault::{self, ClockOffset, Fault, FaultError, Field};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::{FaultId, TimedFault};

/// Before a fault is due: who leads the queue, and how things are before it.
const PREPARATION: Duration = Duration::from_secs(3);
/// For anybody to say who leads the queue.
const LEADER_DEADLINE: Duration = Duration::from_secs(30);
/// From the end of the proof to the heal.
const PROOF_MARGIN: Duration = Duration::from_millis(100);

/// Asks the cluster who leads the queue; `None` where nobody knows.
pub type AskLeader = Arc<dyn Fn() -> BoxFuture<'static, Option<NodeName>> + Send + Sync>;

/// What the nemesis works with.
pub struct NemesisContext<'a> {
    /// The hold on the hosts, their addresses and the control node's.
    pub hold: &'a Hold,
    /// The run's clock.
    pub clock: RunClock,
    /// When the load began: the zero of the schedule.
    pub load_zero: Nanos,
    /// The hosts' clocks, where known.
    pub offsets: BTreeMap<NodeName, ClockOffset>,
    /// The port on which the brokers reach each other.
    pub peer_port: u16,
    /// The queue under test.
    pub queue: String,
    /// For a fault to be undone, with retries; afterwards the lease is left to do it.
    pub heal_deadline: Duration,
    /// Where its events go.
    pub emit: Arc<dyn Emit>,
    /// Who leads the queue.
    pub leader: AskLeader,
    /// Becomes true when it has to stop.
    pub cancel: watch::Receiver<bool>,
}

/// How the walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NemesisEnd {
    /// At the end of the schedule.
    Completed,
    /// It was cancelled.
    Cancelled,
    /// The hosts are not ours any more.
    HoldLost(HoldLost),
    /// A fault could not be healed; the leases are left to run out.
    NotHealed(String),
}

/// What became of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NemesisOutcome {
    /// How it ended.
    pub end: NemesisEnd,
    /// How many faults were proven, and proven gone again.
    pub proven: usize,
    /// The faults that were not injected, not proven or not healed, those never tried among them.
    pub not_exercised: Vec<FaultId>,
}

/// Walks a schedule. Nothing is in force when it returns, unless it says so.
pub async fn run(schedule: &[TimedFault], context: NemesisContext<'_>) -> NemesisOutcome {
    let mut order: Vec<_> = schedule.iter().collect();
    order.sort_by_key(|timed| (timed.inject_at, timed.id));
    let mut walk = Walk::new(context);
    let mut end = NemesisEnd::Completed;
    let mut proven = Vec::new();
    for timed in &order {
        match walk.exercise(timed).await {
            Ok(true) => proven.push(timed.id),
            Ok(false) => {}
            Err(early) => {
                end = early;
                break;
            }
        }
    }
    let unproven = order.iter().filter(|timed| !proven.contains(&timed.id));
    NemesisOutcome {
        end,
        proven: proven.len(),
        not_exercised: unproven.map(|timed| timed.id).collect(),
    }
}

struct Walk<'a> {
    context: NemesisContext<'a>,
    field: Field,
    lost: watch::Receiver<Option<HoldLost>>,
}

impl<'a> Walk<'a> {
    fn new(context: NemesisContext<'a>) -> Self {
        let hold = context.hold;
        Self {
            field: Field {
                targets: Arc::clone(hold.targets()),
                control: hold.control().to_vec(),
                run_id: hold.run_id().to_owned(),
                lease: hold.lease(),
                peer_port: context.peer_port,
                queue: context.queue.clone(),
                heal_deadline: context.heal_deadline,
                clock: context.clock,
                offsets: context.offsets.clone(),
            },
            lost: hold.lost(),
            context,
        }
    }

    /// One fault from beginning to end. `Ok` tells whether it was proven; an error ends the walk.
    async fn exercise(&mut self, timed: &TimedFault) -> Result<bool, NemesisEnd> {
        let id = timed.id;
        self.until(self.instant(timed.inject_at.saturating_sub(PREPARATION)))
            .await?;
        let mut fault = match self.prepare(timed).await {
            Ok(fault) => fault,
            Err(error) => return Ok(self.failed(id, &error)),
        };
        self.until(self.instant(timed.inject_at)).await?;
        let injection = fault.inject().await;
        let heal_at = self.instant(timed.heal_at);
        let proven = match injection {
            Ok(injected) => {
                for text in injected.notes {
                    self.context.emit.note(None, text);
                }
                self.emit(Event::FaultInjected {
                    fault: id,
                    first: injected.first,
                    last: injected.last,
                    spread_us: injected.spread_us,
                });
                self.hold_and_prove(id, fault.as_mut(), heal_at).await
            }
            Err(error) => Ok(self.failed(id, &error)),
        };
        let healed = self.heal(id, fault.as_mut()).await?;
        Ok(proven? && healed)
    }

    async fn prepare(&self, timed: &TimedFault) -> Result<Box<dyn Fault>, FaultError> {
        let leader = if timed.fault.needs_leader() {
            timeout(LEADER_DEADLINE, (self.context.leader)())
                .await
                .ok()
                .flatten()
        } else {
            None
        };
        let mut fault = fault::plan(
            &timed.fault,
            &format!("f{}", timed.id.0),
            &self.field,
            leader.as_ref(),
        )?;
        let asked = fault.asked();
        self.emit(Event::FaultAsked {
            fault: timed.id,
            kind: asked.kind.to_owned(),
            description: asked.description,
            groups: asked.groups,
        });
        fault.prepare().await;
        Ok(fault)
    }

    /// Proves it while it is in force, and returns when it is due to be healed or earlier if
    /// everything has to stop.
    async fn hold_and_prove(
        &mut self,
        id: FaultId,
        fault: &mut dyn Fault,
        heal_at: Instant,
    ) -> Result<bool, NemesisEnd> {
        let deadline = heal_at.checked_sub(PROOF_MARGIN).unwrap_or(heal_at);
        let proof = tokio::select! {
            proof = fault.prove(deadline) => proof,
            end = stopped(&mut self.context.cancel, &mut self.lost) => return Err(end),
        };
        let proven = proof.proven;
        self.emit(Event::FaultProven { fault: id, proof });
        self.until(heal_at).await?;
        Ok(proven)
    }

    async fn heal(&self, id: FaultId, fault: &mut dyn Fault) -> Result<bool, NemesisEnd> {
        match fault.heal().await {
            Ok(proof) => {
                let healed = proof.proven;
                self.emit(Event::FaultHealed { fault: id, proof });
                Ok(healed)
            }
            Err(error) => {
                self.context.hold.stop_renewing();
                self.failed(id, &error);
                Err(NemesisEnd::NotHealed(error.to_string()))
            }
        }
    }

    fn failed(&self, id: FaultId, error: &FaultError) -> bool {
        self.emit(Event::FaultFailed {
            fault: id,
            error: error.to_string(),
        });
        false
    }

    fn emit(&self, event: Event) {
        self.context.emit.emit(event);
    }

    /// A time of the schedule as an instant.
    fn instant(&self, at: Duration) -> Instant {
        let due = self.context.load_zero.saturating_add(nanos(at));
        let wait = due.saturating_sub(self.context.clock.now());
        Instant::now() + Duration::from_nanos(u64::try_from(wait).unwrap_or_default())
    }

    /// Waits, unless everything has to stop before.
    async fn until(&mut self, instant: Instant) -> Result<(), NemesisEnd> {
        let wait = instant.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            end = stopped(&mut self.context.cancel, &mut self.lost) => Err(end),
            () = sleep(wait) => Ok(()),
        }
    }
}

/// Returns when the walk has to end early. A closed channel will never say so.
async fn stopped(
    cancel: &mut watch::Receiver<bool>,
    lost: &mut watch::Receiver<Option<HoldLost>>,
) -> NemesisEnd {
    let cancelled = async {
        if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let hold_lost = async {
        match lost
            .wait_for(Option::is_some)
            .await
            .map(|lost| lost.clone())
        {
            Ok(Some(lost)) => lost,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = cancelled => NemesisEnd::Cancelled,
        lost = hold_lost => NemesisEnd::HoldLost(lost),
    }
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
#[path = "nemesis_tests.rs"]
mod tests;
