//! The queues under test, declared afresh; and the proof that every node takes part.
//!
//! The proof uses a queue of its own: a message is published through every node and one read
//! back through every node, so that a node that runs and serves nobody is noticed before the load.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::Broker;
use super::evaluate::{evaluate, fill_list};
use crate::scenario::{Limits, QueueType};
use crate::workload::Endpoint;
use crate::workload::amqp::Link;

/// Declaring the queues, with retries: a cluster that has just started may refuse at first.
const DECLARE_DEADLINE: Duration = Duration::from_secs(40);
const DECLARE_ONCE_DEADLINE: Duration = Duration::from_secs(20);

const REPLICA: &str = include_str!("replica.erl");
const GONE: &str = include_str!("gone.erl");
const ASK_DEADLINE: Duration = Duration::from_secs(20);

/// All messages in, or all of them out.
const PROVE_DEADLINE: Duration = Duration::from_secs(30);

const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Deletes the queues under test, whatever they were, and declares them as the scenario wants them.
pub(super) async fn declare(broker: &Broker) -> Result<(), String> {
    let endpoints = broker.endpoints();
    let Some(first) = endpoints.first() else {
        return Err("there is no node".to_owned());
    };
    let until = Instant::now() + DECLARE_DEADLINE;
    loop {
        let declared = timeout(DECLARE_ONCE_DEADLINE, declare_once(broker, first));
        let error = match declared.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() + RETRY_EVERY > until {
            return Err(format!(
                "{}: cannot declare the queues: {error}",
                first.name
            ));
        }
        sleep(RETRY_EVERY).await;
    }
}

async fn declare_once(broker: &Broker, endpoint: &Endpoint) -> Result<(), String> {
    let link = open(broker, endpoint).await?;
    let channel = link.channel();
    let names = broker.queue.names();
    let vhost = [("VHOST", broker.credentials.vhost.as_str())];
    let replicas: Vec<String> = ask(broker, &fill_list(REPLICA, &vhost, "QUEUES", &names)).await?;
    for name in &names {
        channel
            .queue_delete(name.as_str().into(), QueueDeleteOptions::default())
            .await
            .map_err(text)?;
    }
    if !replicas.is_empty() {
        // Replicas of an old queue that are still there would keep those of the new one from starting.
        let left: Vec<String> = ask(broker, &fill_list(GONE, &[], "REPLICAS", &replicas)).await?;
        if !left.is_empty() {
            return Err(format!(
                "replicas of the old queues stay on {}",
                left.join(" ")
            ));
        }
    }
    for (place, name) in names.iter().enumerate() {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(name.as_str().into(), durable, arguments(broker, place))
            .await
            .map_err(text)?;
    }
    link.close().await;
    Ok(())
}

/// What the queue at this place is declared with.
fn arguments(broker: &Broker, place: usize) -> FieldTable {
    let mut arguments = FieldTable::default();
    let kind = match broker.queue.kind {
        QueueType::Classic | QueueType::Mirrored => "classic",
        QueueType::Quorum => "quorum",
        QueueType::Stream => "stream",
    };
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    let members = broker.members.len() as u32;
    let size = broker.queue.replicas.unwrap_or(members).min(members);
    let size = AMQPValue::LongInt(size.cast_signed());
    if broker.queue.kind == QueueType::Stream {
        arguments.insert("x-initial-cluster-size".into(), size);
    } else if broker.queue.kind == QueueType::Quorum {
        arguments.insert("x-quorum-initial-group-size".into(), size);
        // A message that a broken drain gave back too often would be dropped, and taken for a loss.
        let unlimited = broker.limits_deliveries.then_some(-1);
        let limit = broker.queue.delivery_limit.map(u32::cast_signed);
        if let Some(limit) = limit.or(unlimited) {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(limit));
        }
    }
    if broker.queue.single_active_consumer {
        let yes = AMQPValue::Boolean(true);
        arguments.insert("x-single-active-consumer".into(), yes);
    }
    if !broker.queue.dead_letters {
        limit(&broker.queue.limits, &mut arguments);
    } else if place == 0 {
        limit(&broker.queue.limits, &mut arguments);
        let target = broker.queue.names().pop().unwrap_or_default();
        for (key, value) in [
            ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", target.as_str()),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ] {
            arguments.insert(key.into(), AMQPValue::LongString(value.into()));
        }
    }
    arguments
}

fn limit(limits: &Limits, arguments: &mut FieldTable) {
    let numbers = [
        ("x-message-ttl", limits.message_ttl_ms),
        ("x-max-length", limits.max_length),
        ("x-max-priority", limits.max_priority.map(u32::from)),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            let number = AMQPValue::LongLongInt(number.into());
            arguments.insert(key.into(), number);
        }
    }
    let words = [
        ("x-overflow", "reject-publish", limits.max_length.is_some()),
        ("x-queue-mode", "lazy", limits.lazy),
    ];
    for (key, word, is_set) in words {
        if is_set {
            arguments.insert(key.into(), AMQPValue::LongString(word.into()));
        }
    }
}

async fn ask<T: DeserializeOwned>(broker: &Broker, expression: &str) -> Result<T, String> {
    let member = broker.members.first().ok_or("there is no node")?;
    let asked = evaluate(
        &member.host,
        "look at the queues' replicas",
        expression,
        ASK_DEADLINE,
    );
    asked.await.map_err(|error| error.to_string())
}

/// A message into every node, and a message out of every node: the same ones.
pub(super) async fn prove(broker: &Broker) -> Result<(), String> {
    let queue = format!("jtest.ready.{:016x}", rand::random::<u64>());
    let endpoints = broker.endpoints();
    let Some(first) = endpoints.first() else {
        return Err("there is no node".to_owned());
    };
    let link = open(broker, first).await?;
    let proven = async {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        link.channel()
            .queue_declare(queue.as_str().into(), durable, FieldTable::default())
            .await
            .map_err(text)?;
        on_all(&endpoints, async |endpoint| {
            put(broker, endpoint, &queue).await
        })
        .await?;
        let mut given = on_all(&endpoints, async |endpoint| {
            get(broker, endpoint, &queue).await
        })
        .await?;
        let mut wanted: Vec<Vec<u8>> = endpoints
            .iter()
            .map(|endpoint| endpoint.name.0.clone().into_bytes())
            .collect();
        given.sort();
        wanted.sort();
        if given == wanted {
            Ok(())
        } else {
            Err("the nodes do not give back the messages that they confirmed".to_owned())
        }
    }
    .await;
    let deleted = link
        .channel()
        .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
        .await
        .map_err(text);
    link.close().await;
    proven.and(deleted.map(drop))
}

/// The answers of all nodes, asked at once, or what the first that failed says.
async fn on_all<T>(
    endpoints: &[Endpoint],
    ask: impl AsyncFn(&Endpoint) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let asked = endpoints.iter().map(async |endpoint| {
        let answer = timeout(PROVE_DEADLINE, ask(endpoint)).await;
        let late = || {
            Err(format!(
                "no message in or out within {} s; is an alarm for memory or disk on?",
                PROVE_DEADLINE.as_secs()
            ))
        };
        answer
            .unwrap_or_else(|_| late())
            .map_err(|error| format!("{}: {error}", endpoint.name))
    });
    join_all(asked).await.into_iter().collect()
}

async fn put(broker: &Broker, endpoint: &Endpoint, queue: &str) -> Result<(), String> {
    let link = open(broker, endpoint).await?;
    let channel = link.channel();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .map_err(text)?;
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let body = endpoint.name.0.as_bytes();
    let confirm = channel
        .basic_publish("".into(), queue.into(), mandatory, body, persistent)
        .await
        .map_err(text)?
        .await
        .map_err(text)?;
    link.close().await;
    if matches!(confirm, Confirmation::Ack(None)) {
        Ok(())
    } else {
        Err("its publish was not confirmed".to_owned())
    }
}

async fn get(broker: &Broker, endpoint: &Endpoint, queue: &str) -> Result<Vec<u8>, String> {
    let link = open(broker, endpoint).await?;
    let message = link
        .channel()
        .basic_get(queue.into(), BasicGetOptions { no_ack: true })
        .await
        .map_err(text)?;
    link.close().await;
    let message = message.ok_or("it gives no message back")?;
    Ok(message.delivery.data)
}

async fn open(broker: &Broker, endpoint: &Endpoint) -> Result<Link, String> {
    Link::open(endpoint, &broker.credentials, "jtest deploy")
        .await
        .map_err(|error| error.to_string())
}

fn text(error: lapin::Error) -> String {
    error.to_string()
}
