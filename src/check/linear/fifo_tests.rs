use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Enqueue(usize),
    Deliver(usize, bool),
    Empty,
    /// A dequeue of which nobody knows whether it took something, and what.
    Take,
}

#[derive(Debug, Clone, Copy)]
struct Op {
    does: Does,
    from: Nanos,
    /// [`Nanos::MAX`]: nobody knows whether it happened.
    until: Nanos,
}

/// A queue whose messages may be out at a receiver, and come back to their places.
#[derive(Debug, Clone, Default)]
struct Model {
    /// In the order of the queue: the value, whether it is out, whether it was ever.
    messages: Vec<(usize, bool, bool)>,
}

impl Model {
    fn head(&self) -> Option<usize> {
        self.messages.iter().position(|(_, is_out, _)| !is_out)
    }

    /// Every state that the operation may lead to.
    fn after(&self, does: Does) -> Vec<Self> {
        let mut next = self.clone();
        match does {
            Does::Enqueue(value) => next.messages.push((value, false, false)),
            Does::Deliver(value, redelivered) => {
                let Some(head) = self.head() else {
                    return Vec::new();
                };
                let (found, _, was_out) = self.messages[head];
                if found != value || was_out != redelivered {
                    return Vec::new();
                }
                next.messages[head] = (value, true, true);
            }
            Does::Empty => {
                if self.head().is_some() {
                    return Vec::new();
                }
            }
            Does::Take => match self.head() {
                Some(head) => drop(next.messages.remove(head)),
                None => return Vec::new(),
            },
        }
        vec![next]
    }
}

/// By trying every order, and everything that nobody sees.
fn is_queue(ops: &[Op]) -> bool {
    fn delivered(ops: &[Op], done: u32, value: usize) -> bool {
        let left = (0..ops.len()).filter(|index| done & (1 << index) == 0);
        left.into_iter()
            .any(|index| matches!(ops[index].does, Does::Deliver(other, _) if other == value))
    }
    fn search(ops: &[Op], done: u32, model: &Model) -> bool {
        let left = (0..ops.len()).filter(|index| done & (1 << index) == 0);
        if left.clone().all(|index| ops[index].until == Nanos::MAX) {
            return true;
        }
        let limit = left.clone().map(|index| ops[index].until).min();
        let next = left.filter(|index| limit.is_none_or(|limit| ops[*index].from <= limit));
        for index in next {
            for after in model.after(ops[index].does) {
                if search(ops, done | 1 << index, &after) {
                    return true;
                }
            }
        }
        // A receiver is lost: what it had comes back, if it is ever seen again.
        for at in 0..model.messages.len() {
            let (value, is_out, _) = model.messages[at];
            if is_out && delivered(ops, done, value) {
                let mut after = model.clone();
                after.messages[at].1 = false;
                if search(ops, done, &after) {
                    return true;
                }
            }
        }
        // One that nobody saw got the first message; it is seen later, marked as redelivered.
        if let Some(head) = model.head()
            && !model.messages[head].2
            && first_is_marked(ops, model.messages[head].0)
        {
            let mut after = model.clone();
            after.messages[head].1 = true;
            after.messages[head].2 = true;
            if search(ops, done, &after) {
                return true;
            }
        }
        false
    }
    search(ops, 0, &Model::default())
}

/// Whether the first delivery of a value that anybody saw is marked.
fn first_is_marked(ops: &[Op], value: usize) -> bool {
    let deliveries = ops.iter().filter_map(|op| match op.does {
        Does::Deliver(other, marked) if other == value => Some((op.from, marked)),
        _ => None,
    });
    deliveries.min().is_some_and(|(_, marked)| marked)
}

/// Distinct random moments, so that "first" means one thing.
fn history(rng: &mut StdRng) -> Vec<Op> {
    let values = rng.random_range(1..=3);
    let count = rng.random_range(values + 1..=7);
    let mut moments: Vec<Nanos> = (0..).take(2 * count).collect();
    let mut does: Vec<Does> = (0..values).map(Does::Enqueue).collect();
    let mut seen = [false; 3];
    while does.len() < count {
        let value = rng.random_range(0..values);
        does.push(match rng.random_range(0..10) {
            0 | 1 => Does::Empty,
            2 => Does::Take,
            _ => {
                let marked = seen[value] || rng.random_bool(0.1);
                seen[value] = true;
                Does::Deliver(value, marked)
            }
        });
    }
    // Operations mostly follow each other, and overlap with their neighbours.
    let reach = rng.random_range(1..=4);
    for at in 0..moments.len() {
        let other = (at + rng.random_range(0..reach)).min(moments.len() - 1);
        moments.swap(at, other);
    }
    let mut ops: Vec<Op> = does
        .into_iter()
        .enumerate()
        .map(|(at, does)| {
            let (one, other) = (moments[2 * at], moments[2 * at + 1]);
            let is_unknown = match does {
                Does::Enqueue(_) => rng.random_bool(0.2),
                Does::Take => true,
                Does::Deliver(..) | Does::Empty => false,
            };
            Op {
                does,
                from: one.min(other),
                until: if is_unknown {
                    Nanos::MAX
                } else {
                    one.max(other)
                },
            }
        })
        .collect();
    mark_in_order(&mut ops);
    ops
}

/// Of several deliveries of a value, the first to begin keeps its mark and the others have one.
fn mark_in_order(ops: &mut [Op]) {
    ops.sort_by_key(|op| op.from);
    let mut seen = [false; 3];
    for op in ops {
        if let Does::Deliver(value, marked) = &mut op.does {
            *marked |= seen[*value];
            seen[*value] = true;
        }
    }
}

fn found(ops: &[Op]) -> Violations {
    let mut items = Vec::new();
    let (mut empties, mut unknown) = (Vec::new(), Vec::new());
    for value in 0..3 {
        let is = |op: &&Op| op.does == Does::Enqueue(value);
        if let Some(op) = ops.iter().find(is) {
            let mut item = Item::new(span(op));
            for op in ops {
                if let Does::Deliver(other, marked) = op.does
                    && other == value
                {
                    item.deliver(span(op), marked);
                }
            }
            items.push(item);
        }
    }
    for op in ops {
        match op.does {
            Does::Empty => empties.push(span(op)),
            Does::Take => unknown.push(op.from),
            Does::Enqueue(_) | Does::Deliver(..) => {}
        }
    }
    violations(&items, &empties, &unknown)
}

fn span(op: &Op) -> Span {
    Span {
        from: op.from,
        until: op.until,
    }
}

fn agree(count: u64) {
    let mut rng = StdRng::seed_from_u64(8);
    let mut legal = 0;
    for number in 0..count {
        let ops = history(&mut rng);
        let expected = is_queue(&ops);
        legal += u64::from(expected);
        let found = found(&ops);
        assert_eq!(found.is_empty(), expected, "{number}: {ops:#?} {found:?}");
    }
    assert!(legal > count / 10 && legal < count * 9 / 10, "{legal}");
}

/// `scripts/bench checkers` asks for a million.
#[test]
fn small_histories_agree_with_a_search() {
    let asked = std::env::var("JTEST_HISTORIES").ok();
    agree(asked.map_or(100_000, |count| count.parse().unwrap()));
}
