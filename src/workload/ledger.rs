//! The books of one producer: every attempt is recorded when invoked and exactly once when it
//! completes, also when the producer's task panics or is dropped.

use std::sync::Arc;

use super::attempts::{Attempts, Completion, Order};
use super::demand::Demand;
use super::load::LoadContext;
use super::message::AttemptId;
use super::publisher::Batch;
use super::{Record, Tally};
use crate::clock::RunClock;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// Counts of one producer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts invoked.
    pub attempts: u64,
    /// Completed `ok`.
    pub ok: u64,
    /// Completed `fail`.
    pub fail: u64,
    /// Completed `info`.
    pub info: u64,
    /// Confirms that contradict others.
    pub contradictions: u64,
}

pub(super) struct Ledger {
    recorder: Arc<dyn Record>,
    clock: RunClock,
    tally: Arc<Tally>,
    node: u16,
    process: u32,
    confirm_timeout: Nanos,
    queues: u16,
    attempts: Attempts,
    demand: Demand,
    counts: Counts,
}

impl Ledger {
    pub(super) fn new(context: &LoadContext, node: u16, demand: Demand) -> Self {
        let confirm_timeout = context.workload.confirm_timeout.as_nanos();
        Self {
            recorder: Arc::clone(&context.recorder),
            clock: context.clock,
            tally: Arc::clone(&context.tally),
            node,
            process: 0,
            confirm_timeout: Nanos::try_from(confirm_timeout).unwrap_or(Nanos::MAX / 2),
            queues: context.queue.published(),
            attempts: Attempts::default(),
            demand,
            counts: Counts::default(),
        }
    }

    /// A new connection is a new logical process.
    pub(super) fn begin(&mut self, process: u32) {
        self.abandon(Cause::ConnectionLost);
        self.counts.contradictions += self.attempts.contradictions();
        self.attempts = Attempts::default();
        self.process = process;
    }

    /// Takes the next attempt from the demand and records that it begins.
    pub(super) fn invoke(&mut self, intended: Option<Nanos>) -> Option<(Order, AttemptId)> {
        let id = self.demand.take()?;
        let now = self.clock.now();
        self.tally.operated(self.node, Phase::Invoke, None);
        self.record(now, id, Phase::Invoke, Cause::None, intended);
        let order = self.attempts.invoke(id, now + self.confirm_timeout);
        Some((order, id))
    }

    /// Takes what became known. The batch is complete in the sense of [`Attempts::settle`].
    pub(super) fn apply(&mut self, batch: &Batch) {
        let mut completions = Vec::new();
        for (order, answer, carried) in &batch.resolved {
            self.attempts
                .resolve(*order, *answer, *carried, &mut completions);
        }
        self.attempts.settle(&mut completions);
        self.complete(&completions);
    }

    /// The connection is given up; see [`Attempts::abandon`].
    pub(super) fn abandon(&mut self, cause: Cause) {
        let mut completions = Vec::new();
        let now = self.clock.now();
        self.attempts.abandon(now, cause, &mut completions);
        self.complete(&completions);
    }

    /// A value is not to be sent again.
    pub(super) fn give_up(&mut self, id: AttemptId) {
        self.demand.give_up(id);
    }

    fn complete(&mut self, completions: &[Completion]) {
        for completion in completions {
            let Completion {
                id,
                phase,
                cause,
                deadline,
            } = *completion;
            let now = self.clock.now();
            let begun = deadline - self.confirm_timeout;
            let took = (phase == Phase::Ok).then(|| now - begun);
            self.tally.operated(self.node, phase, took);
            self.record(now, id, phase, cause, None);
            self.demand.completed(completion);
        }
    }

    fn record(
        &mut self,
        time: Nanos,
        id: AttemptId,
        phase: Phase,
        cause: Cause,
        intended: Option<Nanos>,
    ) {
        let counter = match phase {
            Phase::Invoke => &mut self.counts.attempts,
            Phase::Ok => &mut self.counts.ok,
            Phase::Fail => &mut self.counts.fail,
            Phase::Info => &mut self.counts.info,
        };
        *counter += 1;
        self.recorder.record(Entry {
            time,
            process: self.process,
            node: self.node,
            phase,
            action: Action::Publish,
            producer: id.producer,
            sequence: id.sequence,
            attempt: id.attempt,
            cause,
            intended,
            queue: self.queue_of(id),
            ..Entry::default()
        });
    }

    /// The queue to which a value goes, all its attempts: the producer's values take the queues in turn.
    pub(super) fn queue_of(&self, id: AttemptId) -> u16 {
        let queue = id.sequence % u64::from(self.queues.max(1));
        u16::try_from(queue).unwrap_or(0)
    }

    /// How many attempts are not over.
    pub(super) fn open(&self) -> usize {
        self.attempts.open()
    }

    /// When the first missing confirm is overdue.
    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        self.attempts.next_deadline()
    }

    pub(super) fn demand(&self) -> &Demand {
        &self.demand
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            contradictions: self.counts.contradictions + self.attempts.contradictions(),
            ..self.counts
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.abandon(Cause::RunEnded);
    }
}
