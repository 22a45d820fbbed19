//! The consumer of one queue at one node in the drain: reads whatever that node gives, until told to end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::amqp::Link;
use super::drain::DrainContext;
use super::message::{AttemptId, Codec};
use super::{Endpoint, told};
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};

/// How many messages the broker may have sent and not yet seen acknowledged.
const PREFETCH: u16 = 500;
/// After how many recorded messages at most they are acknowledged.
const ACK_BATCH: u32 = 100;
/// For each request to the broker.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What a drainer tells the drain.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeState {
    /// Whether it is consuming now.
    pub(super) attached: bool,
    /// When it last received a message or began to consume.
    pub(super) active: Nanos,
    pub(super) received: u64,
    /// How often it had to connect again, and why the last time.
    pub(super) retries: u32,
    pub(super) trouble: Option<String>,
}

/// A state shared between a drainer and the drain.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<NodeState>>);

impl Shared {
    pub(super) fn get(&self) -> NodeState {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Drainer {
    pub(super) endpoint: Endpoint,
    /// The queue's number in the history.
    pub(super) queue: u16,
    /// Its name.
    pub(super) name: String,
    pub(super) context: DrainContext,
    pub(super) state: Shared,
    /// The next logical process; each connection is one.
    pub(super) processes: Arc<AtomicU32>,
    pub(super) end: watch::Receiver<bool>,
}

/// One connection's reading.
struct Reading {
    codec: Codec,
    process: u32,
}

/// Acknowledges what was recorded, in batches.
struct Acks {
    channel: Channel,
    last: u64,
    pending: u32,
}

impl Drainer {
    /// Reads until told to end; whether that end was in good order, everything acknowledged.
    pub(super) async fn run(mut self) -> bool {
        let mut end = self.end.clone();
        loop {
            let reason = match self.attach().await {
                Ok((link, consumer)) => match self.consume(link, consumer).await {
                    Ok(()) => return true,
                    Err(reason) => reason,
                },
                Err(reason) => reason,
            };
            {
                let mut state = self.state.lock();
                state.attached = false;
                state.retries += 1;
                state.trouble = Some(reason);
            }
            tokio::select! {
                () = told(&mut end) => return false,
                () = sleep(RETRY_PAUSE) => {}
            }
        }
    }

    async fn attach(&self) -> Result<(Link, Consumer), String> {
        let link = Link::open(&self.endpoint, &self.context.credentials, "jtest drain")
            .await
            .map_err(|error| error.to_string())?;
        let channel = link.channel();
        request(
            "set the prefetch",
            channel.basic_qos(PREFETCH, BasicQosOptions::default()),
        )
        .await?;
        let queue = self.name.as_str().into();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue, "".into(), options, arguments);
        let consumer = request("consume", consumer).await?;
        let mut state = self.state.lock();
        state.attached = true;
        state.active = self.context.clock.now();
        drop(state);
        Ok((link, consumer))
    }

    async fn consume(&mut self, link: Link, mut consumer: Consumer) -> Result<(), String> {
        let reading = Reading {
            codec: Codec::new(&self.context.run_id, 0),
            process: self.processes.fetch_add(1, Ordering::Relaxed),
        };
        let mut acks = Acks {
            channel: link.channel().clone(),
            last: 0,
            pending: 0,
        };
        let mut end = self.end.clone();
        loop {
            tokio::select! {
                biased;
                delivery = consumer.next() => {
                    let delivery = delivery.ok_or("the broker cancelled the consumer")?;
                    let delivery = delivery.map_err(|error| error.to_string())?;
                    self.record(&reading, &delivery);
                    acks.recorded(&delivery).await?;
                }
                () = std::future::ready(()), if acks.pending > 0 => acks.flush().await?,
                () = told(&mut end) => break,
            }
        }
        self.finish(link, consumer, &reading, acks).await
    }

    /// Ends the consumer, takes what was under way, acknowledges all and closes in good order.
    async fn finish(
        &mut self,
        link: Link,
        mut consumer: Consumer,
        reading: &Reading,
        mut acks: Acks,
    ) -> Result<(), String> {
        let cancelling = link
            .channel()
            .basic_cancel(consumer.tag(), BasicCancelOptions::default());
        request("cancel the consumer", cancelling).await?;
        while let Ok(Some(delivery)) = timeout(REQUEST_DEADLINE, consumer.next()).await {
            let delivery = delivery.map_err(|error| error.to_string())?;
            self.record(reading, &delivery);
            acks.recorded(&delivery).await?;
        }
        acks.flush().await?;
        drop((consumer, acks));
        if link.close().await {
            Ok(())
        } else {
            Err("the connection did not close in good order".to_owned())
        }
    }

    fn record(&self, reading: &Reading, delivery: &Delivery) {
        let (id, cause) = match reading.codec.decode(&delivery.data) {
            Ok(id) => (id, Cause::None),
            Err(_alien) => (AttemptId::FOREIGN, Cause::Foreign),
        };
        let time = self.context.clock.now();
        self.context.recorder.record(Entry {
            time,
            process: reading.process,
            node: self.endpoint.index,
            phase: Phase::Ok,
            action: Action::Drain,
            producer: id.producer,
            sequence: id.sequence,
            attempt: id.attempt,
            cause,
            redelivered: delivery.redelivered,
            queue: self.queue,
            tag: Some(delivery.delivery_tag),
            ..Entry::default()
        });
        self.context.tally.received(self.endpoint.index);
        let mut state = self.state.lock();
        state.received += 1;
        state.active = time;
    }
}

impl Acks {
    async fn recorded(&mut self, delivery: &Delivery) -> Result<(), String> {
        self.last = delivery.delivery_tag;
        self.pending += 1;
        if self.pending >= ACK_BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), String> {
        if self.pending == 0 {
            return Ok(());
        }
        self.pending = 0;
        let options = BasicAckOptions { multiple: true };
        request("acknowledge", self.channel.basic_ack(self.last, options)).await
    }
}

async fn request<T>(
    what: &str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, String> {
    match timeout(REQUEST_DEADLINE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("cannot {what}: {error}")),
        Err(_elapsed) => Err(format!("cannot {what}: no answer")),
    }
}
