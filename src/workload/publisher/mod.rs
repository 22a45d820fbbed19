//! Publishing: what was handed over, and what the broker answered, in order, by whatever protocol.
//!
//! One publish is in hand at a time. [`Publisher::observe`] returns a batch that fulfils the
//! condition of [`Attempts::settle`](super::attempts::Attempts::settle): it first takes all
//! confirms that have resolved, and then asks the publish in hand, whose confirm we do not
//! hold yet. The library marks a publish as written before it can read an answer to it, so as
//! long as that publish is not marked, its confirm had not resolved either. When it is, its
//! confirm may have resolved after others that were not taken yet, so they are taken again.

mod channel;
mod sender;

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

pub use self::channel::ChannelWire;
pub use self::sender::SenderWire;
use super::attempts::{Answer, Carried, Order};
use super::confirms::Confirms;
use super::message::AttemptId;
use super::{Credentials, Endpoint};
use crate::scenario::Queue;

type Sending<W> = Pin<Box<dyn Future<Output = Result<<W as Wire>::Confirm, String>> + Send>>;

/// A connection that publishes with confirms. Dropping it cuts the socket.
pub trait Wire: Sized + Send {
    /// Resolves with the broker's answer to one publish, or with why there will be none.
    type Confirm: Future<Output = Result<(Answer, Carried), Self::Error>> + Unpin + Send;
    /// Why there will be none.
    type Error: Display;

    /// Connects to the endpoint itself, ready to publish to the queues; an error tells why not. It has a deadline.
    fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        queue: &Queue,
    ) -> impl Future<Output = Result<Self, String>> + Send;

    /// Publishes a message. Nothing is sent before the future is polled; it resolves when all is written.
    fn send(&self, message: Message) -> Sending<Self>;

    /// Whether it is open as far as is known.
    fn is_open(&self) -> bool;

    /// Closes it in good order.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What is published.
pub struct Message {
    /// To which of the queues, by its place among them.
    pub queue: u16,
    /// Which attempt it is, as its `message-id` says.
    pub id: AttemptId,
    /// Its body.
    pub body: Vec<u8>,
}

impl Message {
    /// The priorities of a producer's messages go from 0 up to this one in turn.
    fn priority(&self, max: u8) -> u8 {
        let priority = self.id.sequence % (u64::from(max) + 1);
        u8::try_from(priority).unwrap_or(max)
    }
}

/// A wire, and what is not answered on it.
pub struct Publisher<W: Wire> {
    wire: W,
    in_hand: Option<(Order, Sending<W>)>,
    confirms: Confirms<W::Confirm>,
}

/// What became known.
#[derive(Debug, Default)]
pub struct Batch {
    /// Confirms.
    pub resolved: Vec<(Order, Answer, Carried)>,
    /// Why the link is lost, if it is. What resolved before is in `resolved`.
    pub lost: Option<String>,
}

impl<W: Wire> Publisher<W> {
    /// Nothing published yet.
    pub fn new(wire: W) -> Self {
        Self {
            wire,
            in_hand: None,
            confirms: Confirms::default(),
        }
    }

    /// Whether no publish is in hand.
    pub fn is_free(&self) -> bool {
        self.in_hand.is_none()
    }

    /// Whether the connection is open as far as is known.
    pub fn is_open(&self) -> bool {
        self.wire.is_open()
    }

    /// Takes a publish in hand. Nothing is sent before the next [`Self::observe`].
    pub fn publish(&mut self, order: Order, message: Message) {
        self.in_hand = Some((order, self.wire.send(message)));
    }

    /// Waits until something is known: confirms, the publish in hand written, the link lost.
    /// Never returns while nothing happens: the caller sets the deadline. Cancel-safe.
    pub async fn observe(&mut self) -> Batch {
        poll_fn(|context| self.poll_observe(context)).await
    }

    fn poll_observe(&mut self, context: &mut Context<'_>) -> Poll<Batch> {
        let mut batch = Batch::default();
        self.take_confirms(context, &mut batch);
        let written = self.poll_in_hand(context, &mut batch);
        if written {
            self.take_confirms(context, &mut batch);
        }
        if written || batch.lost.is_some() || !batch.resolved.is_empty() {
            Poll::Ready(batch)
        } else {
            Poll::Pending
        }
    }

    fn take_confirms(&mut self, context: &mut Context<'_>, batch: &mut Batch) {
        let mut outputs = Vec::new();
        self.confirms.take_woken(context, &mut outputs);
        for (order, output) in outputs {
            batch.confirm(order, output);
        }
    }

    /// Whether the publish in hand is over.
    fn poll_in_hand(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> bool {
        let Some((order, sending)) = &mut self.in_hand else {
            return false;
        };
        let order = *order;
        let Poll::Ready(result) = sending.as_mut().poll(context) else {
            return false;
        };
        self.in_hand = None;
        match result {
            Ok(confirm) => {
                if let Some(output) = self.confirms.add(order, confirm) {
                    batch.confirm(order, output);
                }
            }
            Err(error) => batch.lose(&error),
        }
        true
    }

    /// Closes the connection in good order.
    pub async fn close(self) {
        let Self { wire, confirms, .. } = self;
        drop(confirms);
        wire.close().await;
    }
}

impl Batch {
    fn confirm<E: Display>(&mut self, order: Order, output: Result<(Answer, Carried), E>) {
        match output {
            Ok((answer, carried)) => self.resolved.push((order, answer, carried)),
            Err(error) => self.lose(&error),
        }
    }

    fn lose(&mut self, error: &impl Display) {
        self.lost.get_or_insert_with(|| error.to_string());
    }
}
