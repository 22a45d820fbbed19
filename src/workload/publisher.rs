//! Publishing on a link: what was handed over, and what the broker answered, in order.
//!
//! One publish is in hand at a time. [`Publisher::observe`] returns a batch that fulfils the
//! condition of [`Attempts::settle`](super::attempts::Attempts::settle): it first takes all
//! confirms that have resolved, and then asks the publish in hand, whose confirm we do not
//! hold yet. The library marks a publish as written before it can read an answer to it, so as
//! long as that publish is not marked, its confirm had not resolved either. When it is, its
//! confirm may have resolved after others that were not taken yet, so they are taken again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};

use super::amqp::Link;
use super::attempts::{Answer, Carried, Order};
use super::confirms::Confirms;
use super::message::AttemptId;

const PERSISTENT: u8 = 2;

type Publishing = Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send>>;

/// A link in confirm mode.
pub struct Publisher {
    link: Link,
    in_hand: Option<(Order, Publishing)>,
    confirms: Confirms<PublisherConfirm>,
    max_priority: Option<u8>,
}

/// What became known.
#[derive(Debug, Default)]
pub struct Batch {
    /// Confirms.
    pub resolved: Vec<(Order, Answer, Carried)>,
    /// Why the link is lost, if it is. What resolved before is in `resolved`.
    pub lost: Option<String>,
}

impl Publisher {
    /// Puts the link's channel in confirm mode. The caller sets the deadline.
    pub async fn new(link: Link) -> lapin::Result<Self> {
        link.channel()
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            link,
            in_hand: None,
            confirms: Confirms::default(),
            max_priority: None,
        })
    }

    /// Gives messages priorities in turn, from 0 up to this one.
    pub fn with_priorities(self, max_priority: Option<u8>) -> Self {
        Self {
            max_priority,
            ..self
        }
    }

    /// Whether no publish is in hand.
    pub fn is_free(&self) -> bool {
        self.in_hand.is_none()
    }

    /// Whether the link is open as far as is known.
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Takes a publish to the named queue in hand. Nothing is sent before the next
    /// [`Self::observe`].
    pub fn publish(&mut self, order: Order, queue: &str, id: AttemptId, body: Vec<u8>) {
        let channel = self.link.channel().clone();
        let queue = queue.into();
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.to_string().into());
        if let Some(max) = self.max_priority {
            let priority = id.sequence % (u64::from(max) + 1);
            properties = properties.with_priority(u8::try_from(priority).unwrap_or(max));
        }
        let publishing = async move {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            channel
                .basic_publish("".into(), queue, options, &body, properties)
                .await
        };
        self.in_hand = Some((order, Box::pin(publishing)));
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
        let Some((order, publishing)) = &mut self.in_hand else {
            return false;
        };
        let order = *order;
        let Poll::Ready(result) = publishing.as_mut().poll(context) else {
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

    /// Closes the link in good order.
    pub async fn close(self) {
        let Self { link, confirms, .. } = self;
        drop(confirms);
        link.close().await;
    }
}

impl Batch {
    fn confirm(&mut self, order: Order, output: lapin::Result<Confirmation>) {
        let (answer, message) = match output {
            Ok(Confirmation::Ack(message)) => (Answer::Ack, message),
            Ok(Confirmation::Nack(message)) => (Answer::Nack, message),
            Ok(Confirmation::NotRequested) => {
                self.lost = Some("the channel is not in confirm mode".to_owned());
                return;
            }
            Err(error) => return self.lose(&error),
        };
        let carried = message.map_or(Carried::Nothing, |message| {
            let id = message.properties.message_id().as_ref();
            id.and_then(|id| id.as_str().parse().ok())
                .map_or(Carried::Unreadable, Carried::Return)
        });
        self.resolved.push((order, answer, carried));
    }

    fn lose(&mut self, error: &lapin::Error) {
        self.lost.get_or_insert_with(|| error.to_string());
    }
}
