//! Producers with a window of unconfirmed messages, then a drain.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{DRAIN_PROCESS, Defect, NODES, STEP, Writing, entry, publish, value};
use crate::check::results::Value;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Confirmed,
    /// Nacked, and not there.
    Nacked,
    Returned,
    /// Without an answer, and there or not.
    Unknown(bool),
}

/// An operation is a publish, or a receipt.
pub(super) fn messages(operations: u64) -> u64 {
    operations.div_ceil(2)
}

/// The fates of all messages in their order: the drain needs them again, and memory is for windows.
struct Fates(Pcg64);

impl Fates {
    fn next(&mut self, is_defective: Option<Defect>) -> Fate {
        let drawn = self.0.random_range(0..100);
        match is_defective {
            Some(Defect::Returned) => Fate::Returned,
            Some(_) => Fate::Confirmed,
            None => match drawn {
                0 => Fate::Nacked,
                1 => Fate::Unknown(true),
                2 => Fate::Unknown(false),
                _ => Fate::Confirmed,
            },
        }
    }
}

pub(super) fn write(messages: u64, to: &mut Writing<'_>) {
    let seed = to.random.random();
    let load_ends = load(messages, &mut Fates(Pcg64::seed_from_u64(seed)), to);
    drain(
        messages,
        &mut Fates(Pcg64::seed_from_u64(seed)),
        load_ends,
        to,
    );
}

fn load(messages: u64, fates: &mut Fates, to: &mut Writing<'_>) -> Nanos {
    publish(messages, to, |number, time, to| {
        let (phase, cause) = match fates.next(to.defect(number)) {
            Fate::Confirmed => (Phase::Ok, Cause::None),
            Fate::Nacked => (Phase::Fail, Cause::Nacked),
            Fate::Returned => (Phase::Fail, Cause::Returned),
            Fate::Unknown(_) => (Phase::Info, Cause::ConfirmTimeout),
        };
        let end = entry(time, Action::Publish, phase, value(number));
        (to.record)(Entry { cause, ..end });
    })
}

fn drain(messages: u64, fates: &mut Fates, from: Nanos, to: &mut Writing<'_>) {
    for number in 0..messages {
        let defect = to.defect(number);
        let fate = fates.next(defect);
        let time = from + Nanos::try_from(number).unwrap_or(0) * STEP;
        let received = |value| {
            let receipt = entry(time, Action::Drain, Phase::Ok, value);
            Entry {
                process: DRAIN_PROCESS + receipt.process,
                ..receipt
            }
        };
        let message = value(number);
        if let Some(defect) = defect {
            let shown = match defect {
                Defect::Invented => unsent(message, messages),
                _ => message,
            };
            to.plant(defect, shown, time);
        }
        match defect {
            Some(Defect::Lost) => continue,
            Some(Defect::Damaged) => {
                (to.record)(Entry {
                    cause: Cause::Foreign,
                    producer: u32::MAX,
                    sequence: u64::MAX,
                    ..received(Value::default())
                });
                continue;
            }
            Some(Defect::Duplicated) => (to.record)(received(message)),
            Some(Defect::Invented) => (to.record)(received(unsent(message, messages))),
            _ => {}
        }
        let is_there = match fate {
            Fate::Confirmed | Fate::Unknown(true) => true,
            Fate::Returned => defect.is_some(),
            Fate::Nacked | Fate::Unknown(false) => false,
        };
        if is_there {
            (to.record)(received(message));
        }
    }
}

/// A message that its producer never sent.
fn unsent(message: Value, messages: u64) -> Value {
    Value {
        sequence: message.sequence + messages.div_ceil(u64::from(NODES)) + 1,
        ..message
    }
}
