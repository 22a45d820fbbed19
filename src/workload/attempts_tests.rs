//! A model of a broker's channel and of the library's queue of returned messages drives the
//! state machine; the model knows the truth.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    Refused,
    Unroutable,
}

#[derive(Debug, Clone)]
enum Step {
    Publish(Fate),
    /// The broker takes the next publish off the wire and returns it if it must.
    Process,
    /// The broker confirms one of the processed publishes, in any order.
    Confirm(prop::sample::Index),
    /// The client reads what has resolved, all of it, and settles.
    Observe,
    /// The client reads, but not the confirm of the publish still in its hands.
    ObserveWithoutLast,
}

#[derive(Default)]
struct Model {
    attempts: Attempts,
    fates: Vec<Fate>,
    processed: usize,
    unconfirmed: Vec<usize>,
    queue: VecDeque<AttemptId>,
    resolved: VecDeque<(usize, Answer, Carried)>,
    answered: Vec<usize>,
    completions: HashMap<u64, Completion>,
}

fn id(sequence: usize) -> AttemptId {
    AttemptId {
        producer: 7,
        sequence: sequence as u64,
        attempt: 0,
    }
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(fate) => {
                let order = self.attempts.invoke(id(self.fates.len()), 1_000);
                assert_eq!(order, self.fates.len() as u64);
                self.fates.push(*fate);
            }
            Step::Process => self.process(),
            Step::Confirm(at) => {
                if !self.unconfirmed.is_empty() {
                    self.confirm(at.index(self.unconfirmed.len()));
                }
            }
            Step::Observe => self.observe(None),
            Step::ObserveWithoutLast => self.observe(self.fates.len().checked_sub(1)),
        }
    }

    fn process(&mut self) {
        if let Some(fate) = self.fates.get(self.processed) {
            if *fate == Fate::Unroutable {
                self.queue.push_back(id(self.processed));
            }
            self.unconfirmed.push(self.processed);
            self.processed += 1;
        }
    }

    fn confirm(&mut self, at: usize) {
        let order = self.unconfirmed.swap_remove(at);
        let carried = self
            .queue
            .pop_front()
            .map_or(Carried::Nothing, Carried::Return);
        let answer = match self.fates[order] {
            Fate::Refused => Answer::Nack,
            Fate::Stored | Fate::Unroutable => Answer::Ack,
        };
        self.resolved.push_back((order, answer, carried));
        self.answered.push(order);
    }

    fn observe(&mut self, withheld: Option<usize>) {
        let mut out = Vec::new();
        let (late, now) = std::mem::take(&mut self.resolved)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(order, ..)| Some(*order) == withheld);
        for (order, answer, carried) in now {
            self.attempts
                .resolve(order as u64, answer, carried, &mut out);
        }
        self.resolved = late;
        if self.resolved.is_empty() {
            self.attempts.settle(&mut out);
        }
        self.take(out);
    }

    fn take(&mut self, out: Vec<Completion>) {
        for completion in out {
            let twice = self.completions.insert(completion.id.sequence, completion);
            assert_eq!(twice, None, "completed twice");
            let order = completion.id.sequence as usize;
            match (completion.phase, completion.cause) {
                (Phase::Ok, Cause::None) => {
                    assert_eq!(self.fates[order], Fate::Stored);
                    assert!(self.answered.contains(&order));
                }
                (Phase::Fail, Cause::Nacked) => assert_eq!(self.fates[order], Fate::Refused),
                (Phase::Fail, Cause::Returned) => assert_eq!(self.fates[order], Fate::Unroutable),
                (Phase::Info, Cause::ConnectionLost) => {}
                other => panic!("unexpected completion {other:?}"),
            }
        }
    }

    fn lose(&mut self) {
        let mut out = Vec::new();
        self.attempts.abandon(0, Cause::ConnectionLost, &mut out);
        self.take(out);
        assert_eq!(self.completions.len(), self.fates.len());
        assert_eq!(self.attempts.open(), 0);
        assert_eq!(self.attempts.contradictions(), 0);
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![Just(Fate::Stored), Just(Fate::Stored), Just(Fate::Unroutable), Just(Fate::Refused)]
            .prop_map(Step::Publish),
        4 => Just(Step::Process),
        4 => any::<prop::sample::Index>().prop_map(Step::Confirm),
        2 => Just(Step::Observe),
        2 => Just(Step::ObserveWithoutLast),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_wrong_pairing_never_makes_a_wrong_completion(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut model = Model::default();
        for step in &steps {
            model.step(step);
        }
        model.lose();
    }

    #[test]
    fn nothing_is_left_unknown_when_every_publish_is_confirmed(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut model = Model::default();
        for step in &steps {
            model.step(step);
        }
        while model.processed < model.fates.len() {
            model.process();
        }
        while !model.unconfirmed.is_empty() {
            model.confirm(0);
        }
        model.observe(None);
        prop_assert_eq!(model.attempts.open(), 0);
        prop_assert!(model.completions.values().all(|completion| completion.phase != Phase::Info));
        model.lose();
    }
}

fn completion(id: AttemptId, phase: Phase, cause: Cause, deadline: Nanos) -> Completion {
    Completion {
        id,
        phase,
        cause,
        deadline,
    }
}

#[test]
fn the_pairing_that_was_seen_on_a_real_broker() {
    let mut attempts = Attempts::default();
    let mut out = Vec::new();
    let (stored, unroutable) = (attempts.invoke(id(0), 10), attempts.invoke(id(1), 10));
    attempts.resolve(stored, Answer::Ack, Carried::Return(id(1)), &mut out);
    assert_eq!(out, [completion(id(1), Phase::Fail, Cause::Returned, 10)]);
    attempts.settle(&mut out);
    assert_eq!(out.len(), 1, "a return for the first may still be queued");
    attempts.resolve(unroutable, Answer::Ack, Carried::Nothing, &mut out);
    attempts.settle(&mut out);
    assert_eq!(out[1], completion(id(0), Phase::Ok, Cause::None, 10));
    assert_eq!((out.len(), attempts.open()), (2, 0));
}

#[test]
fn a_missing_confirm_is_overdue_and_the_others_are_lost() {
    let mut attempts = Attempts::default();
    attempts.invoke(id(0), 10);
    attempts.invoke(id(1), 20);
    assert_eq!(attempts.next_deadline(), Some(10));
    let mut out = Vec::new();
    attempts.abandon(10, Cause::RunEnded, &mut out);
    assert_eq!(
        out,
        [
            completion(id(0), Phase::Info, Cause::ConfirmTimeout, 10),
            completion(id(1), Phase::Info, Cause::RunEnded, 20),
        ]
    );
    assert_eq!(attempts.next_deadline(), None);
}

#[test]
fn what_the_rules_exclude_is_counted() {
    let mut attempts = Attempts::default();
    let mut out = Vec::new();
    let order = attempts.invoke(id(0), 10);
    attempts.resolve(order, Answer::Ack, Carried::Nothing, &mut out);
    attempts.settle(&mut out);
    attempts.resolve(order, Answer::Ack, Carried::Nothing, &mut out);
    let next = attempts.invoke(id(1), 10);
    attempts.resolve(next, Answer::Ack, Carried::Return(id(0)), &mut out);
    assert_eq!(attempts.contradictions(), 2);
    assert_eq!(out.len(), 1);
}
