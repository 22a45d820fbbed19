//! Producers of a stream, one reader of it meanwhile, and every node read to the end.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{DRAIN_PROCESS, Defect, NODES, STEP, Writing, entry, publish, value};
use crate::check::results::Value;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// The client that reads, after the producers.
const READER: u32 = NODES;
/// The node that is unlike the others where one is to be so.
const ODD_NODE: u32 = NODES - 1;

/// An operation is a publish, or a receipt of the reader.
pub(super) fn messages(operations: u64) -> u64 {
    operations.div_ceil(2)
}

/// What becomes of all messages in their order: each reading needs it again, and memory is for windows.
struct Log {
    fates: Pcg64,
    /// Of the next message that is stored.
    offset: u64,
}

impl Log {
    fn new(seed: u64) -> Self {
        Self {
            fates: Pcg64::seed_from_u64(seed),
            offset: 0,
        }
    }

    /// Whether the next message is confirmed, and how often it is stored.
    fn next(&mut self, defect: Option<Defect>) -> (bool, usize) {
        let drawn = self.fates.random_range(0..100);
        match (defect, drawn) {
            (Some(Defect::Unstored), _) => (true, 0),
            (Some(Defect::StoredTwice), _) => (true, 2),
            (None, 0) => (false, 1),
            (None, 1) => (false, 0),
            _ => (true, 1),
        }
    }

    fn read(&mut self, time: Nanos, action: Action, value: Value) -> Entry {
        let offset = self.offset;
        self.offset += 1;
        Entry {
            tag: Some(offset),
            ..entry(time, action, Phase::Ok, value)
        }
    }
}

pub(super) fn write(messages: u64, to: &mut Writing<'_>) {
    let seed = to.random.random();
    let ended = load(messages, Log::new(seed), to);
    for node in 0..NODES {
        drain(node, messages, Log::new(seed), ended, to);
    }
}

fn load(messages: u64, mut log: Log, to: &mut Writing<'_>) -> Nanos {
    publish(messages, to, |number, time, to| {
        let defect = to.defect(number);
        let (is_confirmed, copies) = log.next(defect);
        let (phase, cause) = match is_confirmed {
            true => (Phase::Ok, Cause::None),
            false => (Phase::Info, Cause::ConfirmTimeout),
        };
        let end = entry(time, Action::Publish, phase, value(number));
        (to.record)(Entry { cause, ..end });
        if let Some(defect @ (Defect::Unstored | Defect::StoredTwice)) = defect {
            to.plant(defect, value(number), time);
        }
        for _ in 0..copies {
            (to.record)(Entry {
                process: READER,
                node: 0,
                ..log.read(time, Action::Deliver, value(number))
            });
        }
    })
}

fn drain(node: u32, messages: u64, mut log: Log, from: Nanos, to: &mut Writing<'_>) {
    let begin = from + Nanos::from(node);
    for number in 0..messages {
        let defect = to.defect(number);
        let odd = defect.filter(|_| node == ODD_NODE);
        let time = begin + Nanos::try_from(number).unwrap_or(0) * STEP;
        let (_, copies) = log.next(defect);
        for _ in 0..copies {
            let other = if number > 0 { number - 1 } else { 1 };
            let shown = match odd {
                Some(Defect::Rewritten) => value(other),
                _ => value(number),
            };
            let reading = log.read(time, Action::Drain, shown);
            if let Some(defect @ (Defect::Lacking | Defect::Rewritten)) = odd {
                to.plant(defect, value(number), time);
            }
            if odd == Some(Defect::Lacking) {
                continue;
            }
            (to.record)(Entry {
                process: DRAIN_PROCESS + node,
                node: node as u16,
                ..reading
            });
        }
    }
}
