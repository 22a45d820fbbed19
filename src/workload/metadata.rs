//! The metadata workload: every client makes queues, exchanges, bindings, policies, users and virtual
//! hosts through its own node, and removes some of them again.
//!
//! Each object is made once and removed once at most, and only where its making was confirmed, so that
//! what is unknown of one object makes no other uncertain. Queues, exchanges and bindings are changed
//! by AMQP, the others by the brokers' [`Administration`].

use std::collections::{BTreeMap, VecDeque};

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use tokio::task::JoinSet;

use super::administration::{Administration, Change, Changed};
use super::amqp::Link;
use super::client::{Client, Steps};
use super::load::{LoadContext, LoadSummary, gather};
use crate::history::object::{Object, ObjectKind};
use crate::history::operation::{Cause, Phase};
use crate::scenario::QueueType;

/// The exchange from which the queue under test is bound; every broker has it.
const BOUND_FROM: &str = "amq.direct";

/// Of so many changes to objects of one kind the last removes one.
const CYCLE: usize = 3;

/// What one client does next.
#[derive(Debug, Default)]
struct Turns {
    client: u32,
    count: usize,
    made: u64,
    /// Objects whose making was confirmed, the oldest first.
    kept: BTreeMap<ObjectKind, VecDeque<Object>>,
}

impl Turns {
    /// The kinds in turn; two are made, then the oldest of them is removed.
    fn next(&mut self) -> (Object, Change) {
        let kinds = ObjectKind::ALL.len();
        let (kind, _) = ObjectKind::ALL[self.count % kinds];
        let is_last = self.count / kinds % CYCLE == CYCLE - 1;
        self.count += 1;
        let oldest = self.kept.get_mut(&kind).filter(|_| is_last);
        if let Some(object) = oldest.and_then(VecDeque::pop_front) {
            return (object, Change::Delete);
        }
        let object = Object {
            kind,
            client: self.client,
            number: self.made,
        };
        self.made += 1;
        (object, Change::Create)
    }

    /// A change was confirmed.
    fn confirmed(&mut self, object: Object, change: Change) {
        if change == Change::Create {
            self.kept.entry(object.kind).or_default().push_back(object);
        }
    }
}

struct Metadata {
    turns: Turns,
    administration: Administration,
}

/// Runs one client per node.
pub async fn run(context: LoadContext) -> LoadSummary {
    let Some(administration) = context.administration.clone() else {
        return LoadSummary {
            errors: vec!["nobody administers these brokers".to_owned()],
            ..LoadSummary::default()
        };
    };
    let start = context.clock.now();
    let mut clients = JoinSet::new();
    for (number, endpoint) in (0u32..).zip(context.endpoints.iter().cloned()) {
        let client = Client::new(number, endpoint, start, context.clone());
        clients.spawn(client.run(Metadata {
            turns: Turns {
                client: number,
                ..Turns::default()
            },
            administration: administration.clone(),
        }));
    }
    gather(clients, &context).await
}

/// An outcome, with the reason where the connection is not to be used any more.
type Outcome = (Phase, Cause, Option<String>);

impl Metadata {
    async fn administer(&self, client: &Client, object: Object, change: Change) -> Outcome {
        let patience = client.context().workload.confirm_timeout;
        let brokers = self.administration.brokers();
        let changed = brokers.change(client.node(), object, change, patience);
        match changed.await {
            Changed::Done => (Phase::Ok, Cause::None, None),
            Changed::Refused => (Phase::Fail, Cause::Refused, None),
            Changed::Unknown => (Phase::Info, Cause::ConfirmTimeout, None),
        }
    }
}

impl Steps for Metadata {
    async fn step(&mut self, client: &mut Client, link: &Link) -> Result<(), String> {
        let (object, change) = self.turns.next();
        self.administration.touch(object);
        let action = change.action();
        client.record_object(action, Phase::Invoke, object, Cause::None);
        let channel = link.channel();
        let name = object.name();
        let by_amqp = match object.kind {
            ObjectKind::Queue => {
                let arguments = queue_arguments(client.context());
                let changing = change_queue(channel, &name, change, arguments);
                Some(client.answer(changing).await)
            }
            ObjectKind::Exchange => {
                let changing = change_exchange(channel, &name, change);
                Some(client.answer(changing).await)
            }
            ObjectKind::Binding => {
                let queue = client.context().queue.name.clone();
                let changing = change_binding(channel, &queue, &name, change);
                Some(client.answer(changing).await)
            }
            ObjectKind::Policy | ObjectKind::User | ObjectKind::Vhost => None,
        };
        let (phase, cause, error) = match by_amqp {
            Some(Ok(())) => (Phase::Ok, Cause::None, None),
            Some(Err((cause, error))) => (Phase::Info, cause, Some(error)),
            None => self.administer(client, object, change).await,
        };
        client.record_object(action, phase, object, cause);
        if phase == Phase::Ok {
            self.turns.confirmed(object, change);
        }
        error.map_or(Ok(()), Err)
    }

    fn lost(&mut self, _client: &mut Client) {}

    async fn end(&mut self, _client: &mut Client, _link: &Link) -> Result<(), String> {
        Ok(())
    }
}

/// A queue that is made is of the type of the queue under test.
fn queue_arguments(context: &LoadContext) -> FieldTable {
    let mut arguments = FieldTable::default();
    let kind = match context.queue.kind {
        QueueType::Classic | QueueType::Mirrored => "classic",
        QueueType::Quorum => "quorum",
        QueueType::Stream => "stream",
    };
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    if context.queue.kind == QueueType::Quorum {
        let nodes = u32::try_from(context.endpoints.len()).unwrap_or(u32::MAX);
        let size = context.queue.replicas.unwrap_or(nodes).min(nodes);
        let size = AMQPValue::LongInt(size.cast_signed());
        arguments.insert("x-quorum-initial-group-size".into(), size);
    }
    arguments
}

async fn change_queue(
    channel: &Channel,
    name: &str,
    change: Change,
    arguments: FieldTable,
) -> lapin::Result<()> {
    match change {
        Change::Create => {
            let durable = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            let declaring = channel.queue_declare(name.into(), durable, arguments);
            declaring.await.map(drop)
        }
        Change::Delete => {
            let deleting = channel.queue_delete(name.into(), QueueDeleteOptions::default());
            deleting.await.map(drop)
        }
    }
}

async fn change_exchange(channel: &Channel, name: &str, change: Change) -> lapin::Result<()> {
    match change {
        Change::Create => {
            let durable = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let (kind, arguments) = (ExchangeKind::Direct, FieldTable::default());
            let declaring = channel.exchange_declare(name.into(), kind, durable, arguments);
            declaring.await
        }
        Change::Delete => {
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(name.into(), options).await
        }
    }
}

async fn change_binding(
    channel: &Channel,
    queue: &str,
    key: &str,
    change: Change,
) -> lapin::Result<()> {
    let arguments = FieldTable::default();
    let (queue, exchange, key) = (queue.into(), BOUND_FROM.into(), key.into());
    match change {
        Change::Create => {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(queue, exchange, key, options, arguments)
                .await
        }
        Change::Delete => channel.queue_unbind(queue, exchange, key, arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_made_and_removed_and_nothing_twice() {
        let mut turns = Turns::default();
        let (mut made, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for turn in 0..ObjectKind::ALL.len() * CYCLE * 4 {
            let (object, change) = turns.next();
            match change {
                Change::Create => assert!(made.insert(object), "{object} twice"),
                Change::Delete => assert!(removed.insert(object), "{object} twice"),
            }
            // Every fifth has no known outcome.
            if turn % 5 != 0 {
                turns.confirmed(object, change);
            }
        }
        assert!(removed.is_subset(&made));
        for (kind, word) in ObjectKind::ALL {
            assert!(made.iter().any(|object| object.kind == kind), "{word}");
            assert!(removed.iter().any(|object| object.kind == kind), "{word}");
        }
    }

    #[test]
    fn what_is_not_known_to_be_there_is_not_removed() {
        let mut turns = Turns::default();
        for _ in 0..60 {
            assert_eq!(turns.next().1, Change::Create);
        }
    }
}
