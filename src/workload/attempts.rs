//! What becomes of the attempts of one connection; pure, knows no broker and no clock.
//!
//! | what happened | completion |
//! | --- | --- |
//! | `basic.ack`, and no `basic.return` for that message | `ok` |
//! | `basic.nack`, or `basic.return` | `fail` |
//! | connection lost, confirm not in time, anything else | `info` |
//!
//! Every attempt completes exactly once. The difficulty is *and no return*. A broker sends a
//! return before the ack of the same message, but the client library keeps returned messages
//! in a queue and hands its front to whichever confirm resolves next, so the return of one
//! message may come attached to the confirm of another. Returns are therefore matched by
//! `message_id`, and an ack is held until no return for its message can be under way:
//!
//! 1. An ack that carried no message found the library's queue empty. A return for it, sent
//!    before, must have been handed to a confirm that resolved earlier.
//! 2. An ack that carried another message's return leaves at most as many returns queued as
//!    there are unresolved attempts (each of those has its own confirm still to come, and each
//!    confirm takes one). Once all attempts published before this ack was observed are
//!    resolved, the queue has handed out everything it held then.
//!
//! In both cases [`Attempts::settle`] may only be called when every confirm that has resolved
//! so far was given to [`Attempts::resolve`]. Under that condition a wrong pairing can make an
//! attempt wait, or end `info` if the connection is lost meanwhile, but never `ok` or `fail`
//! wrongly.

use super::message::AttemptId;
use super::window::Window;
use crate::history::operation::{Cause, Nanos, Phase};

/// The place of an attempt in the order of publishing on its connection, from 0.
pub type Order = u64;

/// The broker's answer to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `basic.ack`.
    Ack,
    /// `basic.nack`.
    Nack,
}

/// The returned message that came attached to a confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// None.
    Nothing,
    /// The return of this attempt, not necessarily the one confirmed.
    Return(AttemptId),
    /// A message without a readable `message_id`, which no producer of this run sends.
    Unreadable,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// Which attempt.
    pub id: AttemptId,
    /// `Ok`, `Fail` or `Info`.
    pub phase: Phase,
    /// Why, where it is not `Ok`.
    pub cause: Cause,
    /// Until when its confirm was due, as it was invoked.
    pub deadline: Nanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No confirm yet.
    Unresolved,
    /// Returned and so completed, no confirm yet.
    ReturnedUnresolved,
    /// Acked; waits for the next [`Attempts::settle`].
    AckedClean,
    /// Acked with another message's return; waits for everything published before this order.
    AckedHeld(Order),
}

#[derive(Debug)]
struct Open {
    id: AttemptId,
    deadline: Nanos,
    state: State,
}

/// The attempts of one connection that are not over.
#[derive(Debug, Default)]
pub struct Attempts {
    next: Order,
    open: Window<Open>,
    /// No attempt before it lacks its confirm.
    first_unresolved: Order,
    /// What waits to be settled, and some that is over.
    acked: Vec<Order>,
    contradictions: u64,
}

impl Attempts {
    /// An attempt is about to be published.
    pub fn invoke(&mut self, id: AttemptId, deadline: Nanos) -> Order {
        let order = self.next;
        self.next += 1;
        self.open.push(
            order,
            Open {
                id,
                deadline,
                state: State::Unresolved,
            },
        );
        order
    }

    /// A confirm resolved; completions that follow at once are pushed to `out`.
    pub fn resolve(
        &mut self,
        order: Order,
        answer: Answer,
        carried: Carried,
        out: &mut Vec<Completion>,
    ) {
        match carried {
            Carried::Nothing => {}
            Carried::Return(id) => self.returned(id, out),
            Carried::Unreadable => self.contradictions += 1,
        }
        let open = self.open.get_mut(order);
        let Some(open) = open.filter(|open| open.is_unresolved()) else {
            self.contradictions += 1;
            return;
        };
        match (open.state, answer) {
            (State::ReturnedUnresolved, _) => self.remove(order),
            (_, Answer::Nack) => {
                out.push(open.completed(Phase::Fail, Cause::Nacked));
                self.remove(order);
            }
            (_, Answer::Ack) => {
                open.state = if carried == Carried::Nothing {
                    State::AckedClean
                } else {
                    State::AckedHeld(self.next)
                };
                self.acked.push(order);
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        let is_resolved = |order| {
            let open = self.open.get(order);
            !open.is_some_and(Open::is_unresolved)
        };
        while self.first_unresolved < self.next && is_resolved(self.first_unresolved) {
            self.first_unresolved += 1;
        }
    }

    fn returned(&mut self, id: AttemptId, out: &mut Vec<Completion>) {
        // Returns come in the order of publishing, so it is among the oldest.
        let found = self.open.iter().find(|(_, open)| open.id == id);
        let order = found.map(|(order, _)| order);
        let Some((order, open)) = order.and_then(|order| Some((order, self.open.get_mut(order)?)))
        else {
            self.contradictions += 1;
            return;
        };
        let completed = open.completed(Phase::Fail, Cause::Returned);
        match open.state {
            State::Unresolved => open.state = State::ReturnedUnresolved,
            State::AckedClean | State::AckedHeld(_) => self.remove(order),
            State::ReturnedUnresolved => {
                self.contradictions += 1;
                return;
            }
        }
        out.push(completed);
    }

    /// Completes the acked attempts for which no return can be under way. Every confirm that
    /// has resolved by now must have been given to [`Self::resolve`].
    pub fn settle(&mut self, out: &mut Vec<Completion>) {
        let mut acked = std::mem::take(&mut self.acked);
        acked.sort_unstable();
        acked.retain(|order| {
            let Some(open) = self.open.get(*order) else {
                return false;
            };
            let is_held = matches!(open.state, State::AckedHeld(boundary) if boundary > self.first_unresolved);
            if !is_held {
                out.push(open.completed(Phase::Ok, Cause::None));
                self.open.remove(*order);
            }
            is_held
        });
        self.acked = acked;
    }

    /// The connection is given up: whatever has not completed ends `Info`, as not confirmed in
    /// time where that is so, else for the given cause.
    pub fn abandon(&mut self, now: Nanos, cause: Cause, out: &mut Vec<Completion>) {
        for (_, open) in self.open.iter() {
            let cause = match open.state {
                State::ReturnedUnresolved => continue,
                State::Unresolved if open.deadline <= now => Cause::ConfirmTimeout,
                State::Unresolved | State::AckedClean | State::AckedHeld(_) => cause,
            };
            out.push(open.completed(Phase::Info, cause));
        }
        self.open = Window::default();
        self.first_unresolved = self.next;
        self.acked.clear();
    }

    fn remove(&mut self, order: Order) {
        self.open.remove(order);
    }

    /// How many attempts are not over: what the window bounds.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// When the first missing confirm is overdue.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let first = self.open.get(self.first_unresolved)?;
        Some(first.deadline)
    }

    /// How often something came that the rules above exclude: a second confirm, a return for
    /// an attempt that is already over. Anything but 0 means that completions cannot be trusted.
    pub fn contradictions(&self) -> u64 {
        self.contradictions
    }
}

impl Open {
    /// Whether its confirm is still to come.
    fn is_unresolved(&self) -> bool {
        matches!(self.state, State::Unresolved | State::ReturnedUnresolved)
    }

    fn completed(&self, phase: Phase, cause: Cause) -> Completion {
        Completion {
            id: self.id,
            phase,
            cause,
            deadline: self.deadline,
        }
    }
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
