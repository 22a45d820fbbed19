//! Whether enqueues and dequeues are those of one first-in-first-out queue.
//!
//! Every value is enqueued once. With all operations complete, a history of distinct values is
//! linearizable as a queue if and only if it has none of these (Henzinger, Sezgin and Vafeiadis,
//! "Aspect-oriented linearizability proofs", CONCUR 2013): a value dequeued before it was enqueued
//! or twice; an overtaking, that is `v` enqueued before `w`, and `w` dequeued before `v`; a dequeue that
//! found the queue empty while something was in it at every moment of it. "Before" means: completed before
//! the other began. Each is found by sorting and one sweep, so all take n log n, which is what Lee and
//! Mathur reach for the part without empty dequeues (arXiv 2410.04581) by two cursors.
//!
//! What real queues add, and why the same sweeps decide it:
//!
//! - An enqueue of unknown outcome that was dequeued did happen, at any time before that: it ends at
//!   infinity, and so is before no other. One whose value was never seen may not have
//!   happened, and with it gone nothing else is harder to explain: it is left out.
//! - A dequeue of unknown outcome may have taken any value that nobody saw, from its invocation on. Which
//!   values these dequeues took is free; to take the earliest enqueued ones by the earliest
//!   invocations is best. (Given two values of which the later enqueued one goes earlier, to swap the
//!   two dequeues breaks no order and leaves the queue non-empty at no more moments.)
//! - A message goes back to its place when its receiver is lost, and is delivered again,
//!   marked as redelivered. While it is out, others may overtake it; so only the first delivery of a
//!   value has to respect the order, and later ones are legal if they are marked. A value whose first
//!   delivery seen is marked was out before, from an unknown time on: it holds up no other.
//!   Whatever is delivered had nothing in front of it, each time.

use crate::history::operation::Nanos;

/// From the invocation to the completion; [`Nanos::MAX`] where nobody knows whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its invocation.
    pub from: Nanos,
    /// Its completion.
    pub until: Nanos,
}

/// What happened to one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its enqueue.
    pub enqueue: Span,
    /// The delivery of it that is not marked as redelivered, else the one that began first.
    pub first: Option<Span>,
    /// Whether that is marked.
    pub was_out: bool,
    /// Whether more than one is not marked.
    pub is_repeated: bool,
    /// The earliest completion of any of its deliveries.
    pub earliest: Nanos,
}

impl Item {
    /// An enqueued value.
    pub fn new(enqueue: Span) -> Self {
        Self {
            enqueue,
            first: None,
            was_out: false,
            is_repeated: false,
            earliest: Nanos::MAX,
        }
    }

    /// Takes a delivery of the value.
    pub fn deliver(&mut self, span: Span, redelivered: bool) {
        self.earliest = self.earliest.min(span.until);
        let replaces = match self.first {
            None => true,
            Some(first) if self.was_out == redelivered => {
                self.is_repeated |= !redelivered;
                span.from < first.from
            }
            Some(_) => self.was_out,
        };
        if replaces {
            self.first = Some(span);
            self.was_out = redelivered;
        }
    }

    /// From when on it may have been gone.
    fn gone_from(&self) -> Nanos {
        match self.first {
            Some(_) if self.was_out => Nanos::MIN,
            Some(first) => first.from,
            None => Nanos::MAX,
        }
    }

    /// Whether it must have been in the queue.
    fn is_certain(&self) -> bool {
        self.first.is_some() || self.enqueue.until != Nanos::MAX
    }
}

/// What contradicts a queue; values are named by their places in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    /// Values that were delivered before they were enqueued.
    pub early: Vec<usize>,
    /// Values that were delivered twice and neither time marked as redelivered.
    pub repeated: Vec<usize>,
    /// The value that was overtaken and the one that overtook it.
    pub overtakings: Vec<(usize, usize)>,
    /// Dequeues, by their places, that found the queue empty while it was not, each with a value that
    /// was in it.
    pub empties: Vec<(usize, usize)>,
}

impl Violations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.early.is_empty()
            && self.repeated.is_empty()
            && self.overtakings.is_empty()
            && self.empties.is_empty()
    }
}

/// Finds what contradicts a queue. `empties`: the dequeues that found nothing; `unknown`: the invocations of
/// those whose outcome nobody knows.
pub fn violations(items: &[Item], empties: &[Span], unknown: &[Nanos]) -> Violations {
    let mut by_end: Vec<usize> = (0..items.len())
        .filter(|index| items[*index].is_certain())
        .collect();
    by_end.sort_unstable_by_key(|index| items[*index].enqueue.until);
    let gone = gone_from(items, &by_end, unknown);
    Violations {
        early: those(items, |item| item.earliest < item.enqueue.from),
        repeated: those(items, |item| item.is_repeated),
        overtakings: overtakings(items, &by_end, &gone),
        empties: false_empties(items, &by_end, &gone, empties),
    }
}

/// From when on each value may have been gone, in the order of `by_end`.
fn gone_from(items: &[Item], by_end: &[usize], unknown: &[Nanos]) -> Vec<Nanos> {
    let mut unknown = unknown.to_vec();
    unknown.sort_unstable();
    let mut takes = unknown.into_iter();
    let gone = by_end.iter().map(|index| {
        let item = &items[*index];
        if item.first.is_some() {
            item.gone_from()
        } else {
            takes.next().unwrap_or(Nanos::MAX)
        }
    });
    gone.collect()
}

fn those(items: &[Item], is: impl Fn(&Item) -> bool) -> Vec<usize> {
    (0..items.len())
        .filter(|index| is(&items[*index]))
        .collect()
}

fn overtakings(items: &[Item], by_end: &[usize], gone: &[Nanos]) -> Vec<(usize, usize)> {
    let mut by_begin: Vec<usize> = (0..items.len())
        .filter(|index| items[*index].first.is_some())
        .collect();
    by_begin.sort_unstable_by_key(|index| items[*index].enqueue.from);
    let mut found = Vec::new();
    let mut before = by_end.iter().zip(gone).peekable();
    let mut last: Option<(Nanos, usize)> = None;
    for index in by_begin {
        let item = &items[index];
        while let Some((other, gone)) =
            before.next_if(|(other, _)| items[**other].enqueue.until < item.enqueue.from)
        {
            if last.is_none_or(|(latest, _)| latest < *gone) {
                last = Some((*gone, *other));
            }
        }
        if let Some((gone, other)) = last
            && item.earliest < gone
        {
            found.push((other, index));
        }
    }
    found
}

fn false_empties(
    items: &[Item],
    by_end: &[usize],
    gone: &[Nanos],
    empties: &[Span],
) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..empties.len()).collect();
    order.sort_unstable_by_key(|index| empties[*index].from);
    let mut inside = by_end
        .iter()
        .zip(gone)
        .map(|(index, gone)| (items[*index].enqueue.until, *gone, *index))
        .filter(|(from, until, _)| from < until)
        .peekable();
    let mut found = Vec::new();
    // The stretch without an empty moment that began last, and the value that ends it.
    let mut stretch: Option<(Nanos, Nanos, usize)> = None;
    for empty in order {
        let span = empties[empty];
        while let Some((from, until, index)) = inside.next_if(|(from, ..)| {
            *from < span.from || stretch.is_some_and(|(_, end, _)| *from < end)
        }) {
            stretch = Some(match stretch {
                Some((begun, end, ends)) if from < end => {
                    if until > end {
                        (begun, until, index)
                    } else {
                        (begun, end, ends)
                    }
                }
                _ => (from, until, index),
            });
        }
        if let Some((begun, end, index)) = stretch
            && begun < span.from
            && span.until < end
        {
            found.push((empty, index));
        }
    }
    found
}

#[cfg(test)]
#[path = "fifo_tests.rs"]
mod tests;
