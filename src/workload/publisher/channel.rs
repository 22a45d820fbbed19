//! AMQP 0-9-1: a channel in confirm mode, persistent and mandatory messages.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};

use super::super::amqp::Link;
use super::super::attempts::{Answer, Carried};
use super::super::{Credentials, Endpoint};
use super::{Message, Sending, Wire};
use crate::scenario::Queue;

const PERSISTENT: u8 = 2;

/// A link in confirm mode.
pub struct ChannelWire {
    link: Link,
    /// The link's. Every publish under way has it, and a copy of it is a dozen copies.
    channel: Arc<Channel>,
    queues: Vec<ShortString>,
    max_priority: Option<u8>,
}

/// The answer to one publish.
pub struct ChannelConfirm(PublisherConfirm);

/// Why a publish has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("the channel is not in confirm mode")]
    NotInConfirmMode,
    #[error(transparent)]
    Lost(#[from] lapin::Error),
}

impl Wire for ChannelWire {
    const IN_HAND: usize = 128;

    type Confirm = ChannelConfirm;
    type Error = NoAnswer;

    async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        queue: &Queue,
    ) -> Result<Self, String> {
        let link = Link::open_confirming(endpoint, credentials, name)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            channel: Arc::new(link.channel().clone()),
            link,
            queues: queue.names().into_iter().map(ShortString::from).collect(),
            max_priority: queue.limits.max_priority,
        })
    }

    fn send(&self, message: Message) -> Sending<Self> {
        let channel = Arc::clone(&self.channel);
        let queue = self.queues.get(usize::from(message.queue));
        let queue = queue.cloned().unwrap_or_default();
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(message.id.to_string().into());
        if let Some(max) = self.max_priority {
            properties = properties.with_priority(message.priority(max));
        }
        Box::pin(async move {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let publishing =
                channel.basic_publish("".into(), queue, options, &message.body, properties);
            let confirm = publishing.await.map_err(|error| error.to_string())?;
            Ok(ChannelConfirm(confirm))
        })
    }

    fn is_open(&self) -> bool {
        self.link.is_open()
    }

    async fn close(self) {
        drop(self.channel);
        self.link.close().await;
    }
}

impl Future for ChannelConfirm {
    type Output = Result<(Answer, Carried), NoAnswer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, message) = match ready!(Pin::new(&mut self.0).poll(context))? {
            Confirmation::Ack(message) => (Answer::Ack, message),
            Confirmation::Nack(message) => (Answer::Nack, message),
            Confirmation::NotRequested => return Poll::Ready(Err(NoAnswer::NotInConfirmMode)),
        };
        let carried = message.map_or(Carried::Nothing, |message| {
            let id = message.properties.message_id().as_ref();
            id.and_then(|id| id.as_str().parse().ok())
                .map_or(Carried::Unreadable, Carried::Return)
        });
        Poll::Ready(Ok((answer, carried)))
    }
}
