//! The fifo workload: every client enqueues and dequeues in turn, on one queue, each time waiting for the
//! answer. A dequeue is a get, acknowledged at once.

use tokio::task::JoinSet;

use super::amqp::Link;
use super::client::{Client, Got, Steps};
use super::load::{LoadContext, LoadSummary, gather};
use super::message::AttemptId;
use crate::history::operation::{Action, Cause, Phase};

#[derive(Default)]
struct Fifo {
    /// How many values it has begun to enqueue.
    enqueued: u64,
    /// Whether a dequeue is next.
    dequeues: bool,
}

/// Runs one client per node.
pub async fn run(context: LoadContext) -> LoadSummary {
    let start = context.clock.now();
    let mut clients = JoinSet::new();
    for (number, endpoint) in (0u32..).zip(context.endpoints.iter().cloned()) {
        let client = Client::new(number, endpoint, start, context.clone());
        clients.spawn(client.run(Fifo::default()));
    }
    gather(clients, &context).await
}

async fn dequeue(client: &mut Client, link: &Link) -> Result<(), String> {
    let none = AttemptId::FOREIGN;
    client.record(Action::Get, Phase::Invoke, none, Cause::None, false);
    match client.get(link).await {
        Ok(Got::Message(id, message)) => {
            let redelivered = message.delivery.redelivered;
            client.record(Action::Get, Phase::Ok, id, Cause::None, redelivered);
            client.ack(link, &message).await
        }
        Ok(Got::Foreign(message)) => {
            client.record(Action::Get, Phase::Ok, none, Cause::Foreign, false);
            client.ack(link, &message).await
        }
        Ok(Got::Empty) => {
            client.record(Action::Get, Phase::Fail, none, Cause::Empty, false);
            Ok(())
        }
        Err((cause, error)) => {
            client.record(Action::Get, Phase::Info, none, cause, false);
            Err(error)
        }
    }
}

impl Steps for Fifo {
    async fn step(&mut self, client: &mut Client, link: &Link) -> Result<(), String> {
        self.dequeues = !self.dequeues;
        if !self.dequeues {
            return dequeue(client, link).await;
        }
        let sequence = self.enqueued;
        self.enqueued += 1;
        client.publish(link, sequence).await.map(drop)
    }

    fn lost(&mut self, _client: &mut Client) {}

    async fn end(&mut self, _client: &mut Client, _link: &Link) -> Result<(), String> {
        Ok(())
    }
}
