//! The load with its faults: producers on one side, the nemesis on the other.
//!
//! What goes wrong in here is an error of the stage and nothing more: the stages after it
//! (heal, recover, drain, collect) come all the same. Dropped in the middle, it leaves no
//! task behind.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::fault::hold::HEAL_DEADLINE;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::nemesis::{self, NemesisContext, NemesisEnd, NemesisOutcome, Said, World};
use crate::rabbitmq::{Broker, PEER_PORT};
use crate::scenario::Amount;
use crate::schedule::LOAD_TAIL;
use crate::workload::administration::Administration;
use crate::workload::load::{self, LoadContext, LoadSummary};
use crate::workload::{Record, Tally};

use super::Run;
use super::interrupt::Urgency;
use super::setup::Ready;

/// What the hosts may take to inject a fault and to heal it: some start a broker again.
const FAULT_HANDLING: Duration = Duration::from_secs(30);

/// For anybody to say who leads the queue.
const LEADER_DEADLINE: Duration = Duration::from_secs(30);

/// How long faults and producers may take to end once they were told to, beyond the
/// confirm deadline that producers wait for.
const END_GRACE: Duration = Duration::from_secs(90);

/// Nobody knows how long a closed loop takes for its messages.
const LOAD_MAX: Duration = Duration::from_secs(24 * 3600);

impl Run {
    /// Until producers and faults are done, the user stops them, or the hold on the hosts is lost.
    pub(super) async fn load(
        &self,
        ready: &Ready,
        recorder: Arc<dyn Record>,
        tally: Arc<Tally>,
        administration: Administration,
    ) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let zero = self.clock.now();
        let faults = self.faults(ready, zero, tally.clone(), &stop);
        let clients = load::run(self.load_context(ready, recorder, tally, administration, stopped));
        tokio::select! {
            (faults, clients) = async { tokio::join!(faults, clients) } => self.outcome(&faults, &clients),
            error = self.stopped_early(ready, &stop) => Err(error),
        }
    }

    /// How long the load may take in all.
    pub(super) fn load_deadline(&self) -> Duration {
        let workload = &self.plan.scenario.workload;
        let clients = match (workload.amount, workload.rate) {
            (Amount::Schedule, _) => Duration::ZERO,
            (Amount::Duration(duration), _) => duration,
            // Resends and cuts may cost several times the time that the rate alone takes.
            (Amount::Messages(count), Some(rate)) => {
                Duration::try_from_secs_f64(count as f64 / rate * 4.0).unwrap_or(LOAD_MAX)
            }
            (Amount::Messages(_), None) => LOAD_MAX,
        };
        let schedule = &self.plan.schedule;
        let count = u32::try_from(schedule.faults().len()).unwrap_or(u32::MAX);
        let handling = FAULT_HANDLING.saturating_mul(count);
        let faults = schedule.longest().saturating_add(handling + LOAD_TAIL);
        // Looking up a leader and proving a fault delay the faults that come after it.
        faults.max(clients).saturating_mul(2) + workload.confirm_timeout + END_GRACE
    }

    async fn faults(
        &self,
        ready: &Ready,
        zero: Nanos,
        tally: Arc<Tally>,
        stop: &watch::Sender<bool>,
    ) -> NemesisOutcome {
        let context = self.nemesis_context(ready, zero, tally, stop.subscribe());
        let outcome = nemesis::run(&self.plan.schedule, context).await;
        if self.plan.scenario.workload.amount == Amount::Schedule {
            let mut stopped = stop.subscribe();
            tokio::select! {
                () = sleep(LOAD_TAIL) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            stop.send_replace(true);
        }
        outcome
    }

    fn nemesis_context<'a>(
        &self,
        ready: &'a Ready,
        load_zero: Nanos,
        tally: Arc<Tally>,
        cancel: watch::Receiver<bool>,
    ) -> NemesisContext<'a> {
        NemesisContext {
            hold: &ready.hold,
            clock: self.clock,
            load_zero,
            offsets: ready.offsets.clone(),
            peer_port: PEER_PORT,
            queue: self.plan.scenario.queue.name.clone(),
            leader_deadline: LEADER_DEADLINE,
            heal_deadline: HEAL_DEADLINE.min(ready.hold.lease()),
            emit: self.stages.emit.clone(),
            world: Arc::new(Watched {
                broker: ready.broker.clone(),
                tally,
            }),
            cancel,
        }
    }

    fn load_context(
        &self,
        ready: &Ready,
        recorder: Arc<dyn Record>,
        tally: Arc<Tally>,
        administration: Administration,
        stop: watch::Receiver<bool>,
    ) -> LoadContext {
        LoadContext {
            endpoints: ready.broker.endpoints(),
            credentials: ready.broker.credentials().clone(),
            queue: self.plan.scenario.queue.clone(),
            workload: self.plan.scenario.workload.clone(),
            run_id: self.run_id.clone(),
            recorder,
            emit: self.stages.emit.clone(),
            clock: self.clock,
            tally,
            stop,
            administration: Some(administration),
        }
    }

    fn outcome(&self, faults: &NemesisOutcome, clients: &LoadSummary) -> anyhow::Result<()> {
        for client in &clients.clients {
            if let Some(reason) = &client.gave_up {
                let text = format!("its client gave up: {reason}");
                self.stages.emit.note(Some(&client.node), text);
            }
        }
        if !clients.errors.is_empty() {
            bail!("{}", clients.errors.join("; "));
        }
        match &faults.end {
            // The history up to there can be judged; the verdict is told what is missing.
            NemesisEnd::Completed | NemesisEnd::NotCome(_) => Ok(()),
            NemesisEnd::Cancelled => bail!("interrupted"),
            NemesisEnd::HoldLost(lost) => bail!("{lost}"),
            NemesisEnd::NotHealed(error) => bail!("a fault was not healed: {error}"),
        }
    }

    /// Tells producers and faults to end when that is wanted; returns only if they do not.
    async fn stopped_early(&self, ready: &Ready, stop: &watch::Sender<bool>) -> anyhow::Error {
        let mut lost = ready.hold.lost();
        tokio::select! {
            () = self.stages.interrupt.at_least(Urgency::Stop) => {}
            _ = lost.wait_for(Option::is_some) => {}
        }
        stop.send_replace(true);
        let grace = self.plan.scenario.workload.confirm_timeout + END_GRACE;
        sleep(grace).await;
        anyhow!(
            "producers and faults did not end within {} s",
            grace.as_secs()
        )
    }
}

/// The cluster and the load as the nemesis sees them.
struct Watched {
    broker: Broker,
    tally: Arc<Tally>,
}

#[async_trait]
impl World for Watched {
    async fn ask(&self, node: &NodeName) -> Option<Said> {
        let answer = self.broker.ask_node(node).await?;
        let queue = answer.queue();
        Some(Said {
            leader: queue.and_then(|queue| queue.leader.clone()),
            members: queue.map(|queue| queue.holders.clone()).unwrap_or_default(),
            view: answer.view,
        })
    }

    fn confirms(&self) -> u64 {
        self.tally.confirms()
    }
}
