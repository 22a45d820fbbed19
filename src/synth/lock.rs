//! Clients that take turns at a lock: one gets it, another finds it taken, the first gives it back.

use super::{Defect, NODES, STEP, Writing, delay, entry};
use crate::check::results::Value;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// An operation is an acquire or a release; a turn has three.
pub(super) fn turns(operations: u64) -> u64 {
    operations.div_ceil(3)
}

pub(super) fn write(turns: u64, to: &mut Writing<'_>) {
    // The lock itself: a message, confirmed before anybody acquires it and drained at the end.
    let lock = Value::default();
    (to.record)(entry(0, Action::Publish, Phase::Invoke, lock));
    (to.record)(entry(1, Action::Publish, Phase::Ok, lock));
    let clients = u64::from(NODES);
    let mut end = STEP;
    for turn in 0..turns {
        let client = |number: u64, nth: u64| Value {
            producer: (number % clients) as u32,
            sequence: 1 + 2 * turn + nth,
        };
        let (holder, other) = (client(turn, 0), client(turn + 1, 1));
        let begin = STEP + 8 * STEP * Nanos::try_from(turn).unwrap_or(0);
        let at =
            |step: Nanos, to: &mut Writing<'_>| begin + step * STEP + delay(&mut to.random, STEP);
        let mut tell = |step, action, phase, value, to: &mut Writing<'_>| {
            let time = at(step, to);
            let cause = match phase {
                Phase::Fail => Cause::Empty,
                _ => Cause::None,
            };
            (to.record)(Entry {
                cause,
                ..entry(time, action, phase, value)
            });
            end = time;
        };
        tell(0, Action::Acquire, Phase::Invoke, holder, to);
        tell(1, Action::Acquire, Phase::Ok, holder, to);
        tell(2, Action::Acquire, Phase::Invoke, other, to);
        if to.defect(turn) == Some(Defect::Overlap) {
            tell(3, Action::Acquire, Phase::Ok, other, to);
            to.plant(Defect::Overlap, other, begin + 3 * STEP);
            tell(4, Action::Release, Phase::Invoke, other, to);
            tell(5, Action::Release, Phase::Ok, other, to);
        } else {
            tell(3, Action::Acquire, Phase::Fail, other, to);
        }
        tell(6, Action::Release, Phase::Invoke, holder, to);
        tell(7, Action::Release, Phase::Ok, holder, to);
    }
    (to.record)(entry(end + STEP, Action::Drain, Phase::Ok, lock));
}
