//! The queue under test, declared afresh; and the proof that every node takes part.
//!
//! The proof uses a queue of its own: a message is published and read back through every
//! node, so that a node that runs and serves nobody is noticed before the load.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use tokio::time::{Instant, sleep, timeout};

use super::Broker;
use crate::scenario::QueueType;
use crate::workload::Endpoint;
use crate::workload::amqp::Link;

/// Declaring the queue, with retries: a cluster that has just started may refuse at first.
const DECLARE_DEADLINE: Duration = Duration::from_secs(40);
const DECLARE_ONCE_DEADLINE: Duration = Duration::from_secs(20);

/// One message in and out of one node.
const PROVE_DEADLINE: Duration = Duration::from_secs(30);

const RETRY_EVERY: Duration = Duration::from_millis(500);

const PROOF_QUEUE: &str = "jtest.ready";

/// Deletes the queue under test, whatever it was, and declares it as the scenario wants it.
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
            return Err(format!("{}: cannot declare the queue: {error}", first.name));
        }
        sleep(RETRY_EVERY).await;
    }
}

async fn declare_once(broker: &Broker, endpoint: &Endpoint) -> Result<(), String> {
    let link = open(broker, endpoint).await?;
    let mut arguments = FieldTable::default();
    let kind = match broker.queue.kind {
        QueueType::Classic | QueueType::Mirrored => "classic",
        QueueType::Quorum => "quorum",
    };
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    if broker.queue.kind == QueueType::Quorum {
        let members = broker.members.len() as u32;
        let size = broker.queue.replicas.unwrap_or(members).min(members);
        let size = AMQPValue::LongInt(size.cast_signed());
        arguments.insert("x-quorum-initial-group-size".into(), size);
    }
    let channel = link.channel();
    let name = broker.queue.name.as_str();
    channel
        .queue_delete(name.into(), QueueDeleteOptions::default())
        .await
        .map_err(text)?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(name.into(), durable, arguments)
        .await
        .map_err(text)?;
    link.close().await;
    Ok(())
}

/// A message in and out of every node.
pub(super) async fn prove(broker: &Broker) -> Result<(), String> {
    for endpoint in broker.endpoints() {
        match timeout(PROVE_DEADLINE, in_and_out(broker, &endpoint)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("{}: {error}", endpoint.name)),
            Err(_) => {
                return Err(format!(
                    "{}: no message in and out within {} s",
                    endpoint.name,
                    PROVE_DEADLINE.as_secs()
                ));
            }
        }
    }
    Ok(())
}

async fn in_and_out(broker: &Broker, endpoint: &Endpoint) -> Result<(), String> {
    let link = open(broker, endpoint).await?;
    let channel = link.channel();
    channel
        .queue_declare(
            PROOF_QUEUE.into(),
            QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            },
            FieldTable::default(),
        )
        .await
        .map_err(text)?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .map_err(text)?;
    let body = endpoint.name.0.as_bytes();
    let confirm = channel
        .basic_publish(
            "".into(),
            PROOF_QUEUE.into(),
            BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            },
            body,
            BasicProperties::default().with_delivery_mode(2),
        )
        .await
        .map_err(text)?
        .await
        .map_err(text)?;
    if !matches!(confirm, Confirmation::Ack(None)) {
        return Err("its publish was not confirmed".to_owned());
    }
    let message = channel
        .basic_get(PROOF_QUEUE.into(), BasicGetOptions { no_ack: true })
        .await
        .map_err(text)?;
    if message.is_none_or(|message| message.delivery.data != body) {
        return Err("it does not give back the message it confirmed".to_owned());
    }
    channel
        .queue_delete(PROOF_QUEUE.into(), QueueDeleteOptions::default())
        .await
        .map_err(text)?;
    link.close().await;
    Ok(())
}

async fn open(broker: &Broker, endpoint: &Endpoint) -> Result<Link, String> {
    Link::open(endpoint, &broker.credentials, "jtest deploy")
        .await
        .map_err(|error| error.to_string())
}

fn text(error: lapin::Error) -> String {
    error.to_string()
}
