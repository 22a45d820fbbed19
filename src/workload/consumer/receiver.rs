//! AMQP 1.0: a session, and on it a receiver that grants new credit once it has acknowledged.
//!
//! A receiver that is closed gets nothing more: the broker returns to the queue what was under way. A message that the
//! library cannot read ends the connection, for it must not be acknowledged: another client may be able to.

use std::sync::Arc;

use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{LinkStateError, RecvError};
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{Body, Header, Target};
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Receiver, Sender};
use tokio::sync::Mutex;

use super::super::amqp10::{SessionLink, address, in_time};
use super::super::{Credentials, Endpoint};
use super::wire::{Delivery, Next, Source, Wire};

/// A session, and what it is subscribed to.
pub(super) struct ReceiverWire {
    // Held by the question that is under way.
    link: Arc<Mutex<SessionLink>>,
    source: Source,
    receiver: Option<Receiver>,
    /// Whether it may be sent as many messages as are to be unacknowledged.
    is_granted: bool,
    unsettled: Vec<DeliveryInfo>,
}

impl Wire for ReceiverWire {
    type Error = String;

    async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        source: Source,
    ) -> Result<Self, String> {
        let opening = SessionLink::open(endpoint, credentials, name);
        let link = in_time(endpoint, opening).await?;
        Ok(Self {
            link: Arc::new(Mutex::new(link)),
            source,
            receiver: None,
            is_granted: false,
            unsettled: Vec::new(),
        })
    }

    async fn subscribe(&mut self) -> Result<(), String> {
        let mut link = self.link.lock().await;
        let attaching = Receiver::builder()
            .name(format!("from {}", self.source.queue))
            .source(address(&self.source.queue))
            .sender_settle_mode(SenderSettleMode::Unsettled)
            .receiver_settle_mode(ReceiverSettleMode::First)
            .credit_mode(CreditMode::Manual)
            .attach(link.session());
        self.receiver = Some(attaching.await.map_err(|error| error.to_string())?);
        self.is_granted = false;
        Ok(())
    }

    async fn next(&mut self) -> Next {
        let Some(receiver) = &mut self.receiver else {
            return Next::Cancelled;
        };
        if !self.is_granted {
            if let Err(error) = receiver.set_credit(self.source.prefetch.into()).await {
                return Next::Lost(error.to_string());
            }
            self.is_granted = true;
        }
        let delivery = match receiver.recv::<Body<Value>>().await {
            Ok(delivery) => delivery,
            Err(RecvError::LinkStateError(
                LinkStateError::RemoteDetached
                | LinkStateError::RemoteDetachedWithError(_)
                | LinkStateError::RemoteClosed
                | LinkStateError::RemoteClosedWithError(_),
            )) => return Next::Cancelled,
            Err(RecvError::MessageDecode(error)) => {
                let error = error.source;
                let reason =
                    format!("a message cannot be decoded, and stays in the queue: {error}");
                return Next::Lost(reason);
            }
            Err(error) => return Next::Lost(error.to_string()),
        };
        let info = DeliveryInfo::from(&delivery);
        let tag = info.delivery_id().into();
        self.unsettled.push(info);
        let message = delivery.into_message();
        Next::Delivery(Delivery {
            body: bytes(message.body),
            tag,
            redelivered: is_redelivered(message.header.as_ref()),
        })
    }

    async fn acknowledge(&mut self, _last: u64) -> Result<(), String> {
        let receiver = self.receiver.as_ref().ok_or("not subscribed")?;
        let accepted = std::mem::take(&mut self.unsettled);
        self.is_granted = false;
        let accepting = receiver.accept_all(accepted).await;
        accepting.map_err(|error| error.to_string())
    }

    /// A link that is attached to no queue, and detached.
    fn ask(&self) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let link = Arc::clone(&self.link);
        async move {
            let mut link = link.lock_owned().await;
            let nowhere = Target::builder().build();
            let attaching = Sender::builder()
                .name("question")
                .target(nowhere)
                .attach(link.session());
            let question = attaching.await.map_err(|error| error.to_string())?;
            question.close().await.map_err(|error| error.to_string())
        }
    }

    async fn cancel(&mut self) -> Result<(), String> {
        match self.receiver.take() {
            Some(receiver) => receiver.close().await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    async fn close(self) {
        drop(self.receiver);
        self.link.lock().await.close().await;
    }
}

/// What no codec of ours wrote is nothing.
fn bytes(body: Body<Value>) -> Vec<u8> {
    match body {
        Body::Data(sections) => {
            let sections = sections.into_iter();
            sections.flat_map(|section| section.0.into_vec()).collect()
        }
        Body::Value(_) | Body::Sequence(_) | Body::Empty => Vec::new(),
    }
}

/// Whether another may have had it, which is so unless the broker says the contrary.
fn is_redelivered(header: Option<&Header>) -> bool {
    !header.is_some_and(|header| header.first_acquirer)
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::{AmqpValue, Batch, Data};

    use super::*;

    #[test]
    fn only_data_is_a_body_of_ours() {
        let sections = [b"jt".to_vec(), b"est".to_vec()].map(|part| Data(part.into()));
        let data = Body::Data(Batch::new(sections.to_vec()));
        assert_eq!(bytes(data), b"jtest");
        let value = Body::Value(AmqpValue(Value::String("jtest".to_owned())));
        assert!(bytes(value).is_empty());
        assert!(bytes(Body::Empty).is_empty());
    }

    #[test]
    fn a_message_is_new_only_if_the_broker_says_so() {
        let first = Header {
            first_acquirer: true,
            ..Header::default()
        };
        assert!(!is_redelivered(Some(&first)));
        assert!(is_redelivered(Some(&Header::default())));
        assert!(is_redelivered(None));
    }
}
