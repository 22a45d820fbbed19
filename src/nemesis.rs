//! The nemesis: walks the plan of faults.
//!
//! Each fault is asked for, injected, proven and healed, each condition awaited, and each of
//! these is an event. Lists that run side by side are walked at once. Whatever ends the walk (its
//! end, a condition that does not come, a cancellation, a lost hold, an error), what is in force is
//! healed before it returns, what came last first; what even then does not heal is left to the lease.

mod aim;
mod exercise;
mod watch;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep, timeout};

use self::aim::Cut;
use self::watch::Since;
use self::world::{Rates, ask, leader};
pub use self::world::{Said, World};
use crate::clock::RunClock;
use crate::event::{Emit, Event, Proof};
use crate::fault::hold::{Hold, HoldLost};
use crate::fault::{ClockOffset, Fault, Field};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::{FaultId, Plan, PlannedAwait, PlannedStep};

/// Before a fault is due: who leads the queue, and how things are before it.
const PREPARATION: Duration = Duration::from_secs(3);

/// For so long after a fault the brokers may be busy with recovering from it.
const RECOVERY: Duration = Duration::from_secs(60);

/// What the nemesis works with.
pub struct NemesisContext<'a> {
    /// The hold on the hosts, their addresses and the control node's.
    pub hold: &'a Hold,
    /// The run's clock.
    pub clock: RunClock,
    /// When the load began: the zero of the plan.
    pub load_zero: Nanos,
    /// The hosts' clocks, where known.
    pub offsets: BTreeMap<NodeName, ClockOffset>,
    /// The port on which the brokers reach each other.
    pub peer_port: u16,
    /// The queue under test.
    pub queue: String,
    /// For a fault to be undone, with retries; afterwards the lease is left to do it.
    pub heal_deadline: Duration,
    /// For anybody to say who leads the queue, where a fault is aimed by that.
    pub leader_deadline: Duration,
    /// Where its events go.
    pub emit: Arc<dyn Emit>,
    /// The cluster and the load.
    pub world: Arc<dyn World>,
    /// Becomes true when it has to stop.
    pub cancel: signal::Receiver<bool>,
}

/// How the walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NemesisEnd {
    /// At the end of the plan.
    Completed,
    /// A condition did not come in time.
    NotCome(String),
    /// It was cancelled.
    Cancelled,
    /// The hosts are not ours any more.
    HoldLost(HoldLost),
    /// A fault could not be healed; the leases are left to run out.
    NotHealed(String),
}

/// What became of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NemesisOutcome {
    /// How it ended.
    pub end: NemesisEnd,
    /// How many faults were proven, and proven gone again.
    pub proven: usize,
    /// The faults that were not injected, not proven or not healed, those never tried among them.
    pub not_exercised: Vec<FaultId>,
}

/// Walks a plan. Nothing is in force when it returns, unless it says so.
pub async fn run(plan: &Plan, context: NemesisContext<'_>) -> NemesisOutcome {
    let walk = Walk::new(context);
    let walked = tokio::select! {
        walked = walk.list(&plan.steps) => walked,
        () = walk.rates.sample(walk.world()) => Ok(()),
    };
    let healed = walk.heal_open(|_| true).await;
    let end = healed.err().or(walked.err());
    let exercised = lock(&walk.exercised);
    let faults = plan.faults();
    let open = faults.iter().filter(|fault| !exercised.contains(&fault.id));
    NemesisOutcome {
        end: end.unwrap_or(NemesisEnd::Completed),
        proven: exercised.len(),
        not_exercised: open.map(|fault| fault.id).collect(),
    }
}

/// A fault that stays in force while the walk goes on.
struct Open {
    id: FaultId,
    fault: Box<dyn Fault>,
    is_proven: bool,
}

struct Walk<'a> {
    context: NemesisContext<'a>,
    field: Field,
    nodes: Vec<NodeName>,
    lost: signal::Receiver<Option<HoldLost>>,
    /// Set by the list that ends the walk, for those beside it.
    halt: signal::Sender<Option<NemesisEnd>>,
    /// In the order of injection.
    open: Mutex<Vec<Open>>,
    /// The partitions in force, in the order of injection.
    cuts: Mutex<Vec<Cut>>,
    /// The faults that were injected, each with when it was healed, if it was.
    injected: Mutex<BTreeMap<FaultId, Option<Instant>>>,
    exercised: Mutex<BTreeSet<FaultId>>,
    rates: Rates,
}

impl<'a> Walk<'a> {
    fn new(context: NemesisContext<'a>) -> Self {
        let hold = context.hold;
        let targets = hold.targets();
        Self {
            field: Field {
                targets: Arc::clone(targets),
                control: hold.control().to_vec(),
                run_id: hold.run_id().to_owned(),
                lease: hold.lease(),
                peer_port: context.peer_port,
                queue: context.queue.clone(),
                away: hold.away().clone(),
                heal_deadline: context.heal_deadline,
                clock: context.clock,
                offsets: context.offsets.clone(),
            },
            nodes: targets.iter().map(|target| target.name.clone()).collect(),
            lost: hold.lost(),
            halt: signal::Sender::new(None),
            open: Mutex::default(),
            cuts: Mutex::default(),
            injected: Mutex::default(),
            exercised: Mutex::default(),
            rates: Rates::default(),
            context,
        }
    }

    /// Steps one after another. An error ends the whole walk.
    fn list<'s>(&'s self, steps: &'s [PlannedStep]) -> BoxFuture<'s, Result<(), NemesisEnd>> {
        Box::pin(async move {
            // When the waits before a step are over: a fault is prepared before that.
            let mut due = None;
            let mut leader_before = None;
            for (index, step) in steps.iter().enumerate() {
                if let PlannedStep::Wait(length) = step {
                    due = Some(due.unwrap_or_else(Instant::now) + *length);
                    continue;
                }
                if asks_for_leader_before(steps, index) {
                    self.until_shortly_before(due).await?;
                    leader_before = self.leader().await;
                }
                if let PlannedStep::Fault(fault) = step {
                    self.fault(fault, due.take()).await?;
                    continue;
                }
                if let Some(due) = due.take() {
                    self.until(due).await?;
                }
                self.other_than_fault(step, leader_before.as_ref()).await?;
            }
            match due {
                Some(due) => self.until(due).await,
                None => Ok(()),
            }
        })
    }

    async fn other_than_fault(
        &self,
        step: &PlannedStep,
        leader_before: Option<&NodeName>,
    ) -> Result<(), NemesisEnd> {
        match step {
            PlannedStep::Fault(_) | PlannedStep::Wait(_) => Ok(()),
            PlannedStep::Await(awaited) => {
                let since = self.since(leader_before.cloned());
                self.awaited(awaited, None, since).await
            }
            PlannedStep::Heal(ids) => self.heal_open(|id| ids.contains(&id)).await,
            PlannedStep::HealAll => self.heal_open(|_| true).await,
            PlannedStep::Parallel(branches) => {
                let walked = join_all(branches.iter().map(|steps| self.list(steps))).await;
                let first = walked.into_iter().collect::<Result<Vec<()>, _>>();
                // All stopped for one's sake, which is the reason to tell.
                first.map(drop).map_err(|end| self.halted().unwrap_or(end))
            }
        }
    }

    /// Waits for a condition; one that does not come in time ends the walk.
    async fn awaited(
        &self,
        awaited: &PlannedAwait,
        fault: Option<FaultId>,
        since: Since,
    ) -> Result<(), NemesisEnd> {
        let condition = &awaited.condition;
        self.emit(Event::AwaitBegan {
            condition: awaited.id,
            fault,
            description: condition.to_string(),
            within: awaited.within,
        });
        let mut seen = "nothing was seen".to_owned();
        let looking = async {
            loop {
                let look = self.look(condition, &since).await;
                seen = look.text;
                if look.holds {
                    return;
                }
                sleep(watch::pause(condition)).await;
            }
        };
        let came = tokio::select! {
            end = self.stopped() => return Err(end),
            looked = timeout(awaited.within, looking) => looked.is_ok(),
        };
        let proof = Proof {
            proven: came,
            evidence: vec![seen],
        };
        self.emit(Event::AwaitEnded {
            condition: awaited.id,
            proof,
        });
        if came {
            return Ok(());
        }
        let within = crate::duration::show(awaited.within);
        let text = format!("{condition}: not within {within}");
        Err(self.end(NemesisEnd::NotCome(text)))
    }

    /// Ends the walk for all its lists; the first reason counts.
    fn end(&self, end: NemesisEnd) -> NemesisEnd {
        self.halt.send_if_modified(|halted| {
            let is_first = halted.is_none();
            if is_first {
                *halted = Some(end.clone());
            }
            is_first
        });
        end
    }

    fn halted(&self) -> Option<NemesisEnd> {
        self.halt.borrow().clone()
    }

    fn emit(&self, event: Event) {
        self.context.emit.emit(event);
    }

    fn world(&self) -> &dyn World {
        self.context.world.as_ref()
    }

    /// Who leads the queue now, if anyone knows.
    async fn leader(&self) -> Option<NodeName> {
        leader(&ask(self.world(), &self.nodes).await)
    }

    /// The faults that brokers are in trouble by.
    fn troubling(&self) -> BTreeSet<FaultId> {
        let injected = lock(&self.injected);
        let is_near = |healed: &Option<Instant>| healed.is_none_or(|at| at.elapsed() < RECOVERY);
        let near = injected.iter().filter(|(_, healed)| is_near(healed));
        near.map(|(id, _)| *id).collect()
    }

    fn last_cut(&self) -> Option<Cut> {
        lock(&self.cuts).last().cloned()
    }

    fn since(&self, leader: Option<NodeName>) -> Since {
        Since {
            instant: Instant::now(),
            confirms: self.world().confirms(),
            leader,
        }
    }

    /// A time of the plan as an instant.
    fn instant(&self, at: Duration) -> Instant {
        let due = self.context.load_zero.saturating_add(nanos(at));
        let wait = due.saturating_sub(self.context.clock.now());
        Instant::now() + Duration::from_nanos(u64::try_from(wait).unwrap_or_default())
    }

    async fn until_shortly_before(&self, due: Option<Instant>) -> Result<(), NemesisEnd> {
        let begin = due.and_then(|due| due.checked_sub(PREPARATION));
        self.until(begin.unwrap_or_else(Instant::now)).await
    }

    /// Waits, unless everything has to stop before.
    async fn until(&self, instant: Instant) -> Result<(), NemesisEnd> {
        let wait = instant.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            end = self.stopped() => Err(end),
            () = sleep(wait) => Ok(()),
        }
    }

    /// Returns when the walk has to end early. A closed channel will never say so.
    async fn stopped(&self) -> NemesisEnd {
        let mut cancel = self.context.cancel.clone();
        let mut lost = self.lost.clone();
        let mut halt = self.halt.subscribe();
        let cancelled = async {
            if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = cancelled => NemesisEnd::Cancelled,
            lost = some(&mut lost) => NemesisEnd::HoldLost(lost),
            end = some(&mut halt) => end,
        }
    }
}

/// Whether a later step waits for another leader than there is before this one.
fn asks_for_leader_before(steps: &[PlannedStep], index: usize) -> bool {
    let is_idle = |step: &PlannedStep| matches!(step, PlannedStep::Wait(_) | PlannedStep::Await(_));
    let after = steps[index + 1..].iter().take_while(|step| is_idle(step));
    let mut awaited = after.filter_map(|step| match step {
        PlannedStep::Await(awaited) => Some(awaited),
        _ => None,
    });
    !is_idle(&steps[index]) && awaited.any(|awaited| awaited.condition.needs_step_before())
}

/// Returns when there is something.
async fn some<T: Clone>(receiver: &mut signal::Receiver<Option<T>>) -> T {
    match receiver
        .wait_for(Option::is_some)
        .await
        .map(|found| found.clone())
    {
        Ok(Some(found)) => found,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
#[path = "nemesis_tests.rs"]
mod tests;
