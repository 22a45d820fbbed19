//! A run, from bare hosts to a verdict.
//!
//! ```text
//! connect -> preflight -> deploy -> load ─┐
//!                       faults ───────────┴-> heal -> recover -> drain -> collect -> check -> report
//! ```
//!
//! Until the load begins an error ends the run: nothing was injected, and the verdict of `unknown`
//! names the stage. From then on whatever goes wrong is recorded, and the hosts are still healed, the
//! logs collected and the history judged; a failure of a later stage never erases what an earlier one
//! found.

mod directory;
mod dispatch;
mod interrupt;
mod load;
pub mod log;
pub mod metrics;
pub mod setup;
mod stage;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;

use crate::check::judge::{HISTORY_FILE, RESULTS_FILE, judge, to_json};
use crate::check::results::Results;
use crate::clock::RunClock;
use crate::event::{Emit, Event, Show, Stage};
use crate::history::recorder::{Recorder, RecorderGuard};
use crate::inventory::{Inventory, NodeName};
use crate::progress::{Outlook, State};
use crate::rabbitmq::collect::CollectError;
use crate::remote::ConnectOptions;
use crate::report;
use crate::run_dir;
use crate::scenario::{PartitionHandling, QueueType, Scenario};
use crate::schedule::Plan;
use crate::workload::administration::Administration;
use crate::workload::drain::{self, DrainContext};
use crate::workload::{Record, Tally, stream};

use self::dispatch::Dispatcher;
use self::interrupt::{Interrupt, Urgency};
use self::log::Log;
use self::metrics::Listener;
use self::setup::Ready;
use self::stage::{StageError, Stages};

const HEAL_DEADLINE: Duration = Duration::from_secs(90);
const COLLECT_DEADLINE: Duration = Duration::from_secs(180);
const CHECK_DEADLINE: Duration = Duration::from_secs(3600);
const REPORT_DEADLINE: Duration = Duration::from_secs(1800);

/// Where what comes from the nodes is kept in a run directory.
const NODES_DIRECTORY: &str = "nodes";

/// How the collecting from each node went.
type Collected = BTreeMap<NodeName, Result<(), CollectError>>;

/// What a stage may take beyond the deadline of the work that it is made of.
const MARGIN: Duration = Duration::from_secs(60);

/// The same of the drain: its last question, its consumers' end, the look at objects and the heal.
const DRAIN_MARGIN: Duration = Duration::from_secs(240);

/// Everything a run needs to know, resolved.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The hosts.
    pub inventory: Inventory,
    /// The experiment.
    pub scenario: Scenario,
    /// The faults that the seed gave.
    pub schedule: Plan,
    /// Everything random comes from it.
    pub seed: u64,
    /// Where run directories are made.
    pub runs: PathBuf,
    /// After which a node undoes every fault by itself, counted from the last renewal.
    pub lease: Duration,
    /// How connections are made.
    pub connect: ConnectOptions,
    /// The command line, for `run.json` and for those who find the hosts held.
    pub command: Vec<String>,
    /// What is logged, and where to besides `jtest.log`.
    pub log: Log,
}

impl RunPlan {
    /// What whoever watches wants to know of it beforehand.
    pub fn outlook(&self) -> Outlook {
        Outlook::of(
            &self.scenario,
            &self.schedule,
            self.node_names(),
            self.lease,
        )
    }

    fn node_names(&self) -> Vec<NodeName> {
        let nodes = &self.inventory.nodes;
        nodes.iter().map(|node| node.name.clone()).collect()
    }
}

/// What a run left.
#[derive(Debug)]
pub struct RunEnd {
    /// The run directory.
    pub directory: PathBuf,
    /// The verdict with its findings.
    pub results: Results,
    /// What failed after the verdict, which stands.
    pub warnings: Vec<String>,
}

/// The run cannot be made as it was asked for; nothing on the hosts was changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A run that is going on.
struct Run {
    plan: RunPlan,
    run_id: String,
    clock: RunClock,
    started: Timestamp,
    directory: PathBuf,
    dispatcher: Dispatcher,
    stages: Stages,
    tally: Arc<Tally>,
}

/// Runs the plan. An error means that there was nothing to judge (the load never began, unless it was
/// the user who ended the run before it), or that the run directory cannot be written.
pub async fn run(
    plan: RunPlan,
    show: Box<dyn Show>,
    metrics: Option<Listener>,
) -> anyhow::Result<RunEnd> {
    let started = Timestamp::now();
    let clock = RunClock::start();
    let (directory, _in_use) = directory::create(&plan.runs, &plan.scenario.name, started)
        .with_context(|| format!("create a run directory under {}", plan.runs.display()))?;
    plan.log.begin_run(&directory)?;
    let tally = Arc::new(Tally::new(plan.node_names()));
    let (_server, show) = match metrics {
        Some(listener) => {
            let (server, show) = watched(listener, &plan, &tally, show).context("serve metrics")?;
            (Some(server), show)
        }
        None => (None, show),
    };
    let (dispatcher, guard) = dispatch::start(&directory.join("events.jsonl"), clock, show)
        .with_context(|| format!("write in {}", directory.display()))?;
    let emit: Arc<dyn Emit> = Arc::new(dispatcher.clone());
    let seen = emit.clone();
    let interrupt = Interrupt::listen(move |by| seen.emit(Event::Interrupted { by: by.into() }))?;
    let mut run = Run {
        run_id: setup::new_id(),
        plan,
        clock,
        started,
        directory,
        dispatcher,
        stages: Stages { emit, interrupt },
        tally,
    };
    let outcome = run.walk().await;
    let written = guard.finish();
    let mut end = outcome?;
    if let Err(error) = written {
        end.warnings.push(format!("events.jsonl: {error:#}"));
    }
    Ok(end)
}

fn watched(
    listener: Listener,
    plan: &RunPlan,
    tally: &Arc<Tally>,
    show: Box<dyn Show>,
) -> io::Result<(metrics::Server, Box<dyn Show>)> {
    let identity = metrics::Identity {
        scenario: plan.scenario.name.clone(),
        seed: plan.seed,
    };
    let state = State::new(plan.outlook());
    metrics::start(listener, identity, Arc::clone(tally), state, show)
}

impl Run {
    async fn walk(&mut self) -> anyhow::Result<RunEnd> {
        let emit = self.stages.emit.clone();
        let text = format!(
            "seed {}, writing {}",
            self.plan.seed,
            self.directory.display()
        );
        emit.note(None, text);
        self.write_manifest(None)?;
        let history = self.directory.join(HISTORY_FILE);
        let (recorder, recording) = Recorder::create(&history, &self.node_names(), &self.run_id)
            .context("write history.arrow")?;
        let ready = match self.set_up().await {
            Ok(ready) => ready,
            Err(error) => return self.end_before_load(error, recording).await,
        };
        tokio::select! {
            () = self.exercise(&ready, recorder, recording) => {}
            never = ready.broker.watch(self.clock, emit.as_ref()) => match never {},
        }
        let nodes = self.directory.join(NODES_DIRECTORY);
        let collecting = ready.broker.collect(&nodes, self.started.as_second());
        self.collect(collecting).await;
        for (node, healed) in ready.hold.release().await {
            match healed {
                Ok(report) if report.firewall_as_before == Some(false) => {
                    let differences = report.firewall_differences.join("; ");
                    let text = format!("its firewall is not as before: {differences}");
                    emit.note(Some(&node), text);
                }
                Ok(_) => {}
                Err(error) => {
                    let text = format!("not released, its lease will: {error}");
                    emit.note(Some(&node), text);
                }
            }
        }
        self.conclude().await
    }

    /// A verdict there is even so. Whoever asked the run to stop gets it; everyone else, the error.
    async fn end_before_load(
        &self,
        error: anyhow::Error,
        recording: RecorderGuard,
    ) -> anyhow::Result<RunEnd> {
        self.finish_history(recording);
        let judged = self.conclude().await;
        match error.downcast_ref() {
            Some(StageError::Interrupted) => judged,
            _ => Err(error),
        }
    }

    fn finish_history(&self, recording: RecorderGuard) {
        let ended = recording.finish();
        let digest = ended.and_then(|_| run_dir::digest(&self.directory.join(HISTORY_FILE)));
        match digest {
            Ok((bytes, sha1)) => self.stages.emit.emit(Event::HistoryEnded { bytes, sha1 }),
            Err(error) => {
                let text = format!("history.arrow: {error}");
                self.stages.emit.note(None, text);
            }
        }
    }

    /// Load with faults, heal, recover, drain. Each failure is recorded as its stage's end.
    async fn exercise(&self, ready: &Ready, recorder: Recorder, recording: RecorderGuard) {
        let recorder: Arc<dyn Record> = Arc::new(recorder);
        let tally = Arc::clone(&self.tally);
        let administration = Administration::of(Arc::new(ready.broker.clone()));
        let loaded = self
            .stages
            .stage(
                Stage::Load,
                self.load_deadline(),
                Urgency::Go,
                self.load(
                    ready,
                    recorder.clone(),
                    tally.clone(),
                    administration.clone(),
                ),
            )
            .await;
        let healed = self
            .stages
            .stage(Stage::Heal, HEAL_DEADLINE, Urgency::None, self.heal(ready))
            .await;
        if loaded.is_ok() && healed.is_ok() {
            // What a broken cluster still gives is worth knowing, though it proves nothing.
            let _told = self.recover(ready).await;
            let _told = self.drain(ready, recorder, tally, &administration).await;
        }
        self.finish_history(recording);
    }

    async fn heal(&self, ready: &Ready) -> anyhow::Result<()> {
        let lifted = ready.hold.undo_all().await?;
        for remark in lifted.remarks {
            self.stages.emit.note(None, remark);
        }
        if let Some(node) = lifted.lost.first() {
            bail!("{node} was not held by this run any more, so that others may have changed it");
        }
        Ok(())
    }

    async fn recover(&self, ready: &Ready) -> Result<(), StageError> {
        let deadline = self.plan.scenario.recovery_timeout;
        let work = async {
            let emit = self.stages.emit.as_ref();
            if self.plan.scenario.cluster.partition_handling == PartitionHandling::Ignore {
                ready.broker.end_ignored_partition(emit).await?;
            }
            ready.broker.recover(deadline, emit).await?;
            Ok(())
        };
        self.stages
            .stage(Stage::Recover, deadline + MARGIN, Urgency::Stop, work)
            .await
    }

    async fn drain(
        &self,
        ready: &Ready,
        recorder: Arc<dyn Record>,
        tally: Arc<Tally>,
        administration: &Administration,
    ) -> Result<(), StageError> {
        let deadline = self.plan.scenario.drain_timeout;
        let context = DrainContext {
            endpoints: ready.broker.endpoints(),
            credentials: ready.broker.credentials().clone(),
            queues: self.plan.scenario.queue.drained(),
            run_id: self.run_id.clone(),
            recorder: recorder.clone(),
            emit: self.stages.emit.clone(),
            clock: self.clock,
            tally,
            deadline,
        };
        let work = async {
            let counts = || ready.broker.counts();
            let mut proof = match self.plan.scenario.queue.kind {
                QueueType::Stream => stream::drain::run(context, counts).await,
                _ => drain::run(context, counts).await,
            };
            let endpoints = ready.broker.endpoints();
            let observing = administration.observe(&endpoints, recorder.as_ref(), self.clock);
            for (node, error) in observing.await {
                self.stages.emit.note(Some(&node), error);
            }
            // Whoever has the hosts may have emptied the queue.
            if let Err(error) = self.heal(ready).await {
                proof.complete = false;
                proof.evidence.push(format!("{error:#}"));
            }
            self.stages.emit.emit(Event::Drained { proof });
            Ok(())
        };
        self.stages
            .stage(Stage::Drain, deadline + DRAIN_MARGIN, Urgency::Stop, work)
            .await
    }

    /// What could not be brought home is told; it takes nothing from the verdict.
    async fn collect(&self, collecting: impl Future<Output = Collected>) {
        let work = async {
            let outcomes = collecting.await;
            let errors: Vec<_> = outcomes
                .into_values()
                .filter_map(|outcome| Some(outcome.err()?.to_string()))
                .collect();
            if errors.is_empty() {
                Ok(())
            } else {
                Err(anyhow!("{}", errors.join("; ")))
            }
        };
        let _told = self
            .stages
            .stage(Stage::Collect, COLLECT_DEADLINE, Urgency::Go, work)
            .await;
    }

    /// The verdict, and what people and machines read of it.
    async fn conclude(&self) -> anyhow::Result<RunEnd> {
        self.dispatcher.sync();
        let directory = self.directory.clone();
        let results = self
            .stages
            .stage(Stage::Check, CHECK_DEADLINE, Urgency::None, async move {
                tokio::task::spawn_blocking(move || {
                    let results = judge(&directory)?;
                    let path = directory.join(RESULTS_FILE);
                    run_dir::write(&path, &to_json(&results)?)
                        .with_context(|| format!("write {}", path.display()))?;
                    anyhow::Ok(results)
                })
                .await?
            })
            .await?;
        let directory = self.directory.clone();
        let results = Arc::new(results);
        let told = Arc::clone(&results);
        let _told = self
            .stages
            .stage(Stage::Report, REPORT_DEADLINE, Urgency::None, async move {
                tokio::task::spawn_blocking(move || report::write(&directory, &told)).await?
            })
            .await;
        let results = Arc::unwrap_or_clone(results);
        Ok(RunEnd {
            directory: self.directory.clone(),
            results,
            warnings: Vec::new(),
        })
    }
}
