//! Orders that must pass, those that must not, and a queue that is always right.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::check::testing;

fn judged(entries: &[Entry]) -> Finding<Order> {
    testing::judged::<Orders>(entries.iter().copied())
}

fn publish(time: Nanos, phase: Phase, process: u32, sequence: u64) -> Entry {
    Entry {
        time,
        process,
        phase,
        sequence,
        ..Entry::default()
    }
}

fn delivery(time: Nanos, process: u32, sequence: u64, redelivered: bool) -> Entry {
    Entry {
        time,
        process,
        node: 1,
        phase: Phase::Ok,
        action: Action::Deliver,
        sequence,
        redelivered,
        ..Entry::default()
    }
}

fn subscribe(time: Nanos, process: u32) -> Entry {
    Entry {
        time,
        process,
        action: Action::Subscribe,
        ..Entry::default()
    }
}

/// Two publishes on one connection of a producer, neither confirmed.
fn published() -> Vec<Entry> {
    vec![
        publish(1, Phase::Invoke, 0, 0),
        publish(2, Phase::Invoke, 0, 1),
    ]
}

#[test]
fn a_message_after_a_later_one_is_out_of_order_unless_it_is_marked() {
    let mut entries = published();
    entries.push(delivery(3, 9, 1, false));
    let in_order = judged(&[&entries[..], &[delivery(4, 9, 0, true)]].concat());
    assert_eq!(in_order.verdict, Verdict::Valid);
    assert_eq!(in_order.data.redelivered, 1);
    let finding = judged(&[&entries[..], &[delivery(4, 9, 0, false)]].concat());
    assert_eq!(finding.verdict, Verdict::Invalid);
    insta::assert_snapshot!(finding.summary, @"1 messages were received out of order, first message 0 of producer 0 after message 1");
    let jump = &finding.data.jumps[0];
    assert_eq!(jump.node.as_ref().unwrap().0, "n2");
    assert_eq!(
        (jump.late.received_ns, jump.after.received_ns, jump.process),
        (4, 3, 9)
    );
    assert_eq!(jump.late.confirmed_ns, None);
}

#[test]
fn one_that_was_marked_was_seen_all_the_same() {
    let mut entries = published();
    entries.extend([delivery(3, 9, 1, true), delivery(4, 9, 0, false)]);
    assert_eq!(judged(&entries).data.backward, 1);
}

#[test]
fn across_connections_of_a_producer_only_a_confirm_orders() {
    let sent = |confirmed: bool| {
        let mut entries = vec![publish(1, Phase::Invoke, 0, 0)];
        if confirmed {
            entries.push(publish(2, Phase::Ok, 0, 0));
        }
        entries.push(publish(3, Phase::Invoke, 5, 1));
        entries.extend([delivery(4, 9, 1, false), delivery(5, 9, 0, false)]);
        entries
    };
    assert_eq!(judged(&sent(false)).data.backward, 0);
    assert_eq!(judged(&sent(true)).data.backward, 1);
}

#[test]
fn an_attempt_sent_again_has_a_place_of_its_own() {
    let again = Entry {
        attempt: 1,
        ..publish(3, Phase::Invoke, 0, 0)
    };
    let second = Entry {
        attempt: 1,
        ..delivery(5, 9, 0, false)
    };
    let mut entries = published();
    entries.extend([again, delivery(4, 9, 1, false), second]);
    assert_eq!(judged(&entries).data.backward, 0);
    // The first attempt was before.
    entries.push(delivery(6, 9, 0, false));
    assert_eq!(judged(&entries).data.backward, 1);
}

#[test]
fn what_comes_once_more_without_the_mark_is_repeated_and_was_in_order() {
    let mut entries = published();
    for (time, sequence) in [(3, 0), (4, 1), (5, 0)] {
        entries.push(delivery(time, 9, sequence, false));
    }
    let finding = judged(&entries);
    assert_eq!(finding.verdict, Verdict::Valid);
    assert_eq!((finding.data.repeated, finding.data.backward), (1, 0));
}

#[test]
fn consumers_are_compared_where_one_began_after_the_other_had_received() {
    let with = |subscribed: Nanos| {
        let mut entries = published();
        entries.extend([delivery(4, 8, 1, false), subscribe(subscribed, 9)]);
        entries.sort_by_key(|entry| entry.time);
        entries.push(delivery(6, 9, 0, false));
        judged(&entries).data.backward
    };
    assert_eq!(with(3), 0);
    assert_eq!(with(5), 1);
}

#[test]
fn the_drain_comes_after_all() {
    let mut entries = published();
    let drained = Entry {
        action: Action::Drain,
        ..delivery(6, 1 << 31, 0, false)
    };
    entries.extend([delivery(4, 8, 1, false), drained]);
    let finding = judged(&entries);
    assert_eq!(finding.data.backward, 1);
    assert_eq!((finding.data.received, finding.data.drained), (1, 1));
    // Nobody had received anything before.
    entries.remove(2);
    assert_eq!(judged(&entries).verdict, Verdict::Unknown);
}

#[test]
fn queues_and_producers_have_orders_of_their_own() {
    let mut entries = published();
    let elsewhere = |entry: Entry| Entry { queue: 1, ..entry };
    entries.extend([
        delivery(3, 9, 1, false),
        elsewhere(delivery(4, 9, 0, false)),
    ]);
    assert_eq!(judged(&entries).data.backward, 0);
    let other = |entry: Entry| Entry {
        producer: 1,
        ..entry
    };
    entries.extend([
        other(publish(5, Phase::Invoke, 1, 0)),
        other(delivery(6, 9, 0, false)),
    ]);
    assert_eq!(judged(&entries).data.backward, 0);
}

#[derive(Clone, Copy)]
struct Message {
    producer: u32,
    sequence: u64,
    attempt: u16,
    was_out: bool,
}

/// A queue that keeps its order, its producers and its consumers, one of which is active.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    /// By producer: connections that it has had, its next value.
    producers: [(u32, u64); 2],
    /// Publishes of lost connections that are still under way.
    under_way: Vec<Message>,
    /// What is in the queue, by its place.
    queue: BTreeMap<u64, Message>,
    next_place: u64,
    active: u32,
    waiting: Option<u32>,
    next_consumer: u32,
    unacked: Vec<(u64, Message)>,
    /// By consumer: what the broker has sent and nobody read yet.
    sockets: BTreeMap<u32, VecDeque<Message>>,
}

impl Model {
    fn record(&mut self, entry: Entry) {
        let time = self.entries.len() as Nanos;
        self.entries.push(Entry { time, ..entry });
    }

    fn arrive(&mut self, message: Message) {
        self.queue.insert(self.next_place, message);
        self.next_place += 1;
    }

    fn publish(&mut self, producer: u32, how: u8) {
        let (connection, sequence) = self.producers[producer as usize];
        // Every third value is the one before, sent again.
        let attempt = u16::from(sequence % 3 == 1);
        let message = Message {
            producer,
            sequence: sequence - u64::from(attempt),
            attempt,
            was_out: false,
        };
        self.producers[producer as usize].1 += 1;
        let entry = Entry {
            process: producer + 2 * connection,
            producer,
            sequence: message.sequence,
            attempt,
            ..Entry::default()
        };
        self.record(entry);
        match how % 4 {
            // Its connection is lost, and it may arrive later.
            0 => {
                self.under_way.push(message);
                self.producers[producer as usize].0 += 1;
            }
            // No confirm so far.
            1 => self.arrive(message),
            _ => {
                self.arrive(message);
                self.record(Entry {
                    phase: Phase::Ok,
                    ..entry
                });
            }
        }
    }

    fn send(&mut self) {
        if let Some((place, message)) = self.queue.pop_first() {
            self.unacked.push((place, message));
            self.sockets
                .entry(self.active)
                .or_default()
                .push_back(message);
        }
    }

    fn read(&mut self, which: u8) {
        let count = self.sockets.len().max(1);
        let socket = self.sockets.iter_mut().nth(usize::from(which) % count);
        let Some((process, message)) =
            socket.and_then(|(process, socket)| Some((*process, socket.pop_front()?)))
        else {
            return;
        };
        self.record(Entry {
            process,
            phase: Phase::Ok,
            action: Action::Deliver,
            producer: message.producer,
            sequence: message.sequence,
            attempt: message.attempt,
            redelivered: message.was_out,
            ..Entry::default()
        });
    }

    fn subscribe(&mut self) {
        self.next_consumer += 1;
        let process = 1_000 + self.next_consumer;
        self.waiting = Some(process);
        self.record(Entry {
            process,
            action: Action::Subscribe,
            ..Entry::default()
        });
    }

    /// The active consumer is given up: what it had goes back to its place. It may still read.
    fn hand_over(&mut self) {
        for (place, message) in std::mem::take(&mut self.unacked) {
            let was_out = true;
            self.queue.insert(place, Message { was_out, ..message });
        }
        if self.waiting.is_none() {
            self.subscribe();
        }
        self.active = self.waiting.take().unwrap_or(self.active);
    }

    fn step(&mut self, (what, how): (u8, u8)) {
        match what % 16 {
            0..=4 => self.publish(u32::from(how / 4 % 2), how),
            5..=8 => self.send(),
            9..=12 => self.read(how),
            13 if !self.unacked.is_empty() => {
                self.unacked.remove(0);
            }
            14 if how % 4 == 0 => self.hand_over(),
            14 => {
                if let Some(message) = self.under_way.pop() {
                    self.arrive(message);
                }
            }
            _ if self.waiting.is_none() => self.subscribe(),
            _ => {}
        }
    }
}

fn history(steps: Vec<(u8, u8)>) -> Vec<Entry> {
    let mut model = Model {
        active: 1_000,
        ..Model::default()
    };
    steps.into_iter().for_each(|step| model.step(step));
    model.entries
}

proptest! {
    #[test]
    fn a_queue_that_keeps_its_order_is_never_blamed(
        steps in prop::collection::vec(any::<(u8, u8)>(), 0..400),
    ) {
        let finding = judged(&history(steps));
        prop_assert_ne!(finding.verdict, Verdict::Invalid, "{:?}", finding.data.jumps);
    }

    #[test]
    fn two_messages_exchanged_are_noticed(
        steps in prop::collection::vec(any::<(u8, u8)>(), 200..400),
        which in any::<prop::sample::Index>(),
    ) {
        let mut entries = history(steps);
        let publishing = |entry: &Entry| {
            let is_it = |other: &&Entry| {
                other.action == Action::Publish
                    && (other.producer, other.sequence, other.attempt)
                        == (entry.producer, entry.sequence, entry.attempt)
            };
            entries.iter().find(is_it).map(|publish| publish.process)
        };
        let unmarked = |place: &usize| {
            let entry = entries[*place];
            entry.action == Action::Deliver && !entry.redelivered
        };
        let places: Vec<usize> = (0..entries.len()).filter(unmarked).collect();
        let mut pairs = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let (first, rest) = (entries[*place], &places[index + 1..]);
            let second = rest.iter().find(|other| {
                let other = entries[**other];
                other.process == first.process
                    && other.producer == first.producer
                    && publishing(&other) == publishing(&first)
            });
            pairs.extend(second.map(|second| (*place, *second)));
        }
        prop_assume!(!pairs.is_empty());
        let (first, second) = pairs[which.index(pairs.len())];
        // The second may not be known yet where the first stood.
        let sent = entries.iter().position(|entry| {
            entry.action == Action::Publish
                && (entry.producer, entry.sequence, entry.attempt)
                    == (entries[second].producer, entries[second].sequence, entries[second].attempt)
        });
        prop_assume!(sent.is_some_and(|sent| sent < first));
        let (one, other) = (entries[first], entries[second]);
        // What had come, marked, comes once more without the mark then, which is another matter.
        let is_one = |entry: &&Entry| {
            entry.action != Action::Publish
                && (entry.producer, entry.sequence, entry.attempt)
                    == (one.producer, one.sequence, one.attempt)
        };
        let before = entries[..second].iter().filter(is_one);
        prop_assume!(before.filter(|entry| entry.phase == Phase::Ok).count() == 1);
        entries[first] = Entry { time: one.time, ..other };
        entries[second] = Entry { time: other.time, ..one };
        prop_assert_eq!(judged(&entries).verdict, Verdict::Invalid);
    }
}
