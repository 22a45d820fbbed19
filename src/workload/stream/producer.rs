//! One producer of one stream: connects to its node, publishes, reconnects to the same node.

use std::collections::HashMap;

use tokio::time::sleep;

use super::super::attempts::{Answer, Carried, Order};
use super::super::connections::Connections;
use super::super::demand::{Demand, Due, Pace};
use super::super::ledger::Ledger;
use super::super::load::{ClientSummary, LoadContext};
use super::super::message::{AttemptId, Codec};
use super::super::publisher::Batch;
use super::super::wake::Wake;
use super::super::{Endpoint, told};
use super::link::{Push, StreamLink};
use crate::history::operation::{Cause, Nanos};

pub(super) struct StreamProducer {
    number: u32,
    endpoint: Endpoint,
    context: LoadContext,
    codec: Codec,
    stream: String,
    pace: Pace,
    ends_at: Option<Nanos>,
    ledger: Ledger,
    connections: Connections,
}

/// The publishing ids that wait for the broker's answer.
type Waiting = HashMap<u64, (Order, AttemptId)>;

impl StreamProducer {
    pub(super) fn new(number: u32, endpoint: Endpoint, start: Nanos, context: LoadContext) -> Self {
        let workload = &context.workload;
        let (values, ends_at) = context.bounds(start);
        let demand = Demand::new(number, values, workload.resends);
        Self {
            number,
            codec: Codec::new(&context.run_id, workload.body_bytes),
            stream: context.queue.name.clone(),
            pace: Pace::new(workload.rate, start),
            ends_at,
            ledger: Ledger::new(&context, endpoint.index, demand),
            connections: Connections::new(&context, &endpoint.name, format!("producer {number}")),
            endpoint,
            context,
        }
    }

    pub(super) async fn run(mut self) -> ClientSummary {
        let gave_up = loop {
            let Err(reason) = self.session().await else {
                break None;
            };
            if self.is_over() {
                break None;
            }
            if let Err(reason) = self.connections.lost(&reason) {
                break Some(reason);
            }
            let mut stop = self.context.stop.clone();
            tokio::select! {
                () = told(&mut stop) => {}
                () = sleep(self.context.workload.reconnect_pause) => {}
            }
        };
        ClientSummary {
            node: self.endpoint.name.clone(),
            counts: self.ledger.counts(),
            connections: self.connections.count(),
            gave_up,
        }
    }

    /// One connection; an error is why it was lost.
    async fn session(&mut self) -> Result<(), String> {
        let mut stop = self.context.stop.clone();
        let opening = async {
            let name = format!("jtest producer {}", self.number);
            let mut link =
                StreamLink::open(&self.endpoint, &self.context.credentials, &name).await?;
            let publisher = format!("jtest.{}", self.number);
            link.declare_publisher(&publisher, &self.stream).await?;
            Ok::<_, String>(link)
        };
        let mut link = tokio::select! {
            biased;
            () = told(&mut stop) => return Ok(()),
            link = opening => link?,
        };
        let process = self.context.process(self.number, self.connections.made());
        self.ledger.begin(process);
        self.pace.skip_to(self.context.clock.now());
        let ended = self.publish_on(&mut link).await;
        let cause = match &ended {
            Ok(()) => Cause::RunEnded,
            Err(_) => Cause::ConnectionLost,
        };
        self.ledger.abandon(cause);
        ended
    }

    async fn publish_on(&mut self, link: &mut StreamLink) -> Result<(), String> {
        let mut wake = Wake::new(self.context.stop.clone());
        let mut waiting = Waiting::new();
        loop {
            let now = self.context.clock.now();
            let over = self.is_over();
            if self.ledger.next_deadline().is_some_and(|due| due <= now) {
                let seconds = self.context.workload.confirm_timeout.as_secs_f64();
                return if over {
                    Ok(())
                } else {
                    Err(format!("no confirm within {seconds} s"))
                };
            }
            if (over || self.ledger.demand().is_done()) && self.ledger.open() == 0 {
                return Ok(());
            }
            let due = if over {
                None
            } else {
                self.publish_if_due(link, &mut waiting, now).await?
            };
            let ends_at = self.ends_at.filter(|_| !over);
            let moments = [self.ledger.next_deadline(), due, ends_at];
            tokio::select! {
                biased;
                push = link.push() => self.take(push, &mut waiting)?,
                () = wake.by(now, moments.into_iter().flatten().min()) => {}
            }
        }
    }

    /// Publishes where there is room and something is due; else, when it will be due.
    async fn publish_if_due(
        &mut self,
        link: &mut StreamLink,
        waiting: &mut Waiting,
        now: Nanos,
    ) -> Result<Option<Nanos>, String> {
        let window = usize::try_from(self.context.workload.window).unwrap_or(usize::MAX);
        if self.ledger.open() >= window.max(1) || !self.ledger.demand().has_next() {
            return Ok(None);
        }
        let intended = match self.pace.due(now) {
            Due::At(due) => return Ok(Some(due)),
            Due::Now(intended) => intended,
        };
        self.pace.advance();
        if let Some((order, id)) = self.ledger.invoke(intended) {
            let publishing_id = id.sequence + 1;
            waiting.insert(publishing_id, (order, id));
            link.publish(publishing_id, self.codec.encode(id)).await?;
        }
        Ok(Some(now))
    }

    fn take(&mut self, push: Push, waiting: &mut Waiting) -> Result<(), String> {
        let (ids, answer) = match push {
            Push::Confirmed(ids) => (ids, Answer::Ack),
            Push::Refused(ids) => (ids, Answer::Nack),
            Push::Lost(reason) => return Err(format!("connection lost: {reason}")),
            Push::Chunk(..) => return Ok(()),
        };
        let known = ids.iter().filter_map(|id| waiting.remove(id));
        let known: Vec<_> = known.collect();
        let resolved = known
            .iter()
            .map(|(order, _)| (*order, answer, Carried::Nothing));
        self.ledger.apply(&Batch {
            resolved: resolved.collect(),
            lost: None,
        });
        if answer == Answer::Nack {
            for (_, id) in known {
                self.ledger.give_up(id);
            }
            return Err("the broker refused a message".to_owned());
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let now = self.context.clock.now();
        self.context.is_stopped() || self.ends_at.is_some_and(|ends_at| ends_at <= now)
    }
}
