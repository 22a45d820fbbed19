//! One consumer: connects to its node, reads one queue while the producers publish, reconnects to
//! the same node. It ends when all producers have.

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Consumer as Subscription;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions,
};
use lapin::types::FieldTable;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::amqp::Link;
use super::client::answer;
use super::connections::Connections;
use super::ledger::Counts;
use super::load::{ClientSummary, LoadContext};
use super::receipts::Receipts;
use super::{Endpoint, told};
use crate::history::operation::{Action, Cause, Phase};
use crate::scenario::Receiving;

/// After a get that found nothing.
const EMPTY_PAUSE: Duration = Duration::from_millis(20);

/// A request whose answer proves what was sent before it.
type Question = Pin<Box<dyn Future<Output = Result<(), (Cause, String)>> + Send>>;

/// Why a connection is given up.
type Lost = (Cause, String);

pub(super) struct Consumer {
    /// Among all clients.
    number: u32,
    endpoint: Endpoint,
    context: LoadContext,
    queue: String,
    subscribes: bool,
    /// Raised when all producers have ended.
    ended: watch::Receiver<bool>,
    receipts: Receipts,
    connections: Connections,
}

impl Consumer {
    /// The consumer of this place among the consumers, who take the queues in turn.
    pub(super) fn new(
        place: u32,
        endpoint: Endpoint,
        context: LoadContext,
        ended: watch::Receiver<bool>,
    ) -> Self {
        let number = context.producers().saturating_add(place);
        let queues = context.queue.names();
        let count = u32::from(context.queue.count.max(1));
        let queue = u16::try_from(place % count).unwrap_or(0);
        Self {
            number,
            queue: queues.get(usize::from(queue)).cloned().unwrap_or_default(),
            subscribes: match context.workload.consumers.by {
                Receiving::Push => true,
                Receiving::Get => false,
                Receiving::Mixed => (place / count).is_multiple_of(2),
            },
            receipts: Receipts::new(&context, endpoint.index, queue),
            connections: Connections::new(&context, &endpoint.name, format!("consumer {number}")),
            endpoint,
            context,
            ended,
        }
    }

    /// Reads until the producers have ended or its last reconnect fails; with its number.
    pub(super) async fn run(mut self) -> (u32, ClientSummary) {
        let mut ended = self.ended.clone();
        let gave_up = loop {
            let Err((cause, reason)) = self.session().await else {
                break None;
            };
            self.receipts.lost(cause);
            if *self.ended.borrow() {
                break None;
            }
            if let Err(reason) = self.connections.lost(&reason) {
                break Some(reason);
            }
            tokio::select! {
                () = told(&mut ended) => {}
                () = sleep(self.context.workload.reconnect_pause) => {}
            }
        };
        let summary = ClientSummary {
            node: self.endpoint.name.clone(),
            counts: Counts::default(),
            connections: self.connections.count(),
            gave_up,
        };
        (self.number, summary)
    }

    /// One connection, from its beginning to its end.
    async fn session(&mut self) -> Result<(), Lost> {
        let mut ended = self.ended.clone();
        let name = format!("jtest consumer {}", self.number);
        let link = tokio::select! {
            biased;
            () = told(&mut ended) => return Ok(()),
            link = Link::open(&self.endpoint, &self.context.credentials, &name) => link,
        };
        let link = link.map_err(|error| (Cause::ConnectionLost, error.to_string()))?;
        let process = self.context.process(self.number, self.connections.made());
        self.receipts.begin(process);
        if self.subscribes {
            self.read(&link).await?;
        } else {
            self.poll(&link).await?;
        }
        self.acknowledge(&link).await?;
        self.receipts.asking();
        self.ask(&link).await?;
        self.receipts.answered();
        link.close().await;
        Ok(())
    }

    /// Takes what the broker sends.
    async fn read(&mut self, link: &Link) -> Result<(), Lost> {
        let mut subscription = self.subscribe(link).await?;
        let mut question: Option<Question> = None;
        let mut ended = self.ended.clone();
        loop {
            let is_idle_with_work =
                self.receipts.held() > 0 || (question.is_none() && self.receipts.is_unasked());
            tokio::select! {
                biased;
                () = told(&mut ended) => break,
                answer = answered(&mut question) => {
                    question = None;
                    answer?;
                    self.receipts.answered();
                }
                delivery = subscription.next() => match delivery {
                    Some(Ok(delivery)) => {
                        let tag = delivery.delivery_tag;
                        self.receipts.received(Action::Deliver, &delivery.data, tag, delivery.redelivered);
                        if self.receipts.held() < self.ack_batch() {
                            continue;
                        }
                        self.acknowledge(link).await?;
                    }
                    Some(Err(error)) => return Err(lost(&error.to_string())),
                    None if link.is_open() => {
                        self.receipts.cancelling();
                        self.receipts.cancelled(Phase::Ok, Cause::None);
                        return Err(lost("the broker cancelled the consumer"));
                    }
                    None => return Err(lost("no more deliveries")),
                },
                () = std::future::ready(()), if is_idle_with_work => self.acknowledge(link).await?,
            }
            if question.is_none() && self.receipts.is_unasked() {
                self.receipts.asking();
                question = Some(Box::pin(self.ask(link)));
            }
        }
        if let Some(question) = question {
            question.await?;
            self.receipts.answered();
        }
        self.cancel(link, subscription).await
    }

    async fn subscribe(&mut self, link: &Link) -> Result<Subscription, Lost> {
        self.ask(link).await?;
        self.receipts.subscribing();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let queue = self.queue.as_str().into();
        let subscribing = link
            .channel()
            .basic_consume(queue, "".into(), options, arguments);
        let subscribed = answer(self.context.workload.confirm_timeout, subscribing).await;
        let (phase, cause) = match &subscribed {
            Ok(_) => (Phase::Ok, Cause::None),
            Err((cause, _)) => (Phase::Info, *cause),
        };
        self.receipts.subscribed(phase, cause);
        subscribed
    }

    /// Ends the subscription and takes what was under way.
    async fn cancel(&mut self, link: &Link, mut subscription: Subscription) -> Result<(), Lost> {
        let patience = self.context.workload.confirm_timeout;
        self.receipts.cancelling();
        let cancelling = link
            .channel()
            .basic_cancel(subscription.tag(), BasicCancelOptions::default());
        let cancelled = answer(patience, cancelling).await;
        let (phase, cause) = match &cancelled {
            Ok(()) => (Phase::Ok, Cause::None),
            Err((cause, _)) => (Phase::Info, *cause),
        };
        self.receipts.cancelled(phase, cause);
        cancelled?;
        while let Ok(Some(delivery)) = timeout(patience, subscription.next()).await {
            let delivery = delivery.map_err(|error| lost(&error.to_string()))?;
            let tag = delivery.delivery_tag;
            self.receipts
                .received(Action::Deliver, &delivery.data, tag, delivery.redelivered);
        }
        Ok(())
    }

    /// Asks for one message after another.
    async fn poll(&mut self, link: &Link) -> Result<(), Lost> {
        let patience = self.context.workload.confirm_timeout;
        let mut ended = self.ended.clone();
        while !*ended.borrow() {
            self.receipts.getting();
            let options = BasicGetOptions { no_ack: false };
            let getting = link
                .channel()
                .basic_get(self.queue.as_str().into(), options);
            let got = match answer(patience, getting).await {
                Ok(got) => got,
                Err((cause, error)) => {
                    self.receipts.got_none(Phase::Info, cause);
                    return Err((cause, error));
                }
            };
            self.receipts.answered();
            let Some(message) = got else {
                self.receipts.got_none(Phase::Fail, Cause::Empty);
                self.acknowledge(link).await?;
                tokio::select! {
                    () = told(&mut ended) => {}
                    () = sleep(EMPTY_PAUSE) => {}
                }
                continue;
            };
            let delivery = &message.delivery;
            let tag = delivery.delivery_tag;
            self.receipts
                .received(Action::Get, &delivery.data, tag, delivery.redelivered);
            if self.receipts.held() >= self.ack_batch() {
                self.acknowledge(link).await?;
            }
        }
        Ok(())
    }

    /// Acknowledges all that is held.
    async fn acknowledge(&mut self, link: &Link) -> Result<(), Lost> {
        let Some(tag) = self.receipts.acknowledging() else {
            return Ok(());
        };
        let options = BasicAckOptions { multiple: true };
        let acking = link.channel().basic_ack(tag, options);
        answer(self.context.workload.confirm_timeout, acking).await
    }

    /// The limit on what is unacknowledged, set once more: a request that changes nothing.
    fn ask(&self, link: &Link) -> impl Future<Output = Result<(), Lost>> + Send + use<> {
        let patience = self.context.workload.confirm_timeout;
        let prefetch = self.context.workload.consumers.prefetch;
        let channel = link.channel().clone();
        async move {
            let asking = channel.basic_qos(prefetch, BasicQosOptions::default());
            answer(patience, asking).await
        }
    }

    fn ack_batch(&self) -> usize {
        usize::from(self.context.workload.consumers.ack_batch.max(1))
    }
}

/// The answer to the question that is under way, if one is.
async fn answered(question: &mut Option<Question>) -> Result<(), Lost> {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

fn lost(reason: &str) -> Lost {
    (Cause::ConnectionLost, format!("connection lost: {reason}"))
}
