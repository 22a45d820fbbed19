//! Watching the nodes while a run goes on: whom each sees, who leads the queue in its eyes, and how its
//! clocks stand to ours.
//!
//! On each host one shell answers one question after the other, for as long as its connection lasts; a broker
//! answers within milliseconds and is asked about once a second. Where it costs more, it is asked less often.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::evaluate::{fill, understand, wrapped};
use super::status::{nodes, texts};
use super::{Broker, Member, SHELL};
use crate::clock::RunClock;
use crate::event::{Emit, Event, NodeClock, NodeView};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::remote::{Process, RemoteError, Script};

const QUESTION: &str = concat!(include_str!("cluster.erl"), include_str!("watch.erl"));
const ANSWER: &str = include_str!("watch.sh");

/// For the broker's answer; a paused one has none.
const BROKER_DEADLINE: Duration = Duration::from_secs(5);
/// For the host's, which tries a second way to the broker if the first fails.
const HOST_DEADLINE: Duration = Duration::from_secs(20);
/// A shell that answers is replaced after so long at the latest.
const SHELL_DEADLINE: Duration = Duration::from_secs(3600);

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// The pause after an answer is so many times what the answer took.
const PAUSE_FACTOR: u32 = 10;

/// Views that do not change are told again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// A clock that moved by less than this and the errors of measuring has not moved.
const CLOCK_TOLERANCE_US: u64 = 20_000;

/// Answers on their way to who tells them.
const SIGHTINGS_MAX: usize = 64;

/// What was found out of a node.
#[derive(Debug)]
struct Sighting {
    member: usize,
    at: Nanos,
    view: Option<NodeView>,
    clock: Option<NodeClock>,
}

#[derive(Deserialize)]
struct Said {
    running: serde_json::Value,
    partitions: serde_json::Value,
    alarms: serde_json::Value,
    leader: serde_json::Value,
    system_us: i64,
}

impl Broker {
    /// Tells what the nodes say and how their clocks stand, where it changes, until it is dropped.
    pub async fn watch(&self, clock: RunClock, emit: &dyn Emit) -> Infallible {
        let (tell, told) = mpsc::channel(SIGHTINGS_MAX);
        let queues = self.queue.names();
        let words = [
            ("VHOST", self.credentials.vhost.as_str()),
            ("QUEUE", queues.first().map_or("", String::as_str)),
        ];
        let question = wrapped(&fill(QUESTION, &words));
        let names = self.by_erlang_name();
        let watching = self.members.iter().enumerate().map(|(number, member)| {
            let watch = Watch {
                number,
                member,
                question: &question,
                names: &names,
                clock,
                tell: tell.clone(),
            };
            watch.run()
        });
        let telling = Telling {
            names: self
                .members
                .iter()
                .map(|member| member.name.clone())
                .collect(),
            emit,
            latest: BTreeMap::new(),
            told: None,
            clocks: BTreeMap::new(),
        };
        tokio::select! {
            never = telling.run(told) => never,
            never = join_all(watching) => match never.into_iter().next() {
                Some(never) => never,
                None => std::future::pending().await,
            },
        }
    }
}

/// The questions to one node.
struct Watch<'a> {
    number: usize,
    member: &'a Member,
    question: &'a str,
    names: &'a BTreeMap<String, NodeName>,
    clock: RunClock,
    tell: mpsc::Sender<Sighting>,
}

/// A pause that keeps step with nothing: a clock that a fault sets forth and back is to be met in both places.
fn uneven(number: u32, pause: Duration) -> Duration {
    const GOLDEN: f64 = 0.618_033_988_75;
    let part = (f64::from(number) * GOLDEN).fract();
    pause.mul_f64(0.6 + 0.73 * part)
}

impl Watch<'_> {
    async fn run(self) -> Infallible {
        loop {
            // A host that is down or cuts us off is asked again.
            let _why = self.converse().await;
            self.tell(None, None).await;
            sleep(PAUSE_MIN).await;
        }
    }

    async fn converse(&self) -> Result<(), RemoteError> {
        let script = Script::new("watch the broker", format!("{SHELL}\n{ANSWER}"))
            .arg(self.question)
            .arg(BROKER_DEADLINE.as_secs().to_string())
            .deadline(SHELL_DEADLINE);
        let mut process = self.member.host.open(&script).await?;
        for number in 0u32.. {
            let asked = SystemTime::now();
            let began = Instant::now();
            let answer = timeout(HOST_DEADLINE, exchange(process.as_mut())).await;
            let Ok(Some(answer)) = answer.map_or(Ok(None), |answer| answer) else {
                return Ok(());
            };
            let took = began.elapsed();
            let (view, clock) = self.understand(&answer, asked, took);
            self.tell(view, clock).await;
            let pause = (took * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX);
            sleep(uneven(number, pause)).await;
        }
        Ok(())
    }

    async fn tell(&self, view: Option<NodeView>, clock: Option<NodeClock>) {
        let sighting = Sighting {
            member: self.number,
            at: self.clock.now(),
            view,
            clock,
        };
        // Its receiver goes with the sender's own future.
        let _gone = self.tell.send(sighting).await;
    }

    fn understand(
        &self,
        answer: &str,
        asked: SystemTime,
        took: Duration,
    ) -> (Option<NodeView>, Option<NodeClock>) {
        let mut words = answer.splitn(3, ' ');
        let mut time = || words.next()?.parse::<i64>().ok();
        let times = time().zip(time());
        let said: Option<Said> = understand(words.next().unwrap_or_default()).ok();
        let clock = times.and_then(|times| {
            node_clock(asked, took, times, said.as_ref().map(|said| said.system_us))
        });
        let view = said.map(|said| NodeView {
            running: nodes(&said.running, self.names),
            partitions: nodes(&said.partitions, self.names),
            alarms: texts(&said.alarms).map(str::to_owned).collect(),
            leader: said
                .leader
                .as_str()
                .and_then(|name| self.names.get(name))
                .cloned(),
        });
        (view, clock)
    }
}

async fn exchange(process: &mut dyn Process) -> Result<Option<String>, RemoteError> {
    process.write(b"\n").await?;
    process.read_line().await
}

/// From when the question went out, how long the answer took to come, and the host's times before and after it
/// asked its broker; between them the broker told its own. Where the host's clock jumped meanwhile, nothing.
fn node_clock(
    asked: SystemTime,
    took: Duration,
    (before, after): (i64, i64),
    broker: Option<i64>,
) -> Option<NodeClock> {
    let took_us = i64::try_from(took.as_micros()).ok()?;
    let broker_took = after.checked_sub(before)?;
    let half_way = took_us.checked_sub(broker_took)? / 2;
    if broker_took < 0 || half_way < 0 {
        return None;
    }
    let asked_us = i64::try_from(asked.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()?;
    let host_us = before.checked_sub(asked_us.checked_add(half_way)?)?;
    let broker_us = match broker {
        Some(broker) => {
            let beside = broker.checked_sub(before.checked_add(broker_took / 2)?)?;
            Some(host_us.checked_add(beside)?)
        }
        None => None,
    };
    let error = half_way + broker_us.map_or(0, |_| broker_took / 2);
    Some(NodeClock {
        host_us,
        broker_us,
        error_us: error.unsigned_abs(),
    })
}

/// What was told, and what there is to tell.
struct Telling<'a> {
    names: Vec<NodeName>,
    emit: &'a dyn Emit,
    /// The last of each node; one that does not answer has no view.
    latest: BTreeMap<usize, Option<NodeView>>,
    told: Option<(Instant, BTreeMap<NodeName, NodeView>)>,
    /// As told, and when they were last found to be so.
    clocks: BTreeMap<usize, (NodeClock, Nanos)>,
}

impl Telling<'_> {
    async fn run(mut self, mut sightings: mpsc::Receiver<Sighting>) -> Infallible {
        while let Some(sighting) = sightings.recv().await {
            if let Some(clock) = sighting.clock {
                self.clock(sighting.member, clock, sighting.at);
            }
            self.latest.insert(sighting.member, sighting.view);
            if self.latest.len() == self.names.len() {
                self.views();
            }
        }
        std::future::pending().await
    }

    fn views(&mut self) {
        let views: BTreeMap<NodeName, NodeView> = self
            .latest
            .iter()
            .filter_map(|(member, view)| Some((self.names[*member].clone(), view.clone()?)))
            .collect();
        let is_known = self
            .told
            .as_ref()
            .is_some_and(|(at, told)| *told == views && at.elapsed() < AGAIN);
        if !is_known {
            let leader = leader(&views);
            self.told = Some((Instant::now(), views.clone()));
            self.emit.emit(Event::ClusterView { views, leader });
        }
    }

    fn clock(&mut self, member: usize, clock: NodeClock, at: Nanos) {
        let before = self.clocks.get_mut(&member);
        let since = match before {
            Some((told, seen)) if !has_moved(told, &clock) => {
                *seen = at;
                return;
            }
            Some((_, seen)) => *seen,
            None => at,
        };
        self.clocks.insert(member, (clock, at));
        let node = self.names[member].clone();
        self.emit.emit(Event::ClockMeasured { node, clock, since });
    }
}

fn has_moved(told: &NodeClock, now: &NodeClock) -> bool {
    let tolerance = CLOCK_TOLERANCE_US + told.error_us + now.error_us;
    let differs = |one: i64, other: i64| one.abs_diff(other) > tolerance;
    let broker = match (told.broker_us, now.broker_us) {
        (Some(told), Some(now)) => differs(told, now),
        (None, Some(_)) => true,
        _ => false,
    };
    broker || differs(told.host_us, now.host_us)
}

/// Whom most nodes hold for the leader.
fn leader(views: &BTreeMap<NodeName, NodeView>) -> Option<NodeName> {
    let mut votes = BTreeMap::<&NodeName, usize>::new();
    for leader in views.values().filter_map(|view| view.leader.as_ref()) {
        *votes.entry(leader).or_default() += 1;
    }
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(leader, _)| leader.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_clock_that_flutters_is_met_in_both_places() {
        for period in [100, 250, 500, 1000, 2000].map(Duration::from_millis) {
            let mut met = [0, 0];
            let mut at = Duration::ZERO;
            for number in 0..60 {
                met[(at.as_nanos() / period.as_nanos() % 2) as usize] += 1;
                at += uneven(number, PAUSE_MIN);
            }
            assert!(met.iter().all(|times| *times >= 15), "{period:?}: {met:?}");
        }
    }

    #[derive(Default)]
    struct Told(Mutex<Vec<Event>>);

    impl Emit for Told {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn clock(host_us: i64, broker_us: Option<i64>) -> NodeClock {
        NodeClock {
            host_us,
            broker_us,
            error_us: 5_000,
        }
    }

    #[test]
    fn clocks_are_measured_through_the_answer() {
        let asked = UNIX_EPOCH + Duration::from_secs(100);
        let took = Duration::from_micros(50_000);
        // 10 ms there, 30 ms for the broker, 10 ms back.
        let times = (100_010_000 + 7_000, 100_040_000 + 7_000);
        let found = node_clock(asked, took, times, Some(190_032_000));
        let expected = NodeClock {
            host_us: 7_000,
            broker_us: Some(90_007_000),
            error_us: 25_000,
        };
        assert_eq!(found, Some(expected));
        let silent = node_clock(asked, took, times, None).unwrap();
        assert_eq!((silent.broker_us, silent.error_us), (None, 10_000));
        let (before, after) = times;
        for jumped in [
            (after, before),
            (before, after + 90_000_000),
            (i64::MIN, i64::MAX),
        ] {
            assert_eq!(node_clock(asked, took, jumped, None), None);
        }
    }

    #[tokio::test]
    async fn what_changes_is_told() {
        let emit = Told::default();
        let mut telling = Telling {
            names: vec![NodeName("n1".into()), NodeName("n2".into())],
            emit: &emit,
            latest: BTreeMap::new(),
            told: None,
            clocks: BTreeMap::new(),
        };
        telling.clock(0, clock(0, None), 1);
        telling.clock(0, clock(900, None), 2);
        telling.clock(0, clock(900, Some(90_000_000)), 3);
        telling.clock(0, clock(900, None), 4);
        telling.clock(0, clock(900, Some(60_000)), 5);
        let told = std::mem::take(&mut *emit.0.lock().unwrap());
        let told: Vec<(Option<i64>, Nanos)> = told
            .into_iter()
            .map(|event| match event {
                Event::ClockMeasured { clock, since, .. } => (clock.broker_us, since),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [(None, 1), (Some(90_000_000), 2), (Some(60_000), 4)]);

        let view = NodeView {
            leader: Some(NodeName("n2".into())),
            ..NodeView::default()
        };
        telling.latest = BTreeMap::from([(0, Some(view.clone())), (1, None)]);
        telling.views();
        telling.views();
        telling.latest.insert(1, Some(view));
        telling.views();
        let told = emit.0.lock().unwrap().clone();
        let counts: Vec<usize> = told
            .iter()
            .map(|event| match event {
                Event::ClusterView { views, leader } => {
                    assert_eq!(leader.as_ref().unwrap().0, "n2");
                    views.len()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [1, 2]);
    }
}
