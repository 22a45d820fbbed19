//! Times in which a node confirmed nothing, and how soon it did again after a heal.
//!
//! Short gaps are forgotten: while more than [`GAPS_MAX`] of a node are kept, the bound of what
//! is short is doubled. So the longest ones stay, whatever the length of the run.

use crate::history::operation::Nanos;

/// Gaps kept of a node.
const GAPS_MAX: usize = 4096;

/// A gap shorter than that is not one.
const SHORT: Nanos = 100_000_000;

/// A time between two confirms of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The confirm before it, or the beginning of the load.
    pub from: Nanos,
    /// The confirm after it, or the end of the load.
    pub until: Nanos,
    /// Whether it ended only with the load.
    pub open: bool,
}

impl Gap {
    /// How long it was.
    pub fn length(self) -> Nanos {
        self.until.saturating_sub(self.from)
    }
}

/// When a node confirmed again after a heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// It confirmed all the time, or this soon.
    AtOnce,
    /// So long after it.
    After(Nanos),
    /// Not before the load ended.
    Never,
}

/// The gaps of one node.
#[derive(Debug, Clone)]
pub struct Gaps {
    last: Option<Nanos>,
    kept: Vec<Gap>,
    short: Nanos,
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            last: None,
            kept: Vec::new(),
            short: SHORT,
        }
    }
}

impl Gaps {
    /// The load began.
    pub fn begin(&mut self, time: Nanos) {
        self.last.get_or_insert(time);
    }

    /// The node confirmed something.
    pub fn confirm(&mut self, time: Nanos) {
        self.close(time, false);
        self.last = Some(time);
    }

    /// The load ended.
    pub fn end(&mut self, time: Nanos) {
        self.close(time, true);
    }

    fn close(&mut self, until: Nanos, open: bool) {
        let Some(from) = self.last else { return };
        let gap = Gap { from, until, open };
        if gap.length() < self.short {
            return;
        }
        if self.kept.len() >= GAPS_MAX {
            self.short = self.short.saturating_mul(2);
            let short = self.short;
            self.kept.retain(|gap| gap.length() >= short);
        }
        self.kept.push(gap);
    }

    /// What is too short to be known.
    pub fn short(&self) -> Nanos {
        self.short
    }

    /// The longest gap that touches these times.
    pub fn longest(&self, from: Nanos, until: Nanos) -> Option<Gap> {
        let touching = self
            .kept
            .iter()
            .filter(|gap| gap.from < until && gap.until > from);
        touching.copied().max_by_key(|gap| gap.length())
    }

    /// When the node confirmed again after a heal.
    pub fn back(&self, healed: Nanos) -> Back {
        let over = self
            .kept
            .iter()
            .find(|gap| gap.from < healed && gap.until > healed);
        match over {
            None => Back::AtOnce,
            Some(gap) if gap.open => Back::Never,
            Some(gap) => Back::After(gap.until.saturating_sub(healed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn the_longest_gap_over_a_fault_and_the_way_back() {
        let mut gaps = Gaps::default();
        gaps.begin(0);
        for time in [1, 2, 9, 30, 31] {
            gaps.confirm(time * SECOND);
        }
        gaps.end(40 * SECOND);
        let gap = |from, until, open| Gap {
            from: from * SECOND,
            until: until * SECOND,
            open,
        };
        let longest = |from, until| gaps.longest(from * SECOND, until * SECOND);
        assert_eq!(longest(3, 5), Some(gap(2, 9, false)));
        assert_eq!(longest(3, 10), Some(gap(9, 30, false)));
        assert_eq!(longest(0, 1), Some(gap(0, 1, false)));
        assert_eq!(longest(50, 60), None);
        assert_eq!(gaps.back(20 * SECOND), Back::After(10 * SECOND));
        assert_eq!(gaps.back(30 * SECOND), Back::AtOnce);
        assert_eq!(gaps.back(35 * SECOND), Back::Never);
    }

    #[test]
    fn the_longest_stay_when_there_are_too_many() {
        let mut gaps = Gaps::default();
        gaps.begin(0);
        let mut time = 0;
        for number in 0..100_000 {
            time += if number == 50 {
                60 * SECOND
            } else {
                SECOND / 5
            };
            gaps.confirm(time);
        }
        assert!(gaps.kept.len() <= GAPS_MAX);
        assert_eq!(
            gaps.longest(0, Nanos::MAX).map(Gap::length),
            Some(60 * SECOND)
        );
        // Of what was forgotten nothing is claimed.
        assert!(gaps.short() > SECOND / 5);
    }
}
