//! Producers without a broker: what happens when there is none. Loopback only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::load::Counts;
use super::super::{Credentials, Endpoint, Record, Tally};
use super::*;
use crate::clock::RunClock;
use crate::event::{Emit, Event};
use crate::history::operation::Entry;
use crate::inventory::{NodeName, Secret};
use crate::scenario::{Amount, Consumers, Protocol, Queue, QueueType, Workload, WorkloadKind};

struct NoEntries;

impl Record for NoEntries {
    fn record(&self, entry: Entry) {
        panic!("nothing can be attempted without a broker: {entry:?}");
    }
}

/// Keeps the notes, or panics at the first.
struct Notes {
    texts: Mutex<Vec<String>>,
    panics: bool,
}

impl Emit for Notes {
    fn emit(&self, event: Event) {
        if let Event::Note { text, .. } = event {
            assert!(!self.panics, "as the test wants it");
            self.texts.lock().unwrap().push(text);
        }
    }
}

struct Load {
    context: LoadContext,
    notes: Arc<Notes>,
    stop: watch::Sender<bool>,
}

fn load(port: u16, reconnects: u32, panics: bool) -> Load {
    let notes = Arc::new(Notes {
        texts: Mutex::default(),
        panics,
    });
    let (stop, stopped) = watch::channel(false);
    let context = LoadContext {
        endpoints: vec![Endpoint {
            index: 0,
            name: NodeName("n1".to_owned()),
            address: "127.0.0.1".to_owned(),
            port,
        }],
        credentials: Credentials {
            user: "jtest".to_owned(),
            password: Secret::new("secret"),
            vhost: "/".to_owned(),
        },
        queue: Queue::new("jtest", QueueType::Classic),
        workload: Workload {
            kind: WorkloadKind::Queue,
            protocol: Protocol::default(),
            amount: Amount::Schedule,
            rate: None,
            window: 1,
            confirm_timeout: Duration::from_secs(1),
            resends: 0,
            reconnects,
            reconnect_pause: Duration::from_millis(1),
            body_bytes: 0,
            hold: Duration::ZERO,
            producers: 1,
            consumers: Consumers::new(0),
        },
        run_id: "test".to_owned(),
        recorder: Arc::new(NoEntries),
        emit: notes.clone(),
        clock: RunClock::start(),
        tally: Arc::new(Tally::new([])),
        stop: stopped,
        administration: None,
    };
    Load {
        context,
        notes,
        stop,
    }
}

/// A port that nothing listens on.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn ends(context: LoadContext) -> LoadSummary {
    timeout(Duration::from_secs(5), run(context)).await.unwrap()
}

#[tokio::test]
async fn a_producer_gives_up_after_its_reconnects_and_says_so_once() {
    let load = load(closed_port().await, 20, false);
    let summary = ends(load.context).await;
    let producer = &summary.clients[0];
    assert_eq!(
        (producer.counts, producer.connections),
        (Counts::default(), 0)
    );
    let gave_up = producer.gave_up.as_deref().unwrap();
    assert!(gave_up.starts_with("20 reconnects did not suffice: cannot connect to 127.0.0.1"));
    let notes = load.notes.texts.lock().unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(!notes.join(" ").contains("secret"));
}

#[tokio::test]
async fn a_panic_in_a_producer_is_an_error_of_the_load() {
    let load = load(closed_port().await, 20, true);
    let summary = ends(load.context).await;
    assert_eq!(summary.clients, []);
    assert_eq!(summary.errors.len(), 1, "{summary:?}");
}

#[tokio::test]
async fn a_stop_ends_a_load_that_cannot_connect() {
    let load = load(closed_port().await, u32::MAX, false);
    let running = tokio::spawn(ends(load.context));
    while load.notes.texts.lock().unwrap().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    load.stop.send(true).unwrap();
    assert_eq!(running.await.unwrap().clients[0].gave_up, None);
}

#[tokio::test]
async fn a_stop_ends_a_load_that_waits_for_a_silent_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = load(listener.local_addr().unwrap().port(), 0, false);
    let running = tokio::spawn(ends(load.context));
    let (_silent, _) = listener.accept().await.unwrap();
    drop(load.stop);
    assert_eq!(running.await.unwrap().errors, Vec::<String>::new());
}
