//! A consumer's books, kept without a broker.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::event::{Emit, Event};
use crate::inventory::Secret;
use crate::scenario::testing::scenario;
use crate::workload::{Credentials, Record};

#[derive(Default)]
struct Kept(Mutex<Vec<Entry>>);

impl Record for Kept {
    fn record(&self, entry: Entry) {
        self.0.lock().unwrap().push(entry);
    }
}

struct Ignored;

impl Emit for Ignored {
    fn emit(&self, _event: Event) {}
}

fn books() -> (Receipts, Arc<Kept>, Codec) {
    let kept = Arc::new(Kept::default());
    let (_stop, stop) = watch::channel(false);
    let scenario = scenario();
    let mut workload = scenario.workload;
    workload.confirm_timeout = Duration::from_secs(1);
    let context = LoadContext {
        endpoints: Vec::new(),
        credentials: Credentials {
            user: "jtest".to_owned(),
            password: Secret::new("secret"),
            vhost: "/".to_owned(),
        },
        queue: scenario.queue,
        workload,
        administration: None,
        run_id: "cafe".to_owned(),
        recorder: kept.clone(),
        emit: Arc::new(Ignored),
        clock: RunClock::start(),
        tally: Arc::new(Tally::new([])),
        stop,
    };
    let mut books = Receipts::new(&context, 2, 1);
    books.begin(9);
    (books, kept, Codec::new("cafe", 64))
}

fn id(sequence: u64) -> AttemptId {
    AttemptId {
        producer: 3,
        sequence,
        attempt: 1,
    }
}

/// What was recorded, as action, phase, tag and cause.
fn told(kept: &Kept) -> Vec<(Action, Phase, Option<u64>, Cause)> {
    let kept = kept.0.lock().unwrap();
    let told = |entry: &Entry| (entry.action, entry.phase, entry.tag, entry.cause);
    kept.iter().map(told).collect()
}

#[test]
fn an_ack_ends_well_once_a_question_after_it_is_answered() {
    let (mut books, kept, codec) = books();
    books.received(Action::Deliver, &codec.encode(id(0)), 1, false);
    books.received(Action::Deliver, &codec.encode(id(1)), 2, true);
    assert_eq!(books.acknowledging(), Some(2));
    books.asking();
    books.received(Action::Deliver, &codec.encode(id(2)), 3, false);
    assert_eq!(books.acknowledging(), Some(3));
    assert!(books.is_unasked());
    // The question was sent before the third was acknowledged.
    books.answered();
    books.lost(Cause::ConnectionLost);
    let acks: Vec<_> = told(&kept)
        .into_iter()
        .filter(|(action, ..)| *action == Action::Ack)
        .collect();
    assert_eq!(
        acks,
        [
            (Action::Ack, Phase::Invoke, Some(1), Cause::None),
            (Action::Ack, Phase::Invoke, Some(2), Cause::None),
            (Action::Ack, Phase::Invoke, Some(3), Cause::None),
            (Action::Ack, Phase::Ok, Some(1), Cause::None),
            (Action::Ack, Phase::Ok, Some(2), Cause::None),
            (Action::Ack, Phase::Info, Some(3), Cause::ConnectionLost),
        ]
    );
    let entry = kept.0.lock().unwrap()[1];
    assert_eq!((entry.process, entry.node, entry.queue), (9, 2, 1));
    assert_eq!((entry.producer, entry.sequence, entry.attempt), (3, 1, 1));
    assert!(entry.redelivered);
}

#[test]
fn what_is_open_at_the_end_ends_unknown_and_only_once() {
    let (mut books, kept, codec) = books();
    books.subscribing();
    books.subscribed(Phase::Ok, Cause::None);
    books.received(Action::Deliver, b"not ours", 1, false);
    books.received(Action::Deliver, &codec.encode(id(0)), 2, false);
    books.acknowledging();
    books.received(Action::Deliver, &codec.encode(id(1)), 3, false);
    drop(books);
    assert_eq!(
        told(&kept),
        [
            (Action::Subscribe, Phase::Invoke, None, Cause::None),
            (Action::Subscribe, Phase::Ok, None, Cause::None),
            (Action::Deliver, Phase::Ok, Some(1), Cause::Foreign),
            (Action::Deliver, Phase::Ok, Some(2), Cause::None),
            (Action::Ack, Phase::Invoke, Some(1), Cause::None),
            (Action::Ack, Phase::Invoke, Some(2), Cause::None),
            (Action::Deliver, Phase::Ok, Some(3), Cause::None),
            (Action::Ack, Phase::Info, Some(1), Cause::RunEnded),
            (Action::Ack, Phase::Info, Some(2), Cause::RunEnded),
            (Action::Cancel, Phase::Invoke, None, Cause::None),
            (Action::Cancel, Phase::Info, None, Cause::RunEnded),
        ]
    );
}

#[test]
fn the_answer_to_a_get_is_one_to_the_acks_before_it() {
    let (mut books, kept, codec) = books();
    books.getting();
    books.answered();
    books.received(Action::Get, &codec.encode(id(0)), 1, false);
    books.acknowledging();
    books.getting();
    books.answered();
    books.got_none(Phase::Fail, Cause::Empty);
    drop(books);
    let phases: Vec<_> = told(&kept)
        .into_iter()
        .map(|(action, phase, ..)| (action, phase))
        .collect();
    assert_eq!(
        phases,
        [
            (Action::Get, Phase::Invoke),
            (Action::Get, Phase::Ok),
            (Action::Ack, Phase::Invoke),
            (Action::Get, Phase::Invoke),
            (Action::Ack, Phase::Ok),
            (Action::Get, Phase::Fail),
        ]
    );
}
