use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// An operation of a small history; without an end, nobody knows whether it happened.
#[derive(Debug, Clone, Copy)]
struct Op {
    owner: u32,
    is_acquire: bool,
    from: Nanos,
    until: Option<Nanos>,
}

/// By trying every order: whether the operations are those of a mutex whose holder alone releases it.
fn is_mutex(ops: &[Op]) -> bool {
    fn search(ops: &[Op], done: u32, holder: Option<u32>) -> bool {
        let left = |index: &usize| done & (1 << index) == 0;
        let open = (0..ops.len()).filter(left);
        if open.clone().all(|index| ops[index].until.is_none()) {
            return true;
        }
        let limit = open.clone().filter_map(|index| ops[index].until).min();
        open.filter(|index| limit.is_none_or(|limit| ops[*index].from <= limit))
            .any(|index| {
                let op = ops[index];
                let after = match (op.is_acquire, holder) {
                    (true, None) => Some(Some(op.owner)),
                    (false, Some(holder)) if holder == op.owner => Some(None),
                    _ => None,
                };
                after.is_some_and(|holder| search(ops, done | 1 << index, holder))
            })
    }
    search(ops, 0, None)
}

/// Clients that acquire and release in turn, at random times; some operations without a known outcome.
fn history(rng: &mut StdRng) -> Vec<Op> {
    let mut ops = Vec::new();
    let span = rng.random_range(4..30);
    for owner in 0..rng.random_range(1..=4) {
        let mut times: Vec<Nanos> = (0..4).map(|_| rng.random_range(0..span)).collect();
        times.sort_unstable();
        let until = rng.random_bool(0.8).then_some(times[1]);
        ops.push(Op {
            owner,
            is_acquire: true,
            from: times[0],
            until,
        });
        if until.is_some() && rng.random_bool(0.9) {
            ops.push(Op {
                owner,
                is_acquire: false,
                from: times[2],
                until: rng.random_bool(0.8).then_some(times[3]),
            });
        }
    }
    ops
}

fn holds(ops: &[Op]) -> Vec<Hold> {
    let acquired = ops.iter().filter(|op| op.is_acquire);
    acquired
        .filter_map(|acquire| {
            let release = |op: &&Op| !op.is_acquire && op.owner == acquire.owner;
            Some(Hold {
                process: acquire.owner,
                from: acquire.until?,
                until: ops.iter().find(release).map_or(Nanos::MAX, |op| op.from),
            })
        })
        .collect()
}

fn agree(count: u64) {
    let mut rng = StdRng::seed_from_u64(14);
    let mut legal = 0;
    for number in 0..count {
        let ops = history(&mut rng);
        let expected = is_mutex(&ops);
        legal += u64::from(expected);
        let found = overlaps(&mut holds(&ops));
        assert_eq!(found.is_empty(), expected, "{number}: {ops:?} {found:?}");
    }
    assert!(legal > count / 10 && legal < count * 9 / 10, "{legal}");
}

/// `scripts/bench checkers` asks for a million.
#[test]
fn small_histories_agree_with_a_search() {
    let asked = std::env::var("JTEST_HISTORIES").ok();
    agree(asked.map_or(100_000, |count| count.parse().unwrap()));
}

#[test]
fn two_that_hold_it_at_once_are_named() {
    let hold = |process, from, until| Hold {
        process,
        from,
        until,
    };
    let mut holds = [
        hold(2, 5, 9),
        hold(0, 0, 4),
        hold(1, 4, Nanos::MAX),
        hold(3, 7, 8),
    ];
    assert_eq!(
        overlaps(&mut holds),
        [
            (hold(1, 4, Nanos::MAX), hold(2, 5, 9)),
            (hold(1, 4, Nanos::MAX), hold(3, 7, 8))
        ]
    );
}
