//! What is known of a wire, and when, on one that does what a test says.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use futures_util::FutureExt;
use futures_util::future::pending;
use tokio::sync::oneshot;

use super::*;

type Answered = Result<(Answer, Carried), String>;
type Confirm = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// Publishes as these say, one after the other.
#[derive(Default)]
struct Scripted(Mutex<VecDeque<Sending<Self>>>);

impl Wire for Scripted {
    const IN_HAND: usize = 3;

    type Confirm = Confirm;
    type Error = String;

    async fn open(_: &Endpoint, _: &Credentials, _: &str, _: &Queue) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn send(&self, _message: Message) -> Sending<Self> {
        self.0.lock().unwrap().pop_front().unwrap()
    }

    fn is_open(&self) -> bool {
        true
    }

    async fn close(self) {}
}

fn publisher(sendings: Vec<Sending<Scripted>>) -> Publisher<Scripted> {
    Publisher::new(Scripted(Mutex::new(sendings.into())))
}

fn publish(publisher: &mut Publisher<Scripted>, order: Order, bytes: usize) {
    let id = AttemptId {
        producer: 0,
        sequence: order,
        attempt: 0,
    };
    let body = vec![0; bytes];
    publisher.publish(order, Message { queue: 0, id, body });
}

fn acked() -> Answered {
    Ok((Answer::Ack, Carried::Nothing))
}

/// Whose confirms came, in their order; nothing where nothing is known.
fn observed(publisher: &mut Publisher<Scripted>) -> Option<Vec<Order>> {
    let batch = publisher.observe().now_or_never()?;
    assert_eq!(batch.lost, None);
    let orders = batch.resolved.iter().map(|(order, ..)| *order);
    Some(orders.collect())
}

/// A publish that is written, and a confirm that comes, when the test says so.
fn awaited() -> (
    oneshot::Sender<()>,
    oneshot::Sender<Answered>,
    Sending<Scripted>,
) {
    let (write, written) = oneshot::channel();
    let (confirm, confirmed) = oneshot::channel();
    let confirmed: Confirm = Box::pin(async { confirmed.await.unwrap() });
    let sending = async {
        written.await.unwrap();
        Ok(confirmed)
    };
    (write, confirm, Box::pin(sending))
}

#[test]
fn what_is_written_waits_for_what_was_published_before_it() {
    let (write, confirm, sending) = awaited();
    let (write_next, confirm_next, sending_next) = awaited();
    let mut publisher = publisher(vec![sending, sending_next]);
    publish(&mut publisher, 0, 1);
    publish(&mut publisher, 1, 1);
    assert_eq!(observed(&mut publisher), None);
    write_next.send(()).unwrap();
    confirm_next.send(acked()).unwrap();
    assert_eq!(observed(&mut publisher), None);
    write.send(()).unwrap();
    assert_eq!(observed(&mut publisher), Some(vec![1]));
    confirm.send(acked()).unwrap();
    assert_eq!(observed(&mut publisher), Some(vec![0]));
}

#[test]
fn a_confirm_that_resolved_before_one_that_was_seen_is_not_missing() {
    let (write, confirm, sending) = awaited();
    // Found to be written, the second has its confirm already, and the first has had its own before.
    let mut confirm = Some(confirm);
    let mut looks = 0;
    let sending_next: Sending<Scripted> = Box::pin(poll_fn(move |_| {
        looks += 1;
        if looks < 2 {
            return Poll::Pending;
        }
        confirm.take().unwrap().send(acked()).unwrap();
        let confirmed: Confirm = Box::pin(async { acked() });
        Poll::Ready(Ok(confirmed))
    }));
    let mut publisher = publisher(vec![sending, sending_next]);
    publish(&mut publisher, 0, 1);
    publish(&mut publisher, 1, 1);
    write.send(()).unwrap();
    assert_eq!(observed(&mut publisher), Some(vec![1, 0]));
}

#[test]
fn what_is_in_hand_is_looked_at_after_the_last_confirm_was_taken() {
    // While the first one's confirm is taken, the second turns out to be written and confirmed before it.
    let (write_next, confirm_next, sending_next) = awaited();
    let rung: Arc<Mutex<Option<Waker>>> = Arc::default();
    let mut next = Some((write_next, confirm_next));
    let bell = Arc::clone(&rung);
    let confirmed: Confirm = Box::pin(poll_fn(move |context| {
        if bell
            .lock()
            .unwrap()
            .replace(context.waker().clone())
            .is_none()
        {
            return Poll::Pending;
        }
        let (write, confirm) = next.take().unwrap();
        write.send(()).unwrap();
        confirm.send(acked()).unwrap();
        Poll::Ready(acked())
    }));
    let sending: Sending<Scripted> = Box::pin(async { Ok(confirmed) });
    let mut publisher = publisher(vec![sending, sending_next]);
    publish(&mut publisher, 0, 1);
    publish(&mut publisher, 1, 1);
    assert_eq!(observed(&mut publisher), Some(vec![]));
    rung.lock().unwrap().as_ref().unwrap().wake_by_ref();
    assert_eq!(observed(&mut publisher), Some(vec![0, 1]));
}

#[test]
fn a_publish_that_cannot_be_written_loses_the_link_and_no_confirm() {
    let failing: Sending<Scripted> = Box::pin(async { Err("gone".to_owned()) });
    let (write, confirm, sending) = awaited();
    let mut publisher = publisher(vec![sending, failing]);
    publish(&mut publisher, 0, 1);
    publish(&mut publisher, 1, 1);
    write.send(()).unwrap();
    confirm.send(acked()).unwrap();
    let batch = publisher.observe().now_or_never().unwrap();
    assert_eq!(batch.lost.as_deref(), Some("gone"));
    assert_eq!(batch.resolved, [(0, Answer::Ack, Carried::Nothing)]);
}

#[test]
fn so_many_are_in_hand_and_no_more_than_so_much() {
    let never = || -> Sending<Scripted> { Box::pin(pending()) };
    let mut small = publisher(vec![never(), never(), never()]);
    for order in 0..3 {
        assert!(small.is_free());
        publish(&mut small, order, 1);
    }
    assert!(!small.is_free());
    let mut large = publisher(vec![never()]);
    publish(&mut large, 0, BYTES_IN_HAND);
    assert!(!large.is_free());
}
