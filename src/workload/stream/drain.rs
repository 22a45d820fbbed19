//! Reading a stream to its proven end, through every node.
//!
//! Reading takes nothing away, so the end is not an empty queue: it is the length that every node states for
//! the stream, the same one, twice with some time between, and that many messages read through every node.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::super::drain::{Counts, DrainContext, FIRST_PROCESS};
use super::reader::{Reading, attach, follow};
use crate::event::DrainProof;
use crate::history::operation::Action;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// For one round of asking all nodes.
const ASK_DEADLINE: Duration = Duration::from_secs(60);
/// Between the two answers that prove it.
const ASK_INTERVAL: Duration = Duration::from_secs(6);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the reader of one node did.
#[derive(Default)]
struct State {
    count: AtomicU64,
    /// How often it had to connect again, and why the last time.
    trouble: Mutex<(u32, String)>,
}

impl State {
    fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    fn again(&self, reason: String) {
        let mut trouble = self.trouble();
        *trouble = (trouble.0 + 1, reason);
    }

    fn in_words(&self) -> String {
        let read = self.count();
        match &*self.trouble() {
            (0, _) => format!("read {read}"),
            (retries, reason) => format!("read {read}, connected again {retries} times ({reason})"),
        }
    }

    fn trouble(&self) -> MutexGuard<'_, (u32, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the stream through every node, at most until the deadline. `ask` asks all nodes how long it is.
pub async fn run<A, F>(context: DrainContext, ask: A) -> DrainProof
where
    A: Fn() -> F,
    F: Future<Output = Counts>,
{
    let until = Instant::now() + context.deadline;
    let processes = Arc::new(AtomicU32::new(FIRST_PROCESS));
    let mut readers = JoinSet::new();
    let mut states = Vec::new();
    for place in 0..context.endpoints.len() {
        let state = Arc::new(State::default());
        states.push(Arc::clone(&state));
        readers.spawn(read_through(
            context.clone(),
            place,
            state,
            Arc::clone(&processes),
        ));
    }
    let mut agreed_since: Option<(u64, Instant)> = None;
    let (complete, mut evidence) = loop {
        context.tally.emit(&context.emit);
        let answer = timeout(ASK_DEADLINE, ask()).await;
        let counts: Vec<u64> = states.iter().map(|state| state.count()).collect();
        let agreed = answer
            .as_ref()
            .ok()
            .and_then(|said| agreed(&context, said, &counts));
        let told = match answer {
            Ok(said) => in_words(&context, &said, &states),
            Err(_elapsed) => vec![format!("no answer within {} s", ASK_DEADLINE.as_secs())],
        };
        let now = Instant::now();
        agreed_since = match (agreed, agreed_since) {
            (Some(length), Some((before, since))) if length == before => Some((before, since)),
            (length, _) => length.map(|length| (length, now)),
        };
        if agreed_since.is_some_and(|(_, since)| now - since >= ASK_INTERVAL) {
            break (true, told);
        }
        if now + LOOK_INTERVAL > until {
            break (false, told);
        }
        sleep(LOOK_INTERVAL).await;
    };
    readers.shutdown().await;
    context.tally.emit(&context.emit);
    evidence.push(if complete {
        format!(
            "every node stated this length twice, {} s apart, and all of it was read through each",
            ASK_INTERVAL.as_secs()
        )
    } else {
        format!(
            "not proven read to its end within {} s",
            context.deadline.as_secs()
        )
    });
    DrainProof { complete, evidence }
}

/// The stream's length, if all nodes state the same one and so much was read through each.
fn agreed(context: &DrainContext, said: &Counts, read: &[u64]) -> Option<u64> {
    let lengths = context
        .endpoints
        .iter()
        .map(|endpoint| match said.get(&endpoint.name) {
            Some(Ok(counts)) => Some(counts.ready),
            _ => None,
        });
    let lengths: Option<Vec<u64>> = lengths.collect();
    let lengths = lengths?;
    let first = *lengths.first()?;
    (lengths == read && read.iter().all(|read| *read == first)).then_some(first)
}

fn in_words(context: &DrainContext, said: &Counts, states: &[Arc<State>]) -> Vec<String> {
    let nodes = context.endpoints.iter().zip(states);
    let told = nodes.map(|(endpoint, state)| {
        let said = match said.get(&endpoint.name) {
            None => "does not answer".to_owned(),
            Some(Err(error)) => error.clone(),
            Some(Ok(counts)) => format!("states a length of {}", counts.ready),
        };
        format!("{}: {}; it {said}", endpoint.name, state.in_words())
    });
    told.collect()
}

/// Reads through one node until it is cancelled.
async fn read_through(
    context: DrainContext,
    place: usize,
    state: Arc<State>,
    processes: Arc<AtomicU32>,
) {
    let (Some(endpoint), Some((_, stream))) =
        (context.endpoints.get(place), context.queues.first())
    else {
        return;
    };
    let mut reading = Reading::new(
        &context.run_id,
        &context.recorder,
        &context.tally,
        context.clock,
        Action::Drain,
        endpoint.index,
    );
    loop {
        let credentials = &context.credentials;
        let attaching = attach(endpoint, credentials, "jtest drain", stream, reading.next);
        let trouble = match attaching.await {
            Ok(mut link) => {
                reading.begin(processes.fetch_add(1, Ordering::Relaxed));
                let following = follow(&mut link, |first, bodies| {
                    reading.take(first, bodies);
                    state.count.store(reading.count, Ordering::SeqCst);
                });
                following.await
            }
            Err(reason) => reason,
        };
        state.again(trouble);
        sleep(RETRY_PAUSE).await;
    }
}
