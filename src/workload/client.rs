//! A client with one operation at a time, on one connection at a time: those of `lock`, `fifo` and `metadata`.
//!
//! Each connection is a logical process. An operation without an answer ends the connection, because
//! what the broker does with it later must not be taken for an answer to another.

use std::fmt::Display;
use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Confirmation};
use tokio::time::{sleep, timeout};

use super::amqp::Link;
use super::connections::Connections;
use super::demand::{Due, Pace};
use super::ledger::Counts;
use super::load::{ClientSummary, LoadContext};
use super::message::{AttemptId, Codec};
use super::{Endpoint, told};
use crate::history::object::Object;
use crate::history::operation::{Action, Cause, Entry, Nanos, Phase};
use crate::inventory::NodeName;

const PERSISTENT: u8 = 2;

/// Between two looks at whether a connection that has nothing to do is still there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a client does.
pub(super) trait Steps: Send {
    /// Its next operation. An error ends the connection.
    fn step(
        &mut self,
        client: &mut Client,
        link: &Link,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// The connection is lost.
    fn lost(&mut self, client: &mut Client);

    /// Nothing new begins; what is held is given back.
    fn end(
        &mut self,
        client: &mut Client,
        link: &Link,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

pub(super) struct Client {
    number: u32,
    endpoint: Endpoint,
    context: LoadContext,
    codec: Codec,
    pace: Pace,
    left: Option<u64>,
    ends_at: Option<Nanos>,
    connections: Connections,
    counts: Counts,
    /// When the operation began that is under way.
    begun: Nanos,
}

/// What a `basic.get` gave.
pub(super) enum Got {
    /// A message of this run.
    Message(AttemptId, BasicGetMessage),
    /// A message that is not.
    Foreign(BasicGetMessage),
    /// Nothing.
    Empty,
}

impl Client {
    pub(super) fn new(number: u32, endpoint: Endpoint, start: Nanos, context: LoadContext) -> Self {
        let (left, ends_at) = context.bounds(start);
        Self {
            number,
            codec: Codec::new(&context.run_id, context.workload.body_bytes),
            pace: Pace::new(context.workload.rate, start),
            left,
            ends_at,
            connections: Connections::new(&context, &endpoint.name, format!("client {number}")),
            counts: Counts::default(),
            begun: 0,
            endpoint,
            context,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn node(&self) -> &NodeName {
        &self.endpoint.name
    }

    pub(super) fn context(&self) -> &LoadContext {
        &self.context
    }

    pub(super) fn now(&self) -> Nanos {
        self.context.clock.now()
    }

    /// Takes its steps until its work is done, the run stops or its last reconnect fails.
    pub(super) async fn run(mut self, mut steps: impl Steps) -> (u32, ClientSummary) {
        let mut gave_up = None;
        while !self.is_over() {
            let Err(reason) = self.session(&mut steps).await else {
                continue;
            };
            steps.lost(&mut self);
            if self.is_over() {
                break;
            }
            if let Err(reason) = self.connections.lost(&reason) {
                gave_up = Some(reason);
                break;
            }
            self.rest(self.context.workload.reconnect_pause).await;
        }
        let summary = ClientSummary {
            node: self.endpoint.name.clone(),
            counts: self.counts,
            connections: self.connections.count(),
            gave_up,
        };
        (self.number, summary)
    }

    /// One connection, from its beginning to its end.
    async fn session(&mut self, steps: &mut impl Steps) -> Result<(), String> {
        let mut stop = self.context.stop.clone();
        let link = tokio::select! {
            biased;
            () = told(&mut stop) => return Ok(()),
            link = self.open() => link?,
        };
        self.pace.skip_to(self.context.clock.now());
        while self.wait_until_due(&link).await? {
            steps.step(self, &link).await?;
        }
        steps.end(self, &link).await?;
        link.close().await;
        Ok(())
    }

    /// A new connection in confirm mode, a new logical process.
    pub(super) async fn open(&mut self) -> Result<Link, String> {
        let name = format!("jtest client {}", self.number);
        let link = Link::open_confirming(&self.endpoint, &self.context.credentials, &name)
            .await
            .map_err(|error| error.to_string())?;
        self.connections.made();
        Ok(link)
    }

    /// Whether another operation is due; false at the end of the work.
    async fn wait_until_due(&mut self, link: &Link) -> Result<bool, String> {
        loop {
            if self.is_over() {
                return Ok(false);
            }
            if !link.is_open() {
                return Err("connection lost".to_owned());
            }
            let now = self.context.clock.now();
            let Due::At(due) = self.pace.due(now) else {
                self.pace.advance();
                self.left = self.left.map(|left| left.saturating_sub(1));
                return Ok(true);
            };
            let left = Duration::from_nanos(u64::try_from(due - now).unwrap_or(0));
            self.rest(left.min(LOOK_EVERY)).await;
        }
    }

    fn is_over(&self) -> bool {
        self.context.is_stopped()
            || self.left == Some(0)
            || self
                .ends_at
                .is_some_and(|ends_at| ends_at <= self.context.clock.now())
    }

    /// Publishes a message of its own and waits for its confirm.
    pub(super) async fn publish(&mut self, link: &Link, sequence: u64) -> Result<Phase, String> {
        let id = AttemptId {
            producer: self.number,
            sequence,
            attempt: 0,
        };
        let body = self.codec.encode(id);
        let queue = self.context.queue.name.clone();
        self.record(Action::Publish, Phase::Invoke, id, Cause::None, false);
        let publishing = async {
            let mandatory = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let properties = BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_message_id(id.to_string().into());
            let channel = link.channel();
            let confirm = channel.basic_publish(
                "".into(),
                queue.as_str().into(),
                mandatory,
                &body,
                properties,
            );
            confirm.await?.await
        };
        let (phase, cause, error) = match self.answer(publishing).await {
            Ok(Confirmation::Ack(None)) => (Phase::Ok, Cause::None, None),
            Ok(Confirmation::Ack(Some(_returned))) => (Phase::Fail, Cause::Returned, None),
            Ok(Confirmation::Nack(_)) => (Phase::Fail, Cause::Nacked, None),
            Ok(Confirmation::NotRequested) => {
                let error = "the channel is not in confirm mode".to_owned();
                (Phase::Info, Cause::ConnectionLost, Some(error))
            }
            Err((cause, error)) => (Phase::Info, cause, Some(error)),
        };
        self.record(Action::Publish, phase, id, cause, false);
        error.map_or(Ok(phase), Err)
    }

    /// Asks the queue for its first message, which is not acknowledged.
    pub(super) async fn get(&self, link: &Link) -> Result<Got, (Cause, String)> {
        let queue = self.context.queue.name.as_str();
        let options = BasicGetOptions { no_ack: false };
        let got = self
            .answer(link.channel().basic_get(queue.into(), options))
            .await?;
        Ok(match got {
            None => Got::Empty,
            Some(message) => match self.codec.decode(&message.delivery.data) {
                Ok(id) => Got::Message(id, message),
                Err(_alien) => Got::Foreign(message),
            },
        })
    }

    /// Acknowledges a message.
    pub(super) async fn ack(&self, link: &Link, message: &BasicGetMessage) -> Result<(), String> {
        let tag = message.delivery.delivery_tag;
        let acking = link.channel().basic_ack(tag, BasicAckOptions::default());
        self.answer(acking).await.map_err(|(_, error)| error)
    }

    /// The broker's answer, if it comes within the confirm timeout.
    pub(super) async fn answer<T>(
        &self,
        asking: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, (Cause, String)> {
        answer(self.context.workload.confirm_timeout, asking).await
    }

    /// Records an entry of now.
    pub(super) fn record(
        &mut self,
        action: Action,
        phase: Phase,
        id: AttemptId,
        cause: Cause,
        redelivered: bool,
    ) {
        self.put(Entry {
            phase,
            action,
            producer: id.producer,
            sequence: id.sequence,
            attempt: id.attempt,
            cause,
            redelivered,
            ..Entry::default()
        });
    }

    /// Records an entry of now about what is no message.
    pub(super) fn record_object(
        &mut self,
        action: Action,
        phase: Phase,
        object: Object,
        cause: Cause,
    ) {
        self.put(Entry {
            phase,
            action,
            producer: object.client,
            sequence: object.number,
            queue: object.kind.number(),
            cause,
            ..Entry::default()
        });
    }

    fn put(&mut self, entry: Entry) {
        let counter = match entry.phase {
            Phase::Invoke => &mut self.counts.attempts,
            Phase::Ok => &mut self.counts.ok,
            Phase::Fail => &mut self.counts.fail,
            Phase::Info => &mut self.counts.info,
        };
        *counter += 1;
        let time = self.context.clock.now();
        if entry.phase == Phase::Invoke {
            self.begun = time;
        }
        let took = (entry.phase == Phase::Ok).then(|| time - self.begun);
        let node = self.endpoint.index;
        self.context.tally.operated(node, entry.phase, took);
        let connection = self.connections.count().saturating_sub(1);
        self.context.recorder.record(Entry {
            time,
            process: self.context.process(self.number, connection),
            node,
            ..entry
        });
    }

    async fn rest(&self, length: Duration) {
        let mut stop = self.context.stop.clone();
        tokio::select! {
            () = told(&mut stop) => {}
            () = sleep(length) => {}
        }
    }
}

/// The broker's answer, if it comes in time.
pub(super) async fn answer<T>(
    patience: Duration,
    asking: impl Future<Output = Result<T, impl Display>>,
) -> Result<T, (Cause, String)> {
    match timeout(patience, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err((Cause::ConnectionLost, format!("connection lost: {error}"))),
        Err(_elapsed) => {
            let seconds = patience.as_secs_f64();
            Err((
                Cause::ConfirmTimeout,
                format!("no answer within {seconds} s"),
            ))
        }
    }
}
