//! Turns of single active consumers that must pass, and those that must not.

use proptest::prelude::*;

use super::*;
use crate::check::testing;
use crate::event::Proof;
use crate::scenario::testing::scenario;

const SECOND: Nanos = 1_000_000_000;

fn entry(time: Nanos, process: u32, action: Action, phase: Phase, sequence: u64) -> Entry {
    Entry {
        time,
        process,
        node: (process % 3) as u16,
        phase,
        action,
        sequence,
        ..Entry::default()
    }
}

/// Subscriptions of 7 and 8, then a message for each of these consumers, published and read one after another.
fn turns(from: Nanos, apart: Nanos, consumers: &[u32]) -> Vec<Entry> {
    let mut entries = vec![
        entry(from, 7, Action::Subscribe, Phase::Ok, 0),
        entry(from, 8, Action::Subscribe, Phase::Ok, 0),
    ];
    for (at, process) in (1..).zip(consumers) {
        let sequence = at as u64;
        let time = from + at * apart;
        entries.push(entry(time, 0, Action::Publish, Phase::Invoke, sequence));
        entries.push(entry(
            time + 1,
            *process,
            Action::Deliver,
            Phase::Ok,
            sequence,
        ));
    }
    entries
}

fn judged(entries: &[Entry]) -> Finding<Exclusive> {
    testing::judged::<Exclusives>(entries.iter().copied())
}

/// The same, had this happened besides.
fn judged_with(entries: &[Entry], events: &[Record]) -> Exclusive {
    let scenario = scenario();
    let nodes = ["n1", "n2", "n3"].map(|name| NodeName(name.into()));
    let known = Known {
        scenario: &scenario,
        nodes: &nodes,
        faults: &[],
        events,
    };
    let mut check = Exclusives::begin(&known);
    entries.iter().for_each(|entry| check.add(entry));
    let seen = Seen {
        known,
        is_complete: true,
    };
    check.finding(&seen).data
}

/// A fault that was asked for and, if so, healed.
fn fault(asked: Nanos, healed: Option<Nanos>) -> Vec<Record> {
    let fault = FaultId(1);
    let mut events = vec![Record {
        time: asked,
        event: Event::FaultAsked {
            fault,
            kind: "partition".into(),
            description: "a cut".into(),
            groups: Vec::new(),
        },
    }];
    events.extend(healed.map(|at| Record {
        time: at + 1,
        event: Event::FaultHealed {
            fault,
            at,
            proof: Proof {
                proven: true,
                evidence: Vec::new(),
            },
        },
    }));
    events
}

#[test]
fn two_that_take_turns_are_active_at_once() {
    let finding = judged(&turns(0, SECOND / 10, &[7, 8, 7, 8]));
    assert_eq!(finding.verdict, Verdict::Invalid);
    insta::assert_snapshot!(finding.summary, @"two consumers of a queue were active at once 1 times, first on n2 and n3");
    let overlap = &finding.data.overlapping[0];
    let processes: Vec<u32> = overlap.turns.iter().map(|turn| turn.process).collect();
    assert_eq!(processes, [7, 8, 7, 8]);
    // The switch back before the last turn is no less a suspicion.
    assert_eq!(finding.data.suspected, 1);
    assert_eq!(finding.data.handovers, 3);
}

#[test]
fn a_handover_is_what_such_queues_are_for() {
    let finding = judged(&turns(0, SECOND / 10, &[7, 7, 8, 8, 8]));
    assert_eq!(finding.verdict, Verdict::Valid);
    assert_eq!((finding.data.handovers, finding.data.suspected), (1, 0));
}

#[test]
fn a_switch_back_is_suspected_and_no_more() {
    let finding = judged(&turns(0, SECOND / 10, &[7, 8, 7, 7]));
    assert_eq!(finding.verdict, Verdict::Valid);
    assert_eq!(finding.data.suspected, 1);
    let turns = &finding.data.switches[0].turns;
    assert_eq!(turns.len(), 3);
    assert_eq!(turns[2].received_ns, 3 * SECOND / 10 + 1);
}

#[test]
fn who_began_anew_may_be_active_again() {
    let mut entries = turns(0, SECOND / 10, &[7, 8, 7]);
    // 7 loses its connection after its first message; another one takes its place.
    let lost = entry(SECOND / 10 + 2, 7, Action::Cancel, Phase::Invoke, 0);
    let again = entry(SECOND / 10 + 3, 17, Action::Subscribe, Phase::Ok, 0);
    entries.splice(4..4, [lost, again]);
    for entry in &mut entries[6..] {
        if entry.process == 7 {
            entry.process = 17;
        }
    }
    let finding = judged(&entries);
    assert_eq!((finding.data.overlaps, finding.data.suspected), (0, 0));
}

#[test]
fn what_is_read_late_was_not_sent_late() {
    let mut entries = turns(0, SECOND / 10, &[7, 8, 7, 8]);
    for entry in &mut entries {
        if entry.action == Action::Publish {
            entry.time = 0;
        }
    }
    let data = judged(&entries).data;
    assert_eq!((data.overlaps, data.suspected), (0, 0));
    assert_eq!(data.handovers, 3);
}

#[test]
fn brokers_that_had_the_time_to_lose_each_other_explain_it() {
    // Three quarters of a net_ticktime of 8 s.
    let quick = judged(&turns(0, 5 * SECOND / 3, &[7, 8, 7, 8]));
    assert_eq!(quick.data.overlaps, 1);
    let slow = judged(&turns(0, 2 * SECOND + 1, &[7, 8, 7, 8]));
    assert_eq!((slow.data.overlaps, slow.data.suspected), (0, 2));
    assert_eq!(slow.verdict, Verdict::Valid);
}

#[test]
fn a_fault_explains_it_for_a_while() {
    let entries = turns(100 * SECOND, SECOND / 10, &[7, 8, 7, 8]);
    for (asked, healed, overlaps) in [
        (10, Some(30), 1),
        (10, Some(50), 0),
        (10, None, 0),
        (99, Some(101), 0),
        (100, Some(120), 0),
        (101, Some(120), 1),
    ] {
        let events = fault(asked * SECOND, healed.map(|healed| healed * SECOND));
        let data = judged_with(&entries, &events);
        assert_eq!(data.overlaps, overlaps, "{asked} {healed:?}");
        assert_eq!(data.overlaps + data.suspected, 2);
    }
}

#[test]
fn nodes_that_say_they_are_parted_explain_it() {
    let entries = turns(100 * SECOND, SECOND / 10, &[7, 8, 7, 8]);
    let said = |seconds: Nanos, running: usize| {
        let names = ["n1", "n2", "n3"].map(|name| NodeName(name.into()));
        let view = NodeView {
            running: names[..running].to_vec(),
            ..NodeView::default()
        };
        let event = Event::ClusterView {
            views: BTreeMap::from([(names[0].clone(), view)]),
            leader: None,
        };
        let record = Record {
            time: seconds * SECOND,
            event,
        };
        judged_with(&entries, &[record]).overlaps
    };
    assert_eq!(said(110, 3), 1);
    assert_eq!(said(110, 2), 0);
    assert_eq!(said(20, 2), 1);
}

#[test]
fn nobody_who_received_nothing_proves_anything() {
    assert_eq!(judged(&turns(0, 1, &[])).verdict, Verdict::Unknown);
}

/// What happens in a queue that has one active consumer at a time: a message, or a handover; and how
/// long each delivery takes to be read.
#[derive(Debug, Clone, Copy)]
enum Step {
    Message { delay: u8 },
    Handover { begins_anew: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<u8>().prop_map(|delay| Step::Message { delay }),
        1 => any::<bool>().prop_map(|begins_anew| Step::Handover { begins_anew }),
    ];
    prop::collection::vec(step, 0..200)
}

/// A handover without a new beginning happens only after the time in which brokers lose each other.
fn history(steps: &[Step]) -> Vec<Entry> {
    let mut entries = vec![
        entry(0, 7, Action::Subscribe, Phase::Ok, 0),
        entry(0, 8, Action::Subscribe, Phase::Ok, 0),
    ];
    let (mut active, mut waiting, mut next) = (7, 8, 9);
    let mut now = SECOND;
    // What a connection delivers is read in the order in which it was sent.
    let mut read = BTreeMap::<u32, Nanos>::new();
    for (sequence, step) in (0u64..).zip(steps) {
        now += SECOND / 100;
        match step {
            Step::Message { delay } => {
                entries.push(entry(now, 0, Action::Publish, Phase::Invoke, sequence));
                let at = now + Nanos::from(*delay) * SECOND / 200;
                let at = at.max(read.get(&active).copied().unwrap_or(0));
                read.insert(active, at);
                entries.push(entry(at, active, Action::Deliver, Phase::Ok, sequence));
            }
            Step::Handover { begins_anew: true } => {
                let at = now.max(read.get(&active).copied().unwrap_or(0) + 1);
                entries.push(entry(at, active, Action::Cancel, Phase::Invoke, 0));
                entries.push(entry(now, next, Action::Subscribe, Phase::Ok, 0));
                (active, waiting, next) = (waiting, next, next + 1);
            }
            Step::Handover { begins_anew: false } => {
                now += 6 * SECOND;
                (active, waiting) = (waiting, active);
            }
        }
    }
    entries.sort_by_key(|entry| entry.time);
    entries
}

proptest! {
    #[test]
    fn one_active_consumer_at_a_time_is_never_blamed(steps in steps()) {
        let finding = judged(&history(&steps));
        prop_assert_eq!(finding.data.overlaps, 0, "{:?}", finding.data.overlapping);
    }

    #[test]
    fn a_second_one_is_noticed(steps in steps(), at in any::<prop::sample::Index>()) {
        let mut entries = history(&steps);
        let end = entries.last().unwrap().time;
        let from = if end > 0 { at.index(end as usize) as Nanos } else { 0 };
        // Besides all that, two more are given a message each by turns, four times.
        for (place, entry) in (0u64..).zip(turns(from, SECOND / 20, &[7, 8, 7, 8])) {
            let mut entry = entry;
            entry.producer = 1;
            if entry.action == Action::Publish {
                entry.process = 1;
                entry.sequence = 1_000_000 + place / 2;
            } else {
                entry.process += 1_000_000;
                entry.sequence = 1_000_000 + place.saturating_sub(1) / 2;
            }
            entries.push(entry);
        }
        entries.sort_by_key(|entry| entry.time);
        prop_assert_eq!(judged(&entries).verdict, Verdict::Invalid);
    }
}
