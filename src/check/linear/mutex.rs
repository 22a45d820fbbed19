//! Whether acquires and releases are those of a mutex.
//!
//! A client holds the lock for certain from the completion of its acquire until it begins the
//! release (or is told that its connection is lost). It may have had it for longer, never for less. So
//! of every hold the shortest possible one is taken: a history is linearizable as a mutex if and only
//! if no two of these overlap. If they do not overlap, acquire at the completion and release at the
//! invocation is a legal order; if two do, so does every longer choice.
//!
//! An acquire of unknown outcome that happened only takes the lock away from others, so it is left
//! out; a release of unknown outcome may have happened at once, which its invocation stands for.

use crate::history::operation::Nanos;

/// One client's certain possession of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The client's connection.
    pub process: u32,
    /// The completion of its acquire.
    pub from: Nanos,
    /// The invocation of its release; [`Nanos::MAX`] where it never let go.
    pub until: Nanos,
}

/// Two that held it at once: the one that had it, the one that got it as well. For each hold that overlaps
/// an earlier one, in the order of their beginnings.
pub fn overlaps(holds: &mut [Hold]) -> Vec<(Hold, Hold)> {
    holds.sort_unstable_by_key(|hold| (hold.from, hold.until, hold.process));
    let mut found = Vec::new();
    let mut longest: Option<Hold> = None;
    for hold in holds.iter() {
        match longest {
            Some(held) if hold.from < held.until => {
                found.push((held, *hold));
                if hold.until > held.until {
                    longest = Some(*hold);
                }
            }
            _ => longest = Some(*hold),
        }
    }
    found
}

#[cfg(test)]
#[path = "mutex_tests.rs"]
mod tests;
