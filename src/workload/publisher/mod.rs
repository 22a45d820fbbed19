//! Publishing: what was handed over, and what the broker answered, in order, by whatever protocol.
//!
//! Several publishes are in hand at a time: handed to the library, and not known to be written. Written one by one,
//! each would be a message to the library's thread, a packet, and a message back.
//!
//! [`Publisher::observe`] returns a batch that fulfils the condition of
//! [`Attempts::settle`](super::attempts::Attempts::settle): that no confirm is missing which resolved before one that is
//! in it. We hold the confirms of what is written, and those tell when they resolve. The others we do not hold yet. But the
//! library writes in the order of publishing, and marks a publish as written before it can read an answer to it; so while
//! the first in hand is not marked, no confirm of those in hand has resolved. That is what `observe` looks at last:
//! whenever publishes turn out to be written, it takes all confirms that have resolved once more, and looks again.

mod channel;
mod sender;

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{MaybeDone, maybe_done};

pub use self::channel::ChannelWire;
pub use self::sender::SenderWire;
use super::attempts::{Answer, Carried, Order};
use super::confirms::Confirms;
use super::message::AttemptId;
use super::{Credentials, Endpoint};
use crate::scenario::Queue;

/// How much may be in hand, unless it is a single message: more would be held twice, by us and by the library, and might
/// not be written before its confirm is overdue.
const BYTES_IN_HAND: usize = 256 << 10;

type Sending<W> = Pin<Box<dyn Future<Output = Result<<W as Wire>::Confirm, String>> + Send>>;

/// A connection that publishes with confirms. Dropping it cuts the socket.
pub trait Wire: Sized + Send {
    /// How many publishes may be in hand. More than one only where they are written in their order, whichever queue they
    /// go to.
    const IN_HAND: usize;
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

    /// Why it is lost, where the confirms that are awaited do not tell of it.
    fn poll_lost(&mut self, _context: &mut Context<'_>) -> Poll<String> {
        Poll::Pending
    }

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
    /// In the order of publishing; what is done is not taken before all that come before it.
    in_hand: VecDeque<InHand<W>>,
    /// How many of them have begun.
    begun: usize,
    confirms: Confirms<W::Confirm>,
}

struct InHand<W: Wire> {
    order: Order,
    bytes: usize,
    sending: MaybeDone<Sending<W>>,
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
            in_hand: VecDeque::new(),
            begun: 0,
            confirms: Confirms::default(),
        }
    }

    /// Whether another publish may be taken in hand.
    pub fn is_free(&self) -> bool {
        let bytes: usize = self.in_hand.iter().map(|publish| publish.bytes).sum();
        let count = self.in_hand.len();
        count == 0 || (count < W::IN_HAND && bytes < BYTES_IN_HAND)
    }

    /// Whether the connection is open as far as is known.
    pub fn is_open(&self) -> bool {
        self.wire.is_open()
    }

    /// Takes a publish in hand. Nothing is sent before the next [`Self::observe`].
    pub fn publish(&mut self, order: Order, message: Message) {
        self.in_hand.push_back(InHand {
            order,
            bytes: message.body.len(),
            sending: maybe_done(self.wire.send(message)),
        });
    }

    /// Waits until something is known: confirms, publishes written, the link lost.
    /// Never returns while nothing happens: the caller sets the deadline. Cancel-safe.
    pub async fn observe(&mut self) -> Batch {
        poll_fn(|context| self.poll_observe(context)).await
    }

    fn poll_observe(&mut self, context: &mut Context<'_>) -> Poll<Batch> {
        for publish in self.in_hand.iter_mut().skip(self.begun) {
            let _is_done = Pin::new(&mut publish.sending).poll(context);
        }
        self.begun = self.in_hand.len();
        let mut batch = Batch::default();
        let mut is_written = false;
        loop {
            self.take_confirms(context, &mut batch);
            if !self.take_written(context, &mut batch) {
                break;
            }
            is_written = true;
        }
        if let Poll::Ready(reason) = self.wire.poll_lost(context) {
            batch.lose(&reason);
        }
        if is_written || batch.lost.is_some() || !batch.resolved.is_empty() {
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

    /// Takes the confirms of what is written, as far as all before it is; whether there were any.
    fn take_written(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> bool {
        let before = self.in_hand.len();
        while let Some(publish) = self.in_hand.front_mut() {
            let mut sending = Pin::new(&mut publish.sending);
            if sending.as_mut().poll(context).is_pending() {
                break;
            }
            match sending.take_output() {
                Some(Ok(confirm)) => {
                    if let Some(output) = self.confirms.add(publish.order, confirm) {
                        batch.confirm(publish.order, output);
                    }
                }
                Some(Err(error)) => batch.lose(&error),
                None => {}
            }
            self.in_hand.pop_front();
        }
        self.begun = self.in_hand.len();
        self.in_hand.len() < before
    }

    /// Closes the connection in good order.
    pub async fn close(self) {
        let Self {
            wire,
            in_hand,
            confirms,
            ..
        } = self;
        drop((in_hand, confirms));
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

#[cfg(test)]
mod tests;
