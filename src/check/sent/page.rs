//! The publishes of a producer by their sequence numbers, in pages. Nearly all pages are narrow: on one connection, with
//! nothing between them, begun within four seconds and each confirmed so soon; a publish there takes 8 bytes.

use super::Publish;
use crate::history::operation::Nanos;

/// Publishes of a page.
const PAGE: usize = 64;

/// On which page a sequence number is, and where there.
pub(super) fn place(sequence: u64) -> Option<(usize, usize)> {
    let sequence = usize::try_from(sequence).ok()?;
    Some((sequence / PAGE, sequence % PAGE))
}

/// Consecutive publishes of one producer. A page that is wide is no longer narrow.
#[derive(Default)]
pub(super) struct Page {
    narrow: Option<Box<Narrow>>,
    wide: Option<Box<[Option<Publish>; PAGE]>>,
}

/// Differences to the first publish that was put in.
struct Narrow {
    from: Nanos,
    process: u32,
    /// Of the one at place 0; it may be before the producer's first.
    position: i64,
    /// When each began, after `from`, and how long its confirm took.
    times: [[u32; 2]; PAGE],
}

/// No publish, or no confirm.
const NEVER: u32 = u32::MAX;

/// A difference that is not taken for [`NEVER`].
fn difference(time: Nanos, from: Nanos) -> Option<u32> {
    let difference = u32::try_from(time.checked_sub(from)?).ok()?;
    (difference != NEVER).then_some(difference)
}

impl Narrow {
    fn new(at: usize, first: Publish) -> Self {
        Self {
            from: first.from,
            process: first.process,
            position: i64::from(first.position) - at as i64,
            times: [[NEVER; 2]; PAGE],
        }
    }

    fn get(&self, at: usize) -> Option<Publish> {
        let [from, took] = self.times[at];
        let from = (from != NEVER).then(|| self.from + Nanos::from(from))?;
        Some(Publish {
            from,
            confirmed: match took {
                NEVER => Nanos::MAX,
                took => from + Nanos::from(took),
            },
            process: self.process,
            position: u32::try_from(self.position + at as i64).unwrap_or(u32::MAX),
        })
    }

    /// Whether it is one that this can hold; then it does.
    fn put(&mut self, at: usize, publish: Publish) -> bool {
        let is_next = i64::from(publish.position) == self.position + at as i64;
        let from = difference(publish.from, self.from);
        let Some(from) = from.filter(|_| is_next && publish.process == self.process) else {
            return false;
        };
        self.times[at] = [from, NEVER];
        true
    }

    /// The same for a confirm of what it holds.
    fn confirm(&mut self, at: usize, time: Nanos) -> bool {
        let Some(publish) = self.get(at) else {
            return true;
        };
        let took = difference(time, publish.from);
        self.times[at][1] = took.unwrap_or(NEVER);
        took.is_some()
    }
}

impl Page {
    pub(super) fn get(&self, at: usize) -> Option<Publish> {
        match (&self.wide, &self.narrow) {
            (Some(publishes), _) => publishes[at],
            (None, Some(narrow)) => narrow.get(at),
            (None, None) => None,
        }
    }

    pub(super) fn put(&mut self, at: usize, publish: Publish) {
        let is_narrow = self.wide.is_none() && {
            let narrow = self
                .narrow
                .get_or_insert_with(|| Box::new(Narrow::new(at, publish)));
            narrow.put(at, publish)
        };
        if !is_narrow {
            self.widen()[at] = Some(publish);
        }
    }

    pub(super) fn confirm(&mut self, at: usize, time: Nanos) {
        let is_narrow = match &mut self.narrow {
            Some(narrow) => narrow.confirm(at, time),
            None => self.wide.is_none(),
        };
        if is_narrow {
            return;
        }
        if let Some(publish) = &mut self.widen()[at] {
            publish.confirmed = time;
        }
    }

    fn widen(&mut self) -> &mut [Option<Publish>; PAGE] {
        let narrow = self.narrow.take();
        self.wide.get_or_insert_with(|| {
            let publish = |at| narrow.as_ref()?.get(at);
            Box::new(std::array::from_fn(publish))
        })
    }
}

#[cfg(test)]
impl Page {
    pub(super) fn is_wide(&self) -> bool {
        self.wide.is_some()
    }
}
