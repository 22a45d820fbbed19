//! The run's one clock: nanoseconds since its zero, monotonic, on the control node.

use std::time::Instant;

use crate::history::operation::Nanos;

/// A copy of this clock tells the same time everywhere in the process.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    zero: Instant,
}

impl RunClock {
    /// Its zero is now.
    pub fn start() -> Self {
        Self {
            zero: Instant::now(),
        }
    }

    /// Nanoseconds since zero.
    pub fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// The given instant on this clock; zero for instants before its zero.
    pub fn at(&self, instant: Instant) -> Nanos {
        let elapsed = instant.saturating_duration_since(self.zero);
        Nanos::try_from(elapsed.as_nanos()).unwrap_or(Nanos::MAX)
    }
}
