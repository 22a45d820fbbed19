//! One client that enqueues, one that dequeues a little later.

use super::{Defect, STEP, Writing, delay, entry};
use crate::check::results::Value;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// Messages that are in the queue when the next is dequeued.
const INSIDE: u64 = 20;

/// An operation is an enqueue or a dequeue.
pub(super) fn messages(operations: u64) -> u64 {
    operations.div_ceil(2)
}

pub(super) fn write(messages: u64, to: &mut Writing<'_>) {
    let mut swapped = None;
    for number in 0..messages + INSIDE {
        let begin = 10 * STEP * Nanos::try_from(number).unwrap_or(0);
        if number < messages {
            pair(begin, Action::Publish, of(0, number), to);
        }
        let Some(number) = number.checked_sub(INSIDE) else {
            continue;
        };
        let begin = begin + 5 * STEP;
        let defect = to.defect(number);
        if defect == Some(Defect::FalseEmpty) {
            let asked = of(1, number);
            (to.record)(entry(begin, Action::Get, Phase::Invoke, asked));
            (to.record)(Entry {
                cause: Cause::Empty,
                ..entry(begin + STEP / 2, Action::Get, Phase::Fail, asked)
            });
            to.plant(Defect::FalseEmpty, of(0, number), begin);
        }
        // It comes one turn late, after the one behind it.
        let is_swapped =
            defect == Some(Defect::Overtaken) && swapped.is_none() && number + 1 < messages;
        if is_swapped {
            to.plant(Defect::Overtaken, of(0, number), begin);
            swapped = Some(number);
            continue;
        }
        pair(begin + STEP, Action::Get, of(0, number), to);
        if let Some(late) = swapped.take() {
            pair(begin + 3 * STEP, Action::Get, of(0, late), to);
        }
    }
}

fn of(producer: u32, sequence: u64) -> Value {
    Value { producer, sequence }
}

/// An operation's beginning and its good end.
fn pair(begin: Nanos, action: Action, value: Value, to: &mut Writing<'_>) {
    let end = begin + STEP / 2 + delay(&mut to.random, STEP / 2);
    for (time, phase) in [(begin, Phase::Invoke), (end, Phase::Ok)] {
        let told = entry(time, action, phase, value);
        let process = u32::from(action == Action::Get);
        (to.record)(Entry {
            process,
            node: process as u16,
            ..told
        });
    }
}
