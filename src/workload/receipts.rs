//! The books of one consumer: what it received, and what became of its acknowledgements.
//!
//! An acknowledgement has no answer. It ends `ok` once the broker has answered a request that was
//! sent after it on the same channel or session: that has taken it then. If the connection is lost before, nobody
//! knows (`info`), and the message may come again.

use std::sync::Arc;

use super::load::LoadContext;
use super::message::{AttemptId, Codec};
use super::{Record, Tally};
use crate::clock::RunClock;
use crate::history::operation::{Action, Cause, Entry, Phase};

/// A message that was received.
#[derive(Clone, Copy)]
struct Receipt {
    id: AttemptId,
    tag: u64,
}

pub(super) struct Receipts {
    recorder: Arc<dyn Record>,
    clock: RunClock,
    tally: Arc<Tally>,
    codec: Codec,
    node: u16,
    queue: u16,
    process: u32,
    /// Not acknowledged.
    held: Vec<Receipt>,
    /// Acknowledged, and nothing was asked since.
    sent: Vec<Receipt>,
    /// Acknowledged before the question that is under way.
    asked: Vec<Receipt>,
    is_subscribed: bool,
}

impl Receipts {
    pub(super) fn new(context: &LoadContext, node: u16, queue: u16) -> Self {
        Self {
            recorder: Arc::clone(&context.recorder),
            clock: context.clock,
            tally: Arc::clone(&context.tally),
            codec: Codec::new(&context.run_id, 0),
            node,
            queue,
            process: 0,
            held: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            is_subscribed: false,
        }
    }

    /// A new connection is a new logical process.
    pub(super) fn begin(&mut self, process: u32) {
        self.process = process;
    }

    pub(super) fn subscribing(&mut self) {
        self.note(Action::Subscribe, Phase::Invoke, Cause::None);
    }

    /// How that ended.
    pub(super) fn subscribed(&mut self, phase: Phase, cause: Cause) {
        self.is_subscribed = phase == Phase::Ok;
        self.note(Action::Subscribe, phase, cause);
    }

    pub(super) fn cancelling(&mut self) {
        self.note(Action::Cancel, Phase::Invoke, Cause::None);
    }

    /// How that ended.
    pub(super) fn cancelled(&mut self, phase: Phase, cause: Cause) {
        self.is_subscribed = false;
        self.note(Action::Cancel, phase, cause);
    }

    /// Asks for a message; its answer is one to all acknowledgements before it.
    pub(super) fn getting(&mut self) {
        self.note(Action::Get, Phase::Invoke, Cause::None);
        self.asking();
    }

    /// There was none.
    pub(super) fn got_none(&mut self, phase: Phase, cause: Cause) {
        self.note(Action::Get, phase, cause);
    }

    pub(super) fn received(&mut self, action: Action, body: &[u8], tag: u64, redelivered: bool) {
        let (id, cause) = match self.codec.decode(body) {
            Ok(id) => (id, Cause::None),
            Err(_alien) => (AttemptId::FOREIGN, Cause::Foreign),
        };
        self.record(Entry {
            redelivered,
            tag: Some(tag),
            ..self.entry(action, Phase::Ok, id, cause)
        });
        self.tally.received(self.node);
        self.held.push(Receipt { id, tag });
    }

    /// How many messages are not acknowledged.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// All that is held is about to be acknowledged; up to which tag.
    pub(super) fn acknowledging(&mut self) -> Option<u64> {
        let last = self.held.last()?.tag;
        for receipt in std::mem::take(&mut self.held) {
            self.ack(receipt, Phase::Invoke, Cause::None);
            self.sent.push(receipt);
        }
        Some(last)
    }

    /// Whether there are acknowledgements of which nothing was asked.
    pub(super) fn is_unasked(&self) -> bool {
        !self.sent.is_empty()
    }

    /// A question follows all acknowledgements so far.
    pub(super) fn asking(&mut self) {
        self.asked.append(&mut self.sent);
    }

    /// It was answered.
    pub(super) fn answered(&mut self) {
        for receipt in std::mem::take(&mut self.asked) {
            self.ack(receipt, Phase::Ok, Cause::None);
        }
    }

    /// The connection is given up.
    pub(super) fn lost(&mut self, cause: Cause) {
        self.asking();
        for receipt in std::mem::take(&mut self.asked) {
            self.ack(receipt, Phase::Info, cause);
        }
        self.held.clear();
        if self.is_subscribed {
            self.cancelling();
            self.cancelled(Phase::Info, cause);
        }
    }

    fn ack(&self, receipt: Receipt, phase: Phase, cause: Cause) {
        let tag = Some(receipt.tag);
        self.record(Entry {
            tag,
            ..self.entry(Action::Ack, phase, receipt.id, cause)
        });
    }

    /// Records what is of no message.
    fn note(&self, action: Action, phase: Phase, cause: Cause) {
        self.record(self.entry(action, phase, AttemptId::FOREIGN, cause));
    }

    fn record(&self, entry: Entry) {
        self.recorder.record(entry);
    }

    fn entry(&self, action: Action, phase: Phase, id: AttemptId, cause: Cause) -> Entry {
        Entry {
            time: self.clock.now(),
            process: self.process,
            node: self.node,
            phase,
            action,
            producer: id.producer,
            sequence: id.sequence,
            attempt: id.attempt,
            cause,
            queue: self.queue,
            ..Entry::default()
        }
    }
}

impl Drop for Receipts {
    fn drop(&mut self) {
        self.lost(Cause::RunEnded);
    }
}

#[cfg(test)]
#[path = "receipts_tests.rs"]
mod tests;
