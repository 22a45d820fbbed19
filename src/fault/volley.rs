//! The same moment on all nodes: stage on all, then fire on all.
//!
//! A process on each node does everything that takes time, says `ready` and waits. When all are
//! ready they are told at once. If one cannot get ready, nobody is told, and nothing has changed
//! anywhere. A process that is told too late (its order was stuck in the network) refuses.
//!
//! One that says `timed` before is asked for its clock, and told the time at which to act: then the orders may take
//! each its own time to arrive.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{ClockOffset, FaultError};
use crate::clock::RunClock;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::remote::{Host, Process, RemoteError, Script};

/// For all nodes to be ready; less than what a process waits for its order.
const STAGE_DEADLINE: Duration = Duration::from_secs(12);
/// From the order until a node says that it is done.
const FIRE_DEADLINE: Duration = Duration::from_secs(10);
/// For a process that is not needed any more to end.
const ABORT_DEADLINE: Duration = Duration::from_secs(5);

/// A clock that is known less well cannot time a cut.
const CLOCK_ERROR_US_MAX: u64 = 10_000;

/// After the first time the clocks are asked so often again, if there is time for it; the quickest answer counts.
const CLOCK_ROUNDS: usize = 7;
const CLOCK_ROUNDS_MAX: Duration = Duration::from_millis(300);
/// For one clock to answer.
const CLOCK_DEADLINE: Duration = Duration::from_secs(1);
/// An order may take so long to arrive, besides what the answers took.
const ORDER_TIME: Duration = Duration::from_millis(25);
/// Later than this nobody is told to act.
const ORDER_TIME_MAX: Duration = Duration::from_millis(400);

/// A waiting process.
struct Staged {
    host: Host,
    purpose: String,
    process: Box<dyn Process>,
    is_timed: bool,
    clock: Option<HostClock>,
}

/// A moment by the clock of a host.
#[derive(Debug, Clone, Copy)]
struct HostClock {
    at: Instant,
    /// How long the answer took.
    took: Duration,
    /// Microseconds of its wall clock then.
    wall_us: i64,
}

impl HostClock {
    fn wall_us_at(&self, instant: Instant) -> i64 {
        let since = instant.saturating_duration_since(self.at);
        let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        self.wall_us.saturating_add(since)
    }
}

/// All nodes ready.
pub(super) struct Volley {
    staged: Vec<Staged>,
    notes: Vec<String>,
}

/// All nodes done.
#[derive(Debug)]
pub(super) struct Fired {
    /// Just before the first was told.
    pub first: Nanos,
    /// After the last said that it was done.
    pub last: Nanos,
    /// When each was done, in nanoseconds of its own wall clock.
    pub stamps: Vec<(NodeName, i64)>,
    /// What the hosts had to say.
    pub notes: Vec<String>,
}

impl Volley {
    /// Gets all nodes ready, or none.
    pub async fn stage(scripts: Vec<(Host, Script)>) -> Result<Self, FaultError> {
        let results = join_all(scripts.into_iter().map(stage_one)).await;
        let mut volley = Self {
            staged: Vec::new(),
            notes: Vec::new(),
        };
        let mut errors = Vec::new();
        for result in results {
            match result {
                Ok((staged, notes)) => {
                    volley.staged.push(staged);
                    volley.notes.extend(notes);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Ok(volley);
        }
        join_all(volley.staged.into_iter().map(abort)).await;
        Err(FaultError::Hosts(errors))
    }

    /// Tells all nodes. After an error some may have fired.
    pub async fn fire(self, clock: RunClock) -> Result<Fired, FaultError> {
        self.fire_within(clock, FIRE_DEADLINE).await
    }

    /// The same for what takes longer.
    pub async fn fire_within(
        mut self,
        clock: RunClock,
        deadline: Duration,
    ) -> Result<Fired, FaultError> {
        self.ask_clocks().await;
        let slowest = self
            .staged
            .iter()
            .filter_map(|staged| staged.clock)
            .map(|clock| clock.took);
        let order_time = ORDER_TIME + 2 * slowest.max().unwrap_or_default();
        let at = Instant::now() + order_time.min(ORDER_TIME_MAX);
        let first = clock.now();
        let firing = self.staged.into_iter();
        let results = join_all(firing.map(|staged| fire_one(staged, at, deadline))).await;
        let last = clock.now();
        let mut stamps = Vec::new();
        let mut errors = Vec::new();
        for result in results {
            match result {
                Ok(stamp) => stamps.push(stamp),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(FaultError::Hosts(errors));
        }
        Ok(Fired {
            first,
            last,
            stamps,
            notes: self.notes,
        })
    }
}

impl Volley {
    /// All at once, then one after the other, so that they do not keep each other waiting. Unless the clocks of all are
    /// known, none is of use.
    async fn ask_clocks(&mut self) {
        let begun = Instant::now();
        join_all(self.staged.iter_mut().map(Staged::ask_clock)).await;
        for _ in 0..CLOCK_ROUNDS {
            for staged in &mut self.staged {
                if begun.elapsed() < CLOCK_ROUNDS_MAX {
                    staged.ask_clock().await;
                }
            }
        }
        if self.staged.iter().any(|staged| staged.clock.is_none()) {
            for staged in &mut self.staged {
                staged.clock = None;
            }
        }
    }
}

impl Staged {
    /// Where it is timed.
    async fn ask_clock(&mut self) {
        if !self.is_timed {
            return;
        }
        match timeout(CLOCK_DEADLINE, clock_of(&mut *self.process)).await {
            Ok(Some(clock)) if self.clock.is_none_or(|known| clock.took < known.took) => {
                self.clock = Some(clock);
            }
            Ok(_) => {}
            // Its answer may still come, and is no time of now.
            Err(_elapsed) => self.is_timed = false,
        }
    }
}

impl Fired {
    /// The spread of the nodes' own times, each brought to the control node's clock. `None`
    /// where a clock's offset is not known well enough to tell. An offset within its own error
    /// is taken for none: corrected by it, a clock that is shared would only get worse.
    pub fn spread_us(&self, offsets: &BTreeMap<NodeName, ClockOffset>) -> Option<u64> {
        let mut times = Vec::new();
        for (node, stamp) in &self.stamps {
            let offset = offsets.get(node)?;
            if offset.error_us > CLOCK_ERROR_US_MAX {
                return None;
            }
            let is_real = offset.offset_us.unsigned_abs() > offset.error_us;
            times.push(stamp / 1000 - if is_real { offset.offset_us } else { 0 });
        }
        let (first, last) = (times.iter().min()?, times.iter().max()?);
        (times.len() > 1).then(|| last.abs_diff(*first))
    }
}

async fn stage_one((host, script): (Host, Script)) -> Result<(Staged, Vec<String>), RemoteError> {
    let purpose = script.purpose.clone();
    let staging = async {
        let mut process = host.open(&script).await?;
        let mut notes = Vec::new();
        let mut is_timed = false;
        loop {
            match process.read_line().await? {
                Some(line) if line == "ready" => break,
                Some(line) if line == "timed" => is_timed = true,
                Some(line) => notes.push(format!("{}: {line}", host.node())),
                None => return Err(ended_early(&host, &purpose, process).await),
            }
        }
        Ok((process, notes, is_timed))
    };
    match timeout(STAGE_DEADLINE, staging).await {
        Ok(result) => result.map(|(process, notes, is_timed)| {
            let staged = Staged {
                host: host.clone(),
                purpose: purpose.clone(),
                process,
                is_timed,
                clock: None,
            };
            (staged, notes)
        }),
        Err(_) => Err(deadline(&host, &purpose, STAGE_DEADLINE)),
    }
}

/// What time it is there; none where the answer is none.
async fn clock_of(process: &mut dyn Process) -> Option<HostClock> {
    let asked = Instant::now();
    process.write(b"clock\n").await.ok()?;
    let line = process.read_line().await.ok()??;
    let took = asked.elapsed();
    Some(HostClock {
        at: asked + took / 2,
        took,
        wall_us: line.strip_prefix("clock ")?.parse().ok()?,
    })
}

async fn fire_one(
    mut staged: Staged,
    at: Instant,
    patience: Duration,
) -> Result<(NodeName, i64), RemoteError> {
    let Staged { host, purpose, .. } = &staged;
    let (host, purpose) = (host.clone(), purpose.clone());
    let order = match staged.clock {
        Some(clock) => format!("go {}\n", clock.wall_us_at(at)),
        None => "go\n".to_owned(),
    };
    let firing = async {
        staged.process.write(order.as_bytes()).await?;
        while let Some(line) = staged.process.read_line().await? {
            let stamp = line.strip_prefix("fired ").map(str::parse);
            if let Some(Ok(stamp)) = stamp {
                // What is left of it is its end, which nobody has to wait for.
                tokio::spawn(timeout(ABORT_DEADLINE, staged.process.finish()));
                return Ok((host.node().clone(), stamp));
            }
        }
        Err(ended_early(&host, &purpose, staged.process).await)
    };
    match timeout(patience, firing).await {
        Ok(result) => result,
        Err(_) => Err(deadline(&host, &purpose, patience)),
    }
}

/// Closing the input aborts it; how it ends is of no interest, the cause is known already.
async fn abort(staged: Staged) {
    if let Ok(Err(error)) = timeout(ABORT_DEADLINE, staged.process.finish()).await {
        tracing::debug!(%error, "aborted");
    }
}

async fn ended_early(host: &Host, purpose: &str, process: Box<dyn Process>) -> RemoteError {
    match process.finish().await {
        Err(error) => error,
        Ok(output) => RemoteError::Failed {
            node: host.node().clone(),
            purpose: purpose.to_owned(),
            status: 0,
            stderr: format!("it ended without saying so; {}", output.stderr),
        },
    }
}

fn deadline(host: &Host, purpose: &str, deadline: Duration) -> RemoteError {
    RemoteError::Deadline {
        node: host.node().clone(),
        purpose: purpose.to_owned(),
        deadline,
        stderr: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::fake::Fake;

    fn fired(stamps: &[(&str, i64)]) -> Fired {
        Fired {
            first: 0,
            last: 0,
            stamps: stamps
                .iter()
                .map(|(name, stamp)| (NodeName((*name).into()), *stamp))
                .collect(),
            notes: Vec::new(),
        }
    }

    fn offsets(offsets: &[(&str, i64, u64)]) -> BTreeMap<NodeName, ClockOffset> {
        let offset = |(name, offset_us, error_us): &(&str, i64, u64)| {
            let offset = ClockOffset {
                offset_us: *offset_us,
                error_us: *error_us,
            };
            (NodeName((*name).into()), offset)
        };
        offsets.iter().map(offset).collect()
    }

    #[test]
    fn the_spread_is_on_one_clock() {
        let fired = fired(&[("n1", 1_000_000), ("n2", 9_000_000)]);
        let check = |given: &[_], expected| assert_eq!(fired.spread_us(&offsets(given)), expected);
        check(&[("n1", 0, 5), ("n2", 0, 5)], Some(8000));
        check(&[("n1", 0, 5), ("n2", 7900, 5)], Some(100));
        check(&[("n1", 300, 400), ("n2", -300, 400)], Some(8000));
        check(&[("n1", 0, 5)], None);
        check(&[("n1", 0, 5), ("n2", 0, CLOCK_ERROR_US_MAX + 1)], None);
    }

    #[tokio::test]
    async fn one_that_gets_not_ready_keeps_all_from_firing() {
        let good = std::sync::Arc::new(Fake::new("n1").on("cut", "ready\nfired 1\n"));
        let bad = Fake::new("n2").fails("cut", 1, "no iptables").into_host();
        let script = || Script::new("cut", "");
        let staged = Volley::stage(vec![(good.clone(), script()), (bad, script())]).await;
        let error = staged.err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some("n2: cannot cut: exit status 1; it said: no iptables")
        );
        assert_eq!(good.written(), b"");
    }

    /// Fires two, of which the second says this between being ready and having fired; what each was told last.
    async fn told_last(second: &str) -> [String; 2] {
        let clocks = "clock 5000000\n".repeat(CLOCK_ROUNDS + 1);
        let said = [&*clocks, second].map(|clocks| format!("timed\nready\n{clocks}fired 7\n"));
        let fakes =
            ["n1", "n2"].map(|name| Fake::new(name).on("cut", &*said[usize::from(name == "n2")]));
        let fakes = fakes.map(std::sync::Arc::new);
        let scripts = fakes
            .iter()
            .map(|fake| (fake.clone() as Host, Script::new("cut", "")));
        let volley = Volley::stage(scripts.collect()).await.unwrap();
        volley.fire(RunClock::start()).await.unwrap();
        fakes.map(|fake| {
            let written = String::from_utf8(fake.written()).unwrap();
            written.lines().last().unwrap().to_owned()
        })
    }

    #[tokio::test]
    async fn the_timed_are_told_when_by_their_own_clocks() {
        let clocks = "clock 9000000000\n".repeat(CLOCK_ROUNDS + 1);
        let [first, second] = told_last(&clocks).await;
        let at = |told: &str| told.strip_prefix("go ").unwrap().parse::<i64>().unwrap();
        assert!((5_000_001..5_900_000).contains(&at(&first)), "{first}");
        assert!(
            (9_000_000_001..9_000_900_000).contains(&at(&second)),
            "{second}"
        );
        // Where one does not know the time, none is told any.
        let junk = "what\n".repeat(CLOCK_ROUNDS + 1);
        assert_eq!(told_last(&junk).await, ["go", "go"]);
    }

    #[tokio::test]
    async fn all_that_are_ready_fire() {
        let fakes: Vec<_> = ["n1", "n2"]
            .map(|name| std::sync::Arc::new(Fake::new(name).on("cut", "note x\nready\nfired 7\n")))
            .into();
        let scripts = fakes
            .iter()
            .map(|fake| (fake.clone() as Host, Script::new("cut", "")));
        let volley = Volley::stage(scripts.collect()).await.unwrap();
        let fired = volley.fire(RunClock::start()).await.unwrap();
        assert_eq!(fired.stamps.len(), 2);
        assert_eq!(fired.notes, ["n1: note x", "n2: note x"]);
        assert!(fakes.iter().all(|fake| fake.written() == b"go\n"));
    }
}
