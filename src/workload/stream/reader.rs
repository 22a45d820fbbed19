//! Reading a stream by offset through one node, and the readers of the load.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use super::super::connections::Connections;
use super::super::ledger::Counts;
use super::super::load::{ClientSummary, LoadContext};
use super::super::message::{AttemptId, Codec};
use super::super::{Credentials, Endpoint, Record, Tally, told};
use super::link::{Push, StreamLink};
use crate::clock::RunClock;
use crate::history::operation::{Action, Cause, Entry, Phase};

/// Where readings go, and as what.
pub(super) struct Reading {
    codec: Codec,
    recorder: Arc<dyn Record>,
    tally: Arc<Tally>,
    clock: RunClock,
    action: Action,
    node: u16,
    process: u32,
    /// The offset to be read next.
    pub(super) next: u64,
    /// How many messages were read.
    pub(super) count: u64,
    /// Whether the next chunk is the first of a connection, which may begin before the offset that was asked for.
    is_first: bool,
}

impl Reading {
    /// Nothing is read yet.
    pub(super) fn new(
        run_id: &str,
        recorder: &Arc<dyn Record>,
        tally: &Arc<Tally>,
        clock: RunClock,
        action: Action,
        node: u16,
    ) -> Self {
        Self {
            codec: Codec::new(run_id, 0),
            recorder: Arc::clone(recorder),
            tally: Arc::clone(tally),
            clock,
            action,
            node,
            process: 0,
            next: 0,
            count: 0,
            is_first: true,
        }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self, process: u32) {
        self.process = process;
        self.is_first = true;
    }

    /// Records what a chunk has; of the first of a connection, what was asked for.
    pub(super) fn take(&mut self, first: u64, bodies: &[Vec<u8>]) {
        let asked = if self.is_first { self.next } else { 0 };
        self.is_first = false;
        for (offset, body) in (first..).zip(bodies) {
            if offset < asked {
                continue;
            }
            self.next = self.next.max(offset + 1);
            self.count += 1;
            let (id, cause) = match self.codec.decode(body) {
                Ok(id) => (id, Cause::None),
                Err(_alien) => (AttemptId::FOREIGN, Cause::Foreign),
            };
            self.recorder.record(Entry {
                time: self.clock.now(),
                process: self.process,
                node: self.node,
                phase: Phase::Ok,
                action: self.action,
                producer: id.producer,
                sequence: id.sequence,
                attempt: id.attempt,
                cause,
                tag: Some(offset),
                ..Entry::default()
            });
            self.tally.received(self.node);
        }
    }
}

/// A connection that reads the stream from an offset on.
pub(super) async fn attach(
    endpoint: &Endpoint,
    credentials: &Credentials,
    name: &str,
    stream: &str,
    from: u64,
) -> Result<StreamLink, String> {
    let mut link = StreamLink::open(endpoint, credentials, name).await?;
    link.subscribe(stream, from).await?;
    Ok(link)
}

/// Takes what comes until there is nothing more to be had from the connection. Cancel it to end it.
pub(super) async fn follow(link: &mut StreamLink, mut take: impl FnMut(u64, &[Vec<u8>])) -> String {
    loop {
        match link.push().await {
            Push::Chunk(first, bodies) => {
                take(first, &bodies);
                if let Err(reason) = link.next_chunk().await {
                    return reason;
                }
            }
            Push::Lost(reason) => return reason,
            Push::Confirmed(_) | Push::Refused(_) => {}
        }
    }
}

/// A reader of the load: reads the stream through its node from its beginning, and goes on after a lost connection.
pub(super) struct LoadReader {
    /// Among all clients.
    number: u32,
    endpoint: Endpoint,
    context: LoadContext,
    reading: Reading,
    /// Raised when all producers have ended.
    ended: watch::Receiver<bool>,
    connections: Connections,
}

impl LoadReader {
    pub(super) fn new(
        place: u32,
        endpoint: Endpoint,
        context: LoadContext,
        ended: watch::Receiver<bool>,
    ) -> Self {
        let number = context.producers().saturating_add(place);
        let connections = Connections::new(&context, &endpoint.name, format!("reader {number}"));
        Self {
            number,
            reading: Reading::new(
                &context.run_id,
                &context.recorder,
                &context.tally,
                context.clock,
                Action::Deliver,
                endpoint.index,
            ),
            endpoint,
            context,
            ended,
            connections,
        }
    }

    /// Reads until the producers have ended or its last reconnect fails; with its number.
    pub(super) async fn run(mut self) -> (u32, ClientSummary) {
        let mut ended = self.ended.clone();
        let gave_up = tokio::select! {
            biased;
            () = told(&mut ended) => None,
            reason = self.read() => Some(reason),
        };
        let summary = ClientSummary {
            node: self.endpoint.name.clone(),
            counts: Counts::default(),
            connections: self.connections.count(),
            gave_up,
        };
        (self.number, summary)
    }

    /// Reads on one connection after the other; why it gave up.
    async fn read(&mut self) -> String {
        loop {
            let reason = self.session().await;
            if let Err(reason) = self.connections.lost(&reason) {
                return reason;
            }
            sleep(self.context.workload.reconnect_pause).await;
        }
    }

    async fn session(&mut self) -> String {
        let (name, stream) = (
            format!("jtest reader {}", self.number),
            &self.context.queue.name,
        );
        let credentials = &self.context.credentials;
        let attaching = attach(
            &self.endpoint,
            credentials,
            &name,
            stream,
            self.reading.next,
        );
        let mut link = match attaching.await {
            Ok(link) => link,
            Err(reason) => return reason,
        };
        let process = self.context.process(self.number, self.connections.made());
        self.reading.begin(process);
        let reading = &mut self.reading;
        follow(&mut link, |first, bodies| reading.take(first, bodies)).await
    }
}
