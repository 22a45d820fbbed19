//! What the nemesis asks of the cluster and of the load, and what follows from the answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::event::NodeView;
use crate::inventory::NodeName;

/// For one node's answer; a paused or cut one must not hold up the others for long. Hosts give up earlier.
const ASK_DEADLINE: Duration = Duration::from_secs(15);
/// Between two questions.
const ASK_PAUSE: Duration = Duration::from_secs(1);

/// How often confirms are counted.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// The rate before a fault is taken over so long.
const RATE_BEFORE: Duration = Duration::from_secs(10);
/// The rate of now is taken over so long.
const RATE_NOW: Duration = Duration::from_secs(3);
/// Nothing can be said of a rate over less than this.
const RATE_LEAST: Duration = Duration::from_secs(1);

/// What one node says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Its view of the cluster.
    pub view: NodeView,
    /// The node that leads the queue.
    pub leader: Option<NodeName>,
    /// The nodes that hold the queue.
    pub members: Vec<NodeName>,
}

/// The cluster and the load, as far as the nemesis asks about them.
#[async_trait]
pub trait World: Send + Sync {
    /// What a node says; `None` where it does not answer.
    async fn ask(&self, node: &NodeName) -> Option<Said>;
    /// How many messages were confirmed so far.
    fn confirms(&self) -> u64;
}

/// The answers of those nodes that gave one.
pub(super) type Answers = BTreeMap<NodeName, Said>;

/// Asks nodes, all at once.
pub(super) async fn ask(world: &dyn World, nodes: &[NodeName]) -> Answers {
    let answers = nodes.iter().map(async |node| {
        let said = timeout(ASK_DEADLINE, world.ask(node)).await.ok().flatten();
        Some((node.clone(), said?))
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// Asks until somebody says who leads the queue, or the time is up.
pub(super) async fn ask_for_leader(
    world: &dyn World,
    nodes: &[NodeName],
    patience: Duration,
) -> Answers {
    let mut answers = Answers::new();
    let asking = async {
        loop {
            answers = ask(world, nodes).await;
            if leader(&answers).is_some() {
                break;
            }
            sleep(ASK_PAUSE).await;
        }
    };
    // The last answers, if any, are as good as they get.
    let _late = timeout(patience, asking).await;
    answers
}

/// The node that leads the queue, as most of those say who say anything.
pub(super) fn leader(answers: &Answers) -> Option<NodeName> {
    let mut votes = BTreeMap::<&NodeName, usize>::new();
    for leader in answers.values().filter_map(|said| said.leader.as_ref()) {
        *votes.entry(leader).or_default() += 1;
    }
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(leader, _)| leader.clone())
}

/// How fast confirms come and came.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    samples: VecDeque<(Instant, u64)>,
    /// Confirms per second in the time before the last injection.
    before: Option<f64>,
}

impl Rates {
    /// Counts for as long as it is asked to.
    pub(super) async fn sample(&self, world: &dyn World) {
        loop {
            self.lock().count(world.confirms());
            sleep(SAMPLE_EVERY).await;
        }
    }

    /// A fault is injected now: what the rate was until now is what it has to come back to.
    pub(super) fn mark(&self, confirms: u64) {
        let mut counted = self.lock();
        counted.count(confirms);
        counted.before = counted.rate(Instant::now().checked_sub(RATE_BEFORE));
    }

    /// The rate of now, not looking back beyond `since`, and the one before the last injection.
    pub(super) fn compare(&self, since: Instant) -> (Option<f64>, Option<f64>) {
        let counted = self.lock();
        let now = Instant::now();
        let is_long_enough = now.saturating_duration_since(since) >= RATE_NOW;
        let rate = counted
            .rate(now.checked_sub(RATE_NOW))
            .filter(|_| is_long_enough);
        (rate, counted.before)
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn count(&mut self, confirms: u64) {
        let now = Instant::now();
        self.samples.push_back((now, confirms));
        let oldest = now.checked_sub(RATE_BEFORE + SAMPLE_EVERY);
        while self.samples.front().map(|(time, _)| *time) < oldest {
            self.samples.pop_front();
        }
    }

    /// Confirms per second since then; an instant before all samples means since the first.
    fn rate(&self, since: Option<Instant>) -> Option<f64> {
        let mut samples = self.samples.iter();
        let first = samples.find(|(time, _)| since.is_none_or(|since| *time >= since))?;
        let last = self.samples.back()?;
        let time = last.0.saturating_duration_since(first.0);
        (time >= RATE_LEAST).then(|| last.1.saturating_sub(first.1) as f64 / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_over_the_time_that_is_asked_for() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut counted = Counted::default();
        // 100 a second for 10 s, then 20.
        counted
            .samples
            .extend((0..=10).map(|second| (at(second), 100 * second)));
        counted
            .samples
            .extend((11..=13).map(|second| (at(second), 1000 + 20 * (second - 10))));
        assert_eq!(counted.rate(Some(at(10))), Some(20.0));
        assert_eq!(counted.rate(None), Some(1060.0 / 13.0));
        assert_eq!(counted.rate(Some(at(13))), None);
        assert_eq!(Counted::default().rate(None), None);
    }

    #[test]
    fn a_rate_is_compared_with_that_before_the_last_injection() {
        let rates = Rates::default();
        let now = Instant::now();
        let Some(begin) = now.checked_sub(Duration::from_secs(8)) else {
            return;
        };
        for second in 0..8 {
            let sample = (begin + Duration::from_secs(second), 50 * second);
            rates.lock().samples.push_back(sample);
        }
        assert_eq!(rates.compare(begin).1, None);
        rates.mark(400);
        let (current, before) = rates.compare(begin);
        assert!((49.0..51.0).contains(&before.unwrap()), "{before:?}");
        assert!(current.is_some());
        // A step that began just now says nothing of the rate yet.
        assert_eq!(rates.compare(now).0, None);
    }
}
