//! AMQP 1.0: one session, and on it a sender for each queue, unsettled and durable messages.
//!
//! | outcome | answer |
//! | --- | --- |
//! | `accepted` | `ok`: every queue that the message went to has it |
//! | `rejected`, `modified` | `fail`: a queue refused it |
//! | `released` | `fail`: no queue took it, as a return of AMQP 0-9-1 |
//!
//! Outcomes come with their deliveries, so none is taken for another's.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fe2o3_amqp::Sender;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::link::delivery::DeliveryFut;
use fe2o3_amqp::types::definitions::SenderSettleMode;
use fe2o3_amqp::types::messaging::{self, Data, Header, Outcome, Properties};
use fe2o3_amqp::types::primitives::Binary;
use tokio::sync::Mutex;

use super::super::amqp10::{SessionLink, address, in_time};
use super::super::attempts::{Answer, Carried};
use super::super::message::AttemptId;
use super::super::{Credentials, Endpoint};
use super::{Message, Sending, Wire};
use crate::scenario::Queue;

/// A session with a sender for each queue.
pub struct SenderWire {
    // Used by the one publish in hand.
    senders: Vec<Arc<Mutex<Sender>>>,
    max_priority: Option<u8>,
    link: SessionLink,
}

/// The outcome of one delivery.
pub struct SenderConfirm {
    id: AttemptId,
    outcome: DeliveryFut<Result<Outcome, SendError>>,
}

impl Wire for SenderWire {
    /// A queue without credit must not hold up what others have answered.
    const IN_HAND: usize = 1;

    type Confirm = SenderConfirm;
    type Error = SendError;

    async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        queue: &Queue,
    ) -> Result<Self, String> {
        let opening = async {
            let mut link = SessionLink::open(endpoint, credentials, name).await?;
            let mut senders = Vec::new();
            for queue in queue.names() {
                let sender = Sender::builder()
                    .name(format!("{name} to {queue}"))
                    .target(address(&queue))
                    .sender_settle_mode(SenderSettleMode::Unsettled)
                    .attach(link.session())
                    .await
                    .map_err(|error| format!("queue `{queue}`: {error}"))?;
                senders.push(Arc::new(Mutex::new(sender)));
            }
            Ok((link, senders))
        };
        let (link, senders) = in_time(endpoint, opening).await?;
        Ok(Self {
            senders,
            max_priority: queue.limits.max_priority,
            link,
        })
    }

    fn send(&self, message: Message) -> Sending<Self> {
        let sender = self.senders.get(usize::from(message.queue)).cloned();
        let header = Header {
            durable: true,
            ..Header::default()
        };
        let header = match self.max_priority {
            Some(max) => Header {
                priority: message.priority(max).into(),
                ..header
            },
            None => header,
        };
        let properties = Properties {
            message_id: Some(message.id.to_string().into()),
            ..Properties::default()
        };
        Box::pin(async move {
            let sender = sender.ok_or("no such queue")?;
            let sendable = messaging::Message::builder()
                .header(header)
                .properties(properties)
                .body(Data(Binary::from(message.body)))
                .build();
            let sending = sender.lock_owned().await.send_batchable(sendable).await;
            Ok(SenderConfirm {
                id: message.id,
                outcome: sending.map_err(|error| error.to_string())?,
            })
        })
    }

    fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Those that await an outcome are told of the end of a link only when it is dropped.
    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<String> {
        for sender in &self.senders {
            // Where it is in use, its user is told.
            let Ok(mut sender) = sender.try_lock() else {
                continue;
            };
            if let Poll::Ready(error) = pin!(sender.on_detach()).poll(context) {
                return Poll::Ready(error.to_string());
            }
        }
        self.link.poll_ended(context)
    }

    async fn close(mut self) {
        self.link.close().await;
    }
}

impl Future for SenderConfirm {
    type Output = Result<(Answer, Carried), SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context))?;
        Poll::Ready(Ok(answer(&outcome, self.id)))
    }
}

fn answer(outcome: &Outcome, id: AttemptId) -> (Answer, Carried) {
    match outcome {
        Outcome::Accepted(_) => (Answer::Ack, Carried::Nothing),
        Outcome::Rejected(_) | Outcome::Modified(_) => (Answer::Nack, Carried::Nothing),
        Outcome::Released(_) => (Answer::Ack, Carried::Return(id)),
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::{Accepted, Modified, Rejected, Released};

    use super::*;
    use crate::history::operation::{Cause, Phase};
    use crate::workload::attempts::Attempts;

    #[test]
    fn every_outcome_ends_its_own_attempt() {
        let modified = Modified {
            delivery_failed: Some(true),
            undeliverable_here: None,
            message_annotations: None,
        };
        let outcomes = [
            (Outcome::Accepted(Accepted {}), Phase::Ok, Cause::None),
            (Outcome::Released(Released {}), Phase::Fail, Cause::Returned),
            (
                Outcome::Rejected(Rejected { error: None }),
                Phase::Fail,
                Cause::Nacked,
            ),
            (Outcome::Modified(modified), Phase::Fail, Cause::Nacked),
        ];
        let mut attempts = Attempts::default();
        let id = |sequence| AttemptId {
            producer: 0,
            sequence,
            attempt: 0,
        };
        let orders = [0, 1, 2, 3].map(|sequence| attempts.invoke(id(sequence), 1));
        let mut completions = Vec::new();
        // Outcomes may come in any order.
        for at in [3, 1, 0, 2] {
            let (outcome, ..) = &outcomes[at];
            let (answer, carried) = answer(outcome, id(at as u64));
            attempts.resolve(orders[at], answer, carried, &mut completions);
            attempts.settle(&mut completions);
        }
        assert_eq!((attempts.open(), attempts.contradictions()), (0, 0));
        completions.sort_by_key(|completion| completion.id);
        let ended = completions.iter().map(|done| (done.phase, done.cause));
        let expected = outcomes.iter().map(|(_, phase, cause)| (*phase, *cause));
        assert!(ended.eq(expected), "{completions:?}");
    }
}
