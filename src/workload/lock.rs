//! The lock workload: Jepsen's semaphore. One message in the queue is the lock; whoever has got it and not
//! acknowledged it holds the lock, and gives it back by rejecting it with requeue.
//!
//! Every client tries to acquire, and releases at a later turn. A client whose connection is lost holds
//! nothing any more; it knows that from the moment at which it learns of the loss.

use lapin::options::BasicRejectOptions;
use tokio::task::JoinSet;

use super::amqp::Link;
use super::client::{Client, Got, Steps};
use super::load::{LoadContext, LoadSummary, gather};
use super::message::AttemptId;
use crate::history::operation::{Action, Cause, Nanos, Phase};

struct Lock {
    /// Numbers the acquires.
    count: u64,
    /// The delivery tag of the message that it holds, and until when it is to keep it.
    held: Option<(u64, Nanos)>,
    /// How long it keeps the lock.
    hold: Nanos,
}

/// Puts the lock into its queue and runs one client per node.
pub async fn run(context: LoadContext) -> LoadSummary {
    let start = context.clock.now();
    let mut clients = Vec::new();
    for (number, endpoint) in (0u32..).zip(context.endpoints.iter().cloned()) {
        clients.push(Client::new(number, endpoint, start, context.clone()));
    }
    if let Some(first) = clients.first_mut()
        && let Err(error) = put_lock(first).await
    {
        return LoadSummary {
            errors: vec![format!("the lock cannot be put into its queue: {error}")],
            ..LoadSummary::default()
        };
    }
    let hold = Nanos::try_from(context.workload.hold.as_nanos()).unwrap_or(Nanos::MAX);
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.run(Lock {
            count: 0,
            held: None,
            hold,
        }));
    }
    gather(running, &context).await
}

async fn put_lock(client: &mut Client) -> Result<(), String> {
    let link = client.open().await?;
    let phase = client.publish(&link, 0).await?;
    link.close().await;
    if phase == Phase::Ok {
        Ok(())
    } else {
        Err("the broker did not take it".to_owned())
    }
}

impl Lock {
    fn id(&self, client: &Client) -> AttemptId {
        AttemptId {
            producer: client.number(),
            sequence: self.count,
            attempt: 0,
        }
    }

    async fn acquire(&mut self, client: &mut Client, link: &Link) -> Result<(), String> {
        self.count += 1;
        let id = self.id(client);
        client.record(Action::Acquire, Phase::Invoke, id, Cause::None, false);
        match client.get(link).await {
            Ok(Got::Message(_, message)) => {
                let until = client.now().saturating_add(self.hold);
                self.held = Some((message.delivery.delivery_tag, until));
                let redelivered = message.delivery.redelivered;
                client.record(Action::Acquire, Phase::Ok, id, Cause::None, redelivered);
            }
            Ok(Got::Foreign(message)) => {
                client.record(Action::Acquire, Phase::Fail, id, Cause::Foreign, false);
                client.ack(link, &message).await?;
            }
            Ok(Got::Empty) => {
                client.record(Action::Acquire, Phase::Fail, id, Cause::Empty, false);
            }
            Err((cause, error)) => {
                client.record(Action::Acquire, Phase::Info, id, cause, false);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn release(&mut self, client: &mut Client, link: &Link, tag: u64) -> Result<(), String> {
        let id = self.id(client);
        client.record(Action::Release, Phase::Invoke, id, Cause::None, false);
        self.held = None;
        let options = BasicRejectOptions { requeue: true };
        let rejecting = link.channel().basic_reject(tag, options);
        let (phase, cause, error) = match client.answer(rejecting).await {
            Ok(()) => (Phase::Ok, Cause::None, None),
            Err((cause, error)) => (Phase::Info, cause, Some(error)),
        };
        client.record(Action::Release, phase, id, cause, false);
        error.map_or(Ok(()), Err)
    }
}

impl Steps for Lock {
    async fn step(&mut self, client: &mut Client, link: &Link) -> Result<(), String> {
        match self.held {
            None => self.acquire(client, link).await,
            Some((_, until)) if client.now() < until => Ok(()),
            Some((tag, _)) => self.release(client, link, tag).await,
        }
    }

    fn lost(&mut self, client: &mut Client) {
        if self.held.take().is_some() {
            let id = self.id(client);
            client.record(Action::Release, Phase::Invoke, id, Cause::None, false);
            client.record(
                Action::Release,
                Phase::Info,
                id,
                Cause::ConnectionLost,
                false,
            );
        }
    }

    async fn end(&mut self, client: &mut Client, link: &Link) -> Result<(), String> {
        match self.held {
            None => Ok(()),
            Some((tag, _)) => self.release(client, link, tag).await,
        }
    }
}
