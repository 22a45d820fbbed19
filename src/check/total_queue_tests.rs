//! The accounting against tables, against broken legal histories, and against an oracle.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::check::losses::Losses;
use crate::check::window::{FaultTimes, Window};
use crate::history::operation::Nanos;
use crate::schedule::FaultId;

fn nodes() -> Vec<NodeName> {
    ["n1", "n2"].map(|name| NodeName(name.into())).to_vec()
}

/// `0.3 invoke`: producer 0, sequence 3. Further words: ok, info, nack, return, drain, foreign.
/// The time of an entry is its line number from 1; the node is n1 for even producers.
fn history(text: &str) -> Vec<Entry> {
    text.split(';')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(number, line)| {
            let (value, word) = line.split_once(' ').unwrap();
            let (producer, sequence) = value.split_once('.').unwrap();
            let producer = producer.parse().unwrap();
            let (action, phase, cause) = match word {
                "invoke" => (Action::Publish, Phase::Invoke, Cause::None),
                "ok" => (Action::Publish, Phase::Ok, Cause::None),
                "info" => (Action::Publish, Phase::Info, Cause::ConnectionLost),
                "nack" => (Action::Publish, Phase::Fail, Cause::Nacked),
                "return" => (Action::Publish, Phase::Fail, Cause::Returned),
                "drain" => (Action::Drain, Phase::Ok, Cause::None),
                "foreign" => (Action::Drain, Phase::Ok, Cause::Foreign),
                other => panic!("{other}"),
            };
            Entry {
                time: number as Nanos + 1,
                process: 0,
                node: (producer % 2) as u16,
                phase,
                action,
                producer,
                sequence: sequence.parse().unwrap(),
                attempt: 0,
                cause,
                ..Entry::default()
            }
        })
        .collect()
}

fn judge(entries: &[Entry], is_drained: bool, faults: &[FaultTimes]) -> Finding<TotalQueue> {
    judge_expiring(entries, is_drained, faults, None)
}

fn judge_expiring(
    entries: &[Entry],
    is_drained: bool,
    faults: &[FaultTimes],
    expired_until: Option<Nanos>,
) -> Finding<TotalQueue> {
    let nodes = nodes();
    let mut tally = Tally::default();
    for entry in entries {
        tally.add(entry).unwrap();
    }
    let mut sums = tally.sums(&nodes);
    if is_drained {
        let mut losses = Losses::new(&tally, &nodes, faults, expired_until);
        entries.iter().for_each(|entry| losses.add(entry));
        losses.finish(&mut sums);
    }
    finding(sums, true)
}

#[test]
fn clients_that_send_nothing_leave_nothing_to_lose() {
    let sums = Tally::default().sums(&nodes());
    assert_eq!(finding(sums.clone(), true).verdict, Verdict::Unknown);
    assert_eq!(finding(sums, false).verdict, Verdict::Valid);
    let mut tally = Tally::default();
    let received = history("0.0 drain");
    received.iter().for_each(|entry| tally.add(entry).unwrap());
    let found = finding(tally.sums(&nodes()), false);
    assert_eq!(found.verdict, Verdict::Invalid);
}

#[test]
fn one_message_is_told_as_one() {
    let said = |text| judge(&history(text), true, &[]).summary;
    let one = "0.0 invoke; 0.0 ok; 0.0 drain";
    assert_eq!(said(one), "the one confirmed message was received");
    let two = "0.0 invoke; 0.0 ok; 0.0 drain; 0.1 invoke; 0.1 ok; 0.1 drain";
    assert_eq!(said(two), "all 2 confirmed messages were received");
}

fn check(text: &str, verdict: Verdict, expected: &str) {
    let found = judge(&history(text), true, &[]);
    let data = &found.data;
    let counts = format!(
        "{} confirmed, {} received, {} duplicates, {} recovered, {} nacked, {} unexpected, {} lost",
        data.confirmed,
        data.received,
        data.duplicates,
        data.recovered,
        data.nacked_received,
        data.unexpected,
        data.lost.unwrap()
    );
    assert_eq!(
        (counts.as_str(), found.verdict),
        (expected, verdict),
        "{text}"
    );
}

#[test]
fn what_each_history_means() {
    let sure = "0.0 invoke; 0.0 ok; 0.0 drain; ";
    check(
        sure,
        Verdict::Valid,
        "1 confirmed, 1 received, 0 duplicates, 0 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
    check(
        "0.0 invoke; 0.0 ok",
        Verdict::Invalid,
        "1 confirmed, 0 received, 0 duplicates, 0 recovered, 0 nacked, 0 unexpected, 1 lost",
    );
    check(
        &format!("{sure} 0.1 invoke; 0.1 info; 0.1 drain"),
        Verdict::Valid,
        "1 confirmed, 2 received, 0 duplicates, 1 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
    check(
        &format!("{sure} 0.1 invoke; 0.1 drain"),
        Verdict::Valid,
        "1 confirmed, 2 received, 0 duplicates, 1 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
    check(
        &format!("{sure} 0.1 invoke; 0.1 info"),
        Verdict::Valid,
        "1 confirmed, 1 received, 0 duplicates, 0 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
    check(
        &format!("{sure} 0.1 invoke; 0.1 nack; 0.1 drain"),
        Verdict::Valid,
        "1 confirmed, 2 received, 0 duplicates, 0 recovered, 1 nacked, 0 unexpected, 0 lost",
    );
    check(
        &format!("{sure} 0.1 invoke; 0.1 return; 0.1 drain"),
        Verdict::Invalid,
        "1 confirmed, 2 received, 0 duplicates, 0 recovered, 0 nacked, 1 unexpected, 0 lost",
    );
    check(
        &format!("{sure} 1.5 drain"),
        Verdict::Invalid,
        "1 confirmed, 1 received, 0 duplicates, 0 recovered, 0 nacked, 1 unexpected, 0 lost",
    );
    check(
        &format!("{sure} 0.0 drain; 0.0 drain"),
        Verdict::Valid,
        "1 confirmed, 1 received, 2 duplicates, 0 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
    check(
        "0.0 invoke; 0.0 info; 0.0 invoke; 0.0 ok",
        Verdict::Invalid,
        "1 confirmed, 0 received, 0 duplicates, 0 recovered, 0 nacked, 0 unexpected, 1 lost",
    );
    check(
        "0.0 invoke; 0.0 nack; 0.0 invoke; 0.0 ok; 0.0 drain",
        Verdict::Valid,
        "1 confirmed, 1 received, 0 duplicates, 0 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
    check(
        "0.0 invoke; 0.0 info; 0.0 drain",
        Verdict::Unknown,
        "0 confirmed, 1 received, 0 duplicates, 1 recovered, 0 nacked, 0 unexpected, 0 lost",
    );
}

#[test]
fn what_may_have_expired_is_not_lost() {
    let entries = history("0.0 invoke; 0.0 ok; 0.1 invoke; 0.1 ok; 0.2 invoke; 0.2 ok; 0.2 drain");
    for (until, lost, expired, verdict) in [
        (None, 2, 0, Verdict::Invalid),
        (Some(0), 2, 0, Verdict::Invalid),
        (Some(2), 1, 1, Verdict::Invalid),
        (Some(3), 0, 2, Verdict::Valid),
    ] {
        let found = judge_expiring(&entries, true, &[], until);
        assert_eq!(found.verdict, verdict, "{until:?}");
        assert_eq!((found.data.lost, found.data.expired), (Some(lost), expired));
    }
    // Nothing that was published late enough came to the end.
    let found = judge_expiring(&entries[..4], true, &[], Some(3));
    assert_eq!(found.verdict, Verdict::Unknown);
    // Without a proven drain nothing is said of either.
    let found = judge_expiring(&entries, false, &[], Some(3));
    assert_eq!((found.data.lost, found.data.expired), (None, 0));
}

#[test]
fn a_foreign_message_is_no_loss_and_no_proof() {
    let found = judge(
        &history("0.0 invoke; 0.0 ok; 0.0 drain; 7.7 foreign"),
        true,
        &[],
    );
    assert_eq!((found.verdict, found.data.foreign), (Verdict::Unknown, 1));
}

#[test]
fn without_a_proven_drain_nothing_is_called_lost() {
    let found = judge(&history("0.0 invoke; 0.0 ok"), false, &[]);
    assert_eq!(found.verdict, Verdict::Unknown);
    assert_eq!(
        (found.data.lost, found.data.confirmed_not_received),
        (None, 1)
    );
    assert!(found.data.losses.is_empty());
}

#[test]
fn losses_are_told_by_node_and_fault_window() {
    let text = "0.0 invoke; 0.0 ok; 1.0 invoke; 1.0 ok; 0.1 invoke; 0.1 ok; 0.2 invoke; 0.2 ok";
    let faults = [FaultTimes {
        fault: FaultId(1),
        from: 4,
        until: Some(7),
    }];
    let found = judge(&history(text), true, &faults).data;
    let groups: Vec<_> = found
        .losses
        .iter()
        .map(|group| (group.node.0.as_str(), group.window, group.count))
        .collect();
    assert_eq!(
        groups,
        [
            ("n1", Window::Before, 1),
            ("n2", Window::During(FaultId(1)), 1),
            ("n1", Window::During(FaultId(1)), 1),
            ("n1", Window::After(FaultId(1)), 1),
        ]
    );
    assert_eq!(found.lost_values[0].published_ns, Some(1));
    assert_eq!(found.last_lost.unwrap().confirmed_ns, 8);
}

#[test]
fn what_is_missing_is_told_as_ranges() {
    let text: String = (0..3000)
        .map(|at| match at {
            0 | 4 | 2999 => format!("0.{at} invoke; 0.{at} ok; 0.{at} drain;"),
            5 => format!("0.{at} invoke; 0.{at} info;"),
            _ => format!("0.{at} invoke; 0.{at} ok;"),
        })
        .collect();
    for is_drained in [true, false] {
        let found = judge(&history(&text), is_drained, &[]).data;
        let missing: Vec<_> = found.producers[0]
            .missing
            .iter()
            .map(|range| (range.first, range.last))
            .collect();
        assert_eq!(missing, [(1, 3), (6, 2998)]);
    }
    let text: String = (0..3000)
        .map(|at| {
            let outcome = if at % 2 == 0 { "info" } else { "ok" };
            format!("0.{at} invoke; 0.{at} {outcome};")
        })
        .collect();
    let found = judge(&history(&text), true, &[]).data;
    assert_eq!(found.confirmed_not_received, 1500);
    assert_eq!(found.producers[0].missing.len(), LISTED_MAX);
}

#[test]
fn a_value_received_more_often_than_a_byte_counts_is_counted_right() {
    let mut entries = history("0.0 invoke; 0.0 ok; 0.0 drain");
    for _ in 0..999 {
        entries.push(entries[2]);
    }
    assert_eq!(judge(&entries, true, &[]).data.duplicates, 999);
}

#[test]
fn a_jump_that_no_producer_makes_is_damage() {
    let mut entry = history("0.0 invoke").remove(0);
    entry.sequence = u64::MAX;
    assert!(Tally::default().add(&entry).is_err());
    entry.sequence = 0;
    entry.producer = u32::MAX;
    assert!(Tally::default().add(&entry).is_err());
}

/// A legal history: every value is sent, confirmed or not known, and received as it must be.
fn legal() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec((0..3u32, any::<bool>(), any::<bool>()), 1..60).prop_map(|values| {
        let mut next = [0u64; 3];
        let mut lines = vec!["2.0 invoke".to_owned(), "2.0 ok".into(), "2.0 drain".into()];
        next[2] = 1;
        for (producer, is_confirmed, is_kept) in values {
            let value = format!("{producer}.{}", next[producer as usize]);
            next[producer as usize] += 1;
            lines.push(format!("{value} invoke"));
            lines.push(format!(
                "{value} {}",
                if is_confirmed { "ok" } else { "info" }
            ));
            if is_confirmed || is_kept {
                lines.push(format!("{value} drain"));
            }
        }
        history(&lines.join(";"))
    })
}

fn pick(entries: &[Entry], at: usize, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
    let fitting: Vec<usize> = (0..entries.len())
        .filter(|at| wanted(&entries[*at]))
        .collect();
    (!fitting.is_empty()).then(|| fitting[at % fitting.len()])
}

/// The same accounting, written as plainly as it can be.
fn oracle(entries: &[Entry]) -> [u64; 6] {
    let mut values = BTreeMap::<(u32, u64), Vec<&Entry>>::new();
    for entry in entries {
        values
            .entry((entry.producer, entry.sequence))
            .or_default()
            .push(entry);
    }
    let mut sums = [0; 6];
    for entries in values.values() {
        let count = |wanted: &dyn Fn(&Entry) -> bool| {
            entries.iter().filter(|entry| wanted(entry)).count() as u64
        };
        let received = count(&|entry| entry.action == Action::Drain);
        let invoked = count(&|entry| entry.phase == Phase::Invoke);
        let ok = count(&|entry| entry.action == Action::Publish && entry.phase == Phase::Ok);
        let failed = count(&|entry| entry.phase == Phase::Fail);
        let nacked = count(&|entry| entry.cause == Cause::Nacked);
        sums[0] += u64::from(ok > 0);
        sums[1] += u64::from(received > 0 && invoked > 0);
        sums[2] += if invoked > 0 {
            received.saturating_sub(1)
        } else {
            0
        };
        sums[3] += u64::from(received > 0 && ok == 0 && invoked > failed);
        sums[4] += u64::from(received > 0 && ok == 0 && invoked == failed && nacked == 0);
        sums[5] += u64::from(received == 0 && ok > 0);
    }
    sums
}

proptest! {
    #[test]
    fn legal_histories_are_valid_and_one_thing_broken_is_noticed(entries in legal(), at: usize) {
        let sound = judge(&entries, true, &[]);
        prop_assert_eq!(sound.verdict, Verdict::Valid);

        let confirmed = |entry: &Entry| {
            entry.action == Action::Drain && entries.iter().any(|other| {
                other.action == Action::Publish && other.phase == Phase::Ok
                    && (other.producer, other.sequence) == (entry.producer, entry.sequence)
            })
        };
        if let Some(at) = pick(&entries, at, confirmed) {
            let mut broken = entries.clone();
            let dropped = broken.remove(at);
            let found = judge(&broken, true, &[]);
            prop_assert_eq!(found.verdict, Verdict::Invalid);
            prop_assert_eq!(found.data.lost, Some(1));
            let lost = found.data.lost_values[0].value;
            prop_assert_eq!((lost.producer, lost.sequence), (dropped.producer, dropped.sequence));
        }
        if let Some(at) = pick(&entries, at, |entry| entry.action == Action::Drain) {
            let mut broken = entries.clone();
            broken.push(broken[at]);
            let found = judge(&broken, true, &[]);
            prop_assert_eq!((found.verdict, found.data.duplicates), (Verdict::Valid, 1));
            broken.last_mut().unwrap().sequence = 1000;
            let found = judge(&broken, true, &[]);
            prop_assert_eq!((found.verdict, found.data.unexpected), (Verdict::Invalid, 1));
            prop_assert_eq!(found.data.unexpected_values[0].sequence, 1000);
        }
    }

    /// What is missing has either expired or is lost, by the time at which it was published.
    #[test]
    fn a_missing_message_is_lost_unless_its_time_was_over(entries in legal(), gone: u64, until in 0..120i64) {
        let mut missing = 0;
        let mut left = entries.clone();
        left.retain(|entry| {
            let is_gone = entry.action == Action::Drain && gone >> (entry.sequence % 64) & 1 == 1;
            missing += u64::from(is_gone);
            !is_gone
        });
        let of = |at: &Entry, phase| entries.iter().find(|entry| {
            entry.action == Action::Publish && entry.phase == phase
                && (entry.producer, entry.sequence) == (at.producer, at.sequence)
        });
        let gone = entries.iter().filter(|entry| entry.action == Action::Drain && !left.contains(entry));
        let confirmed = gone.filter(|entry| of(entry, Phase::Ok).is_some());
        let late = confirmed.filter(|entry| of(entry, Phase::Invoke).is_some_and(|begun| begun.time > until));
        let lost = late.count() as u64;
        let found = judge_expiring(&left, true, &[], Some(until));
        prop_assert_eq!(found.data.lost, Some(lost));
        prop_assert_eq!(found.data.expired, found.data.confirmed_not_received - lost);
        prop_assert!(found.data.confirmed_not_received <= missing);
        prop_assert_eq!(found.verdict == Verdict::Invalid, lost > 0);
    }

    #[test]
    fn small_histories_agree_with_the_oracle(
        steps in proptest::collection::vec((0..2u32, 0..3u64, 0..6usize), 0..24)
    ) {
        let words = ["ok", "info", "nack", "return", "drain", "drain"];
        let mut lines = Vec::new();
        for (producer, sequence, word) in steps {
            if word < 4 {
                lines.push(format!("{producer}.{sequence} invoke"));
            }
            lines.push(format!("{producer}.{sequence} {}", words[word]));
        }
        // A receipt before any attempt would be unexpected to one and not to the other.
        lines.sort_by_key(|line| line.ends_with("drain"));
        let entries = history(&lines.join(";"));
        let found = judge(&entries, true, &[]).data;
        let sums = [
            found.confirmed,
            found.received,
            found.duplicates,
            found.recovered,
            found.unexpected,
            found.lost.unwrap(),
        ];
        prop_assert_eq!(sums, oracle(&entries));
    }
}
