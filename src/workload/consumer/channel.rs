//! AMQP 0-9-1: `basic.consume` and `basic.get` on a channel.

use futures_util::StreamExt;
use lapin::Consumer as Subscription;
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions,
};
use lapin::types::FieldTable;

use super::super::amqp::Link;
use super::super::{Credentials, Endpoint};
use super::wire::{Delivery, Next, Source, Wire};

/// A link, and what it is subscribed to.
pub(super) struct ChannelWire {
    link: Link,
    source: Source,
    subscription: Option<Subscription>,
}

impl Wire for ChannelWire {
    type Error = lapin::Error;

    async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        source: Source,
    ) -> Result<Self, String> {
        let link = Link::open(endpoint, credentials, name)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            link,
            source,
            subscription: None,
        })
    }

    async fn subscribe(&mut self) -> lapin::Result<()> {
        self.ask().await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let queue = self.source.queue.as_str().into();
        let channel = self.link.channel();
        let subscribing = channel.basic_consume(queue, "".into(), options, arguments);
        self.subscription = Some(subscribing.await?);
        Ok(())
    }

    async fn next(&mut self) -> Next {
        let next = match &mut self.subscription {
            Some(subscription) => subscription.next().await,
            None => None,
        };
        match next {
            Some(Ok(message)) => Next::Delivery(message.into()),
            Some(Err(error)) => Next::Lost(error.to_string()),
            None if self.link.is_open() => Next::Cancelled,
            None => Next::Lost("no more deliveries".to_owned()),
        }
    }

    async fn acknowledge(&mut self, last: u64) -> lapin::Result<()> {
        let options = BasicAckOptions { multiple: true };
        self.link.channel().basic_ack(last, options).await
    }

    /// The limit on what is unacknowledged, set once more.
    fn ask(&self) -> impl Future<Output = lapin::Result<()>> + Send + use<> {
        let channel = self.link.channel().clone();
        let prefetch = self.source.prefetch;
        async move {
            channel
                .basic_qos(prefetch, BasicQosOptions::default())
                .await
        }
    }

    /// What is under way still comes.
    async fn cancel(&mut self) -> lapin::Result<()> {
        let Some(subscription) = &self.subscription else {
            return Ok(());
        };
        let channel = self.link.channel();
        let options = BasicCancelOptions::default();
        channel.basic_cancel(subscription.tag(), options).await
    }

    async fn close(self) {
        drop(self.subscription);
        self.link.close().await;
    }
}

impl ChannelWire {
    /// Asks the queue for its first message.
    pub(super) async fn get(&self) -> lapin::Result<Option<Delivery>> {
        let options = BasicGetOptions { no_ack: false };
        let queue = self.source.queue.as_str().into();
        let got = self.link.channel().basic_get(queue, options).await?;
        Ok(got.map(|message| message.delivery.into()))
    }
}

impl From<Message> for Delivery {
    fn from(message: Message) -> Self {
        Self {
            body: message.data,
            tag: message.delivery_tag,
            redelivered: message.redelivered,
        }
    }
}
