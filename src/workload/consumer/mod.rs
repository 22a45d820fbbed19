//! One consumer: connects to its node, reads one queue while the producers publish, reconnects to
//! the same node. It ends when all producers have.

mod channel;
mod receiver;
mod wire;

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::channel::ChannelWire;
use self::receiver::ReceiverWire;
use self::wire::{Delivery, Next, Source, Wire};
use super::client::answer;
use super::connections::Connections;
use super::ledger::Counts;
use super::load::{ClientSummary, LoadContext};
use super::receipts::Receipts;
use super::{Endpoint, told};
use crate::history::operation::{Action, Cause, Phase};
use crate::scenario::{Protocol, Receiving};

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
        if !self.subscribes {
            return self.polling_session().await;
        }
        match self.context.workload.protocol {
            Protocol::Amqp091 => self.subscribed_session::<ChannelWire>().await,
            Protocol::Amqp10 => self.subscribed_session::<ReceiverWire>().await,
        }
    }

    async fn polling_session(&mut self) -> Result<(), Lost> {
        let Some(mut wire) = self.begin::<ChannelWire>().await? else {
            return Ok(());
        };
        self.poll(&mut wire).await?;
        self.finish(wire).await
    }

    async fn subscribed_session<W: Wire>(&mut self) -> Result<(), Lost> {
        let Some(mut wire) = self.begin::<W>().await? else {
            return Ok(());
        };
        self.read(&mut wire).await?;
        self.finish(wire).await
    }

    /// A new connection, a new logical process; `None` where the producers have ended meanwhile.
    async fn begin<W: Wire>(&mut self) -> Result<Option<W>, Lost> {
        let mut ended = self.ended.clone();
        let name = format!("jtest consumer {}", self.number);
        let source = Source {
            queue: self.queue.clone(),
            prefetch: self.context.workload.consumers.prefetch,
        };
        let wire = tokio::select! {
            biased;
            () = told(&mut ended) => return Ok(None),
            wire = W::open(&self.endpoint, &self.context.credentials, &name, source) => wire,
        };
        let wire = wire.map_err(|reason| (Cause::ConnectionLost, reason))?;
        let process = self.context.process(self.number, self.connections.made());
        self.receipts.begin(process);
        Ok(Some(wire))
    }

    /// Acknowledges all, until the broker has taken it, and closes the connection.
    async fn finish<W: Wire>(&mut self, mut wire: W) -> Result<(), Lost> {
        self.acknowledge(&mut wire).await?;
        self.receipts.asking();
        self.ask(&wire).await?;
        self.receipts.answered();
        wire.close().await;
        Ok(())
    }

    /// Takes what the broker sends.
    async fn read<W: Wire>(&mut self, wire: &mut W) -> Result<(), Lost> {
        self.subscribe(wire).await?;
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
                next = wire.next() => match next {
                    Next::Delivery(delivery) => {
                        self.received(Action::Deliver, &delivery);
                        if self.receipts.held() < self.ack_batch() {
                            continue;
                        }
                        self.acknowledge(wire).await?;
                    }
                    Next::Cancelled => {
                        self.receipts.cancelling();
                        self.receipts.cancelled(Phase::Ok, Cause::None);
                        return Err(lost("the broker cancelled the consumer"));
                    }
                    Next::Lost(reason) => return Err(lost(&reason)),
                },
                () = std::future::ready(()), if is_idle_with_work => self.acknowledge(wire).await?,
            }
            if question.is_none() && self.receipts.is_unasked() {
                self.receipts.asking();
                question = Some(Box::pin(self.ask(wire)));
            }
        }
        if let Some(question) = question {
            question.await?;
            self.receipts.answered();
        }
        self.acknowledge(wire).await?;
        self.cancel(wire).await
    }

    async fn subscribe<W: Wire>(&mut self, wire: &mut W) -> Result<(), Lost> {
        self.receipts.subscribing();
        let patience = self.context.workload.confirm_timeout;
        let subscribed = answer(patience, wire.subscribe()).await;
        let (phase, cause) = outcome(&subscribed);
        self.receipts.subscribed(phase, cause);
        subscribed
    }

    /// Ends the subscription and takes what was under way.
    async fn cancel<W: Wire>(&mut self, wire: &mut W) -> Result<(), Lost> {
        let patience = self.context.workload.confirm_timeout;
        self.receipts.cancelling();
        let cancelled = answer(patience, wire.cancel()).await;
        let (phase, cause) = outcome(&cancelled);
        self.receipts.cancelled(phase, cause);
        cancelled?;
        while let Ok(next) = timeout(patience, wire.next()).await {
            match next {
                Next::Delivery(delivery) => self.received(Action::Deliver, &delivery),
                Next::Cancelled => break,
                Next::Lost(reason) => return Err(lost(&reason)),
            }
        }
        Ok(())
    }

    /// Asks for one message after another.
    async fn poll(&mut self, wire: &mut ChannelWire) -> Result<(), Lost> {
        let patience = self.context.workload.confirm_timeout;
        let mut ended = self.ended.clone();
        while !*ended.borrow() {
            self.receipts.getting();
            let got = match answer(patience, wire.get()).await {
                Ok(got) => got,
                Err((cause, error)) => {
                    self.receipts.got_none(Phase::Info, cause);
                    return Err((cause, error));
                }
            };
            self.receipts.answered();
            let Some(delivery) = got else {
                self.receipts.got_none(Phase::Fail, Cause::Empty);
                self.acknowledge(wire).await?;
                tokio::select! {
                    () = told(&mut ended) => {}
                    () = sleep(EMPTY_PAUSE) => {}
                }
                continue;
            };
            self.received(Action::Get, &delivery);
            if self.receipts.held() >= self.ack_batch() {
                self.acknowledge(wire).await?;
            }
        }
        Ok(())
    }

    fn received(&mut self, action: Action, delivery: &Delivery) {
        let Delivery {
            body,
            tag,
            redelivered,
        } = delivery;
        self.receipts.received(action, body, *tag, *redelivered);
    }

    /// Acknowledges all that is held.
    async fn acknowledge<W: Wire>(&mut self, wire: &mut W) -> Result<(), Lost> {
        let Some(last) = self.receipts.acknowledging() else {
            return Ok(());
        };
        let patience = self.context.workload.confirm_timeout;
        answer(patience, wire.acknowledge(last)).await
    }

    fn ask<W: Wire>(&self, wire: &W) -> impl Future<Output = Result<(), Lost>> + Send + use<W> {
        answer(self.context.workload.confirm_timeout, wire.ask())
    }

    fn ack_batch(&self) -> usize {
        usize::from(self.context.workload.consumers.ack_batch.max(1))
    }
}

fn outcome(answer: &Result<(), Lost>) -> (Phase, Cause) {
    match answer {
        Ok(()) => (Phase::Ok, Cause::None),
        Err((cause, _)) => (Phase::Info, *cause),
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
