use proptest::prelude::*;

use super::*;
use crate::check::testing;

/// A change, and how it ended.
type Step = (Action, Phase);

const MAKE: Action = Action::Create;
const REMOVE: Action = Action::Delete;

fn entry(time: Nanos, action: Action, phase: Phase) -> Entry {
    Entry {
        time,
        action,
        phase,
        producer: 1,
        sequence: 4,
        queue: ObjectKind::Policy.number(),
        ..Entry::default()
    }
}

fn seen_by(node: u16, is_there: bool) -> Entry {
    let phase = if is_there { Phase::Ok } else { Phase::Fail };
    Entry {
        node,
        ..entry(100, Action::Observe, phase)
    }
}

/// One change after another, and what the three nodes say then.
fn judged(changes: &[Step], there: &[bool]) -> Finding<Metadata> {
    let mut entries = Vec::new();
    let mut time = 0;
    for (action, phase) in changes {
        time += 2;
        entries.push(entry(time, *action, Phase::Invoke));
        if *phase != Phase::Invoke {
            entries.push(entry(time + 1, *action, *phase));
        }
    }
    entries.extend((0..).zip(there).map(|(node, there)| seen_by(node, *there)));
    testing::judged::<Objects>(entries)
}

#[test]
fn what_was_confirmed_has_to_be_on_every_node() {
    const ALL: [bool; 3] = [true; 3];
    const NONE: [bool; 3] = [false; 3];
    const SOME: [bool; 3] = [true, false, true];
    use Phase::{Fail, Info, Invoke, Ok};
    let cases: &[(&[Step], [bool; 3], [u64; 3])] = &[
        (&[(MAKE, Ok)], ALL, [0, 0, 0]),
        (&[(MAKE, Ok)], NONE, [1, 0, 0]),
        (&[(MAKE, Ok)], SOME, [1, 0, 1]),
        (&[(MAKE, Ok), (REMOVE, Ok)], NONE, [0, 0, 0]),
        (&[(MAKE, Ok), (REMOVE, Ok)], ALL, [0, 1, 0]),
        (&[(MAKE, Ok), (REMOVE, Fail)], NONE, [1, 0, 0]),
        (&[(MAKE, Ok), (REMOVE, Info)], NONE, [0, 0, 0]),
        (&[(MAKE, Ok), (REMOVE, Info)], ALL, [0, 0, 0]),
        (&[(MAKE, Ok), (REMOVE, Invoke)], SOME, [0, 0, 1]),
        (&[(MAKE, Info)], ALL, [0, 0, 0]),
        (&[(MAKE, Info)], SOME, [0, 0, 1]),
        (&[(MAKE, Fail)], NONE, [0, 0, 0]),
        (&[(MAKE, Fail)], ALL, [0, 1, 0]),
        (&[(MAKE, Info), (REMOVE, Ok)], ALL, [0, 0, 0]),
    ];
    for (changes, there, [missing, left, disagreements]) in cases {
        let finding = judged(changes, there);
        let data = &finding.data;
        assert_eq!(
            [data.missing, data.left, data.disagreements],
            [*missing, *left, *disagreements],
            "{changes:?} {there:?}"
        );
        let is_broken = missing + left + disagreements > 0;
        assert_eq!(finding.verdict == Verdict::Invalid, is_broken);
        assert_eq!(data.broken.len(), usize::from(is_broken));
    }
}

#[test]
fn the_counterexample_is_the_objects_whole_life() {
    let finding = judged(
        &[(MAKE, Phase::Ok), (REMOVE, Phase::Fail)],
        &[true, false, true],
    );
    insta::assert_snapshot!(finding.summary, @"of the queues, policies and other objects, 1 that were made are missing, the nodes do not agree about 1; the first is the policy jtest.metadata.1.4");
    insta::assert_snapshot!(serde_json::to_string_pretty(&finding.data.broken).unwrap(), @r#"
    [
      {
        "kind": "policy",
        "name": "jtest.metadata.1.4",
        "must_be": true,
        "changes": [
          {
            "action": "create",
            "node": "n1",
            "from_ns": 2,
            "until_ns": 3,
            "outcome": "ok"
          },
          {
            "action": "delete",
            "node": "n1",
            "from_ns": 4,
            "until_ns": 5,
            "outcome": "fail"
          }
        ],
        "on": [
          "n1",
          "n3"
        ],
        "not_on": [
          "n2"
        ]
      }
    ]
    "#);
}

#[test]
fn a_node_that_was_not_asked_leaves_it_open() {
    let finding = judged(&[(MAKE, Phase::Ok)], &[true, true]);
    assert_eq!(finding.verdict, Verdict::Unknown);
    insta::assert_snapshot!(finding.summary, @"what n3 has is not known");
    // What the others say is enough for a loss.
    let finding = judged(&[(MAKE, Phase::Ok)], &[true, false]);
    assert_eq!(finding.verdict, Verdict::Invalid);
    let finding = judged(&[(MAKE, Phase::Info)], &[true, true, true]);
    assert_eq!(finding.verdict, Verdict::Unknown);
}

/// Changes of several clients to one object: who, what, from, until, outcome.
#[test]
fn nothing_is_called_broken_before_the_cluster_was_whole_again() {
    let changes = [
        entry(1, MAKE, Phase::Invoke),
        entry(2, MAKE, Phase::Ok),
        seen_by(0, true),
        seen_by(1, false),
    ];
    assert_eq!(
        testing::judged::<Objects>(changes).verdict,
        Verdict::Invalid
    );
    let finding = testing::judged_unfinished::<Objects>(changes);
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert_eq!((finding.data.missing, finding.data.disagreements), (1, 1));
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let outcome = prop_oneof![
        4 => Just(Phase::Ok),
        1 => Just(Phase::Fail),
        2 => Just(Phase::Info),
        1 => Just(Phase::Invoke),
    ];
    let write = (any::<bool>(), 0i64..20, 1i64..8, outcome);
    let write = write.prop_map(|(makes, from, takes, outcome)| Write {
        makes,
        process: 0,
        node: 0,
        from,
        until: (outcome != Phase::Invoke).then_some(from + takes),
        outcome,
    });
    prop::collection::vec(write, 0..6)
}

/// Everything that the object may be at the end, by trying all orders.
fn by_search(writes: &[Write], state: bool, ends: &mut BTreeSet<bool>) {
    let confirmed = |write: &&Write| write.outcome == Phase::Ok;
    let next_confirmed = writes
        .iter()
        .filter(confirmed)
        .filter_map(|w| w.until)
        .min();
    if next_confirmed.is_none() {
        ends.insert(state);
    }
    for (at, write) in writes.iter().enumerate() {
        let mut others = writes.to_vec();
        others.remove(at);
        let waits = others
            .iter()
            .filter(confirmed)
            .filter_map(|w| w.until)
            .min();
        if write.outcome != Phase::Fail && waits.is_none_or(|until| write.from <= until) {
            by_search(&others, write.makes, ends);
        }
        if matches!(write.outcome, Phase::Info | Phase::Invoke | Phase::Fail) {
            by_search(&others, state, ends);
        }
    }
}

proptest! {
    #[test]
    fn what_must_be_is_what_all_orders_end_with(writes in writes()) {
        let life = Life { writes: writes.clone(), ..Life::default() };
        let mut ends = BTreeSet::new();
        by_search(&writes, false, &mut ends);
        let expected = (ends.len() == 1).then(|| ends.contains(&true));
        prop_assert_eq!(life.must_be(), expected);
    }

    /// A legal history is valid; one answer turned round is noticed, wherever it is not left open.
    #[test]
    fn one_wrong_answer_is_noticed(writes in writes(), node in 0u16..3, free in any::<bool>()) {
        let life = Life { writes: writes.clone(), ..Life::default() };
        let is_there = life.must_be().unwrap_or(free);
        let mut entries = Vec::new();
        for (process, write) in (0..).zip(&writes) {
            let action = if write.makes { MAKE } else { REMOVE };
            let at = |time, phase| Entry { process, ..entry(time, action, phase) };
            entries.push(at(write.from, Phase::Invoke));
            entries.extend(write.until.map(|until| at(until, write.outcome)));
        }
        entries.sort_by_key(|entry| (entry.time, entry.phase != Phase::Invoke));
        entries.push(entry(99, Action::Publish, Phase::Ok));
        let with = |odd: Option<u16>| {
            let says = |node| seen_by(node, is_there != (odd == Some(node)));
            entries.iter().copied().chain((0..3).map(says)).collect::<Vec<_>>()
        };
        let legal = testing::judged::<Objects>(with(None));
        prop_assert_ne!(legal.verdict, Verdict::Invalid, "{}", legal.summary);
        let odd = testing::judged::<Objects>(with(Some(node)));
        prop_assert_eq!(odd.verdict, Verdict::Invalid);
        prop_assert_eq!(odd.data.disagreements, 1);
    }
}
