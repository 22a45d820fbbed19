//! One producer: connects to its node, publishes, reconnects to the same node.
//!
//! A confirm that does not come in time ends the connection. Its late ack would otherwise
//! arrive for an attempt that has completed, and with it the library's own count of unconfirmed
//! messages would grow without bound; a fresh channel starts clean, as an application would.

use tokio::time::sleep;

use super::connections::Connections;
use super::demand::{Demand, Due, Pace};
use super::ledger::Ledger;
use super::load::{ClientSummary, LoadContext};
use super::message::Codec;
use super::publisher::{ChannelWire, Message, Publisher, SenderWire, Wire};
use super::wake::Wake;
use super::{Endpoint, told};
use crate::history::operation::{Cause, Nanos};
use crate::scenario::Protocol;

pub(super) struct Producer {
    number: u32,
    endpoint: Endpoint,
    context: LoadContext,
    codec: Codec,
    pace: Pace,
    ends_at: Option<Nanos>,
    ledger: Ledger,
    connections: Connections,
}

enum End {
    /// Nothing is left to do, or the run stops.
    Over,
    Lost(String),
}

impl Producer {
    pub(super) fn new(number: u32, endpoint: Endpoint, start: Nanos, context: LoadContext) -> Self {
        let workload = &context.workload;
        let (values, ends_at) = context.bounds(start);
        let demand = Demand::new(number, values, workload.resends);
        Self {
            number,
            codec: Codec::new(&context.run_id, workload.body_bytes),
            pace: Pace::new(workload.rate, start),
            ends_at,
            ledger: Ledger::new(&context, endpoint.index, demand),
            connections: Connections::new(&context, &endpoint.name, format!("producer {number}")),
            endpoint,
            context,
        }
    }

    pub(super) async fn run(self) -> ClientSummary {
        match self.context.workload.protocol {
            Protocol::Amqp091 => self.run_by::<ChannelWire>().await,
            Protocol::Amqp10 => self.run_by::<SenderWire>().await,
        }
    }

    async fn run_by<W: Wire>(mut self) -> ClientSummary {
        let gave_up = loop {
            let reason = match self.connect::<W>().await {
                None => break None,
                Some(Err(reason)) => reason,
                Some(Ok(publisher)) => match self.session(publisher).await {
                    End::Over => break None,
                    End::Lost(reason) => reason,
                },
            };
            if self.is_over() {
                break None;
            }
            if let Err(reason) = self.connections.lost(&reason) {
                break Some(reason);
            }
            self.pause().await;
        };
        self.summary(gave_up)
    }

    /// A new connection; `None` where the run stops meanwhile.
    async fn connect<W: Wire>(&self) -> Option<Result<Publisher<W>, String>> {
        let mut stop = self.context.stop.clone();
        tokio::select! {
            biased;
            () = told(&mut stop) => None,
            publisher = self.open() => Some(publisher),
        }
    }

    async fn open<W: Wire>(&self) -> Result<Publisher<W>, String> {
        let name = format!("jtest producer {}", self.number);
        let context = &self.context;
        let wire = W::open(&self.endpoint, &context.credentials, &name, &context.queue).await?;
        Ok(Publisher::new(wire))
    }

    async fn session<W: Wire>(&mut self, mut publisher: Publisher<W>) -> End {
        let process = self.context.process(self.number, self.connections.made());
        self.ledger.begin(process);
        self.pace.skip_to(self.context.clock.now());
        let mut wake = Wake::new(self.context.stop.clone());
        loop {
            let now = self.context.clock.now();
            let over = self.is_over();
            if self.ledger.next_deadline().is_some_and(|due| due <= now) {
                return self.end_overdue(over);
            }
            let done = over || self.ledger.demand().is_done();
            if done && self.ledger.open() == 0 {
                publisher.close().await;
                return End::Over;
            }
            let due = if over {
                None
            } else {
                match self.publish_what_is_due(&mut publisher, now) {
                    Ok(due) => due,
                    Err(reason) => return self.end_lost(reason),
                }
            };
            let ends_at = self.ends_at.filter(|_| !over);
            let moments = [self.ledger.next_deadline(), due, ends_at];
            tokio::select! {
                biased;
                batch = publisher.observe() => {
                    self.ledger.apply(&batch);
                    if let Some(reason) = batch.lost {
                        return self.end_lost(reason);
                    }
                }
                () = wake.by(now, moments.into_iter().flatten().min()) => {}
            }
        }
    }

    /// Publishes what is due, where there is room; and when the next will be due, if it waits for that alone.
    fn publish_what_is_due<W: Wire>(
        &mut self,
        publisher: &mut Publisher<W>,
        now: Nanos,
    ) -> Result<Option<Nanos>, String> {
        let window = usize::try_from(self.context.workload.window).unwrap_or(usize::MAX);
        while publisher.is_free()
            && self.ledger.open() < window.max(1)
            && self.ledger.demand().has_next()
        {
            let intended = match self.pace.due(now) {
                Due::At(due) => return Ok(Some(due)),
                Due::Now(intended) => intended,
            };
            if !publisher.is_open() {
                return Err("connection lost".to_owned());
            }
            self.pace.advance();
            if let Some((order, id)) = self.ledger.invoke(intended) {
                let message = Message {
                    queue: self.ledger.queue_of(id),
                    id,
                    body: self.codec.encode(id),
                };
                publisher.publish(order, message);
            }
        }
        Ok(None)
    }

    fn end_lost(&mut self, reason: String) -> End {
        self.ledger.abandon(Cause::ConnectionLost);
        End::Lost(format!("connection lost: {reason}"))
    }

    /// The first missing confirm is overdue.
    fn end_overdue(&mut self, over: bool) -> End {
        if over {
            self.ledger.abandon(Cause::RunEnded);
            return End::Over;
        }
        self.ledger.abandon(Cause::ConnectionLost);
        let seconds = self.context.workload.confirm_timeout.as_secs_f64();
        End::Lost(format!("no confirm within {seconds} s"))
    }

    async fn pause(&self) {
        let mut stop = self.context.stop.clone();
        tokio::select! {
            () = told(&mut stop) => {}
            () = sleep(self.context.workload.reconnect_pause) => {}
        }
    }

    fn is_over(&self) -> bool {
        self.context.is_stopped()
            || self
                .ends_at
                .is_some_and(|ends_at| ends_at <= self.context.clock.now())
    }

    fn summary(self, gave_up: Option<String>) -> ClientSummary {
        let counts = self.ledger.counts();
        ClientSummary {
            node: self.endpoint.name.clone(),
            counts,
            connections: self.connections.count(),
            gave_up,
        }
    }
}
