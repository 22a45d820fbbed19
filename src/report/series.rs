//! Rates and latencies over time, in one pass over a history of any length.
//!
//! Buckets begin as seconds. When there are too many of them, neighbours are merged and each is
//! twice as wide, so that a run of days takes no more memory and no more of a page than one of minutes.

use serde::Serialize;

use crate::history::operation::Nanos;

/// Width of a bucket at the beginning.
const WIDTH_MIN: Nanos = 1_000_000_000;

/// Numbers of all nodes' buckets together, at most: what of a page they may take.
const CELLS_MAX: usize = 100_000;
/// Numbers of one bucket.
const BUCKET_CELLS: usize = 8;
/// Buckets at most where there are few nodes, and at least where there are many.
const BUCKETS_MAX: usize = 1200;
const BUCKETS_MIN: usize = 60;

/// Steps of an octave of latencies: a percentile is at most 1/32 too large.
const STEPS: u64 = 32;
/// Octaves of microseconds: up to about 19 hours.
const OCTAVES: u64 = 32;

/// What became of an operation, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It happened, this long after it was due or begun.
    Ok(Option<Nanos>),
    /// It surely did not happen.
    Fail,
    /// Nobody knows.
    Info,
    /// A message was received.
    Received,
}

/// The buckets of all nodes.
pub struct Series {
    nodes: Vec<Vec<Bucket>>,
    buckets_max: usize,
    from: Option<Nanos>,
    width: Nanos,
}

#[derive(Debug, Clone, Default)]
struct Bucket {
    ok: u64,
    fail: u64,
    info: u64,
    received: u64,
    latencies: Latencies,
}

/// Counts of latencies in steps that grow with them, as HdrHistogram has them.
#[derive(Debug, Clone, Default)]
struct Latencies {
    counts: Vec<u32>,
    total: u64,
    max: Nanos,
}

/// Everything that is drawn: columns of equal length, of each node and of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Columns {
    /// Where the first bucket begins, seconds of the run.
    pub from_s: f64,
    /// Width of a bucket, seconds.
    pub width_s: f64,
    /// All nodes together.
    pub all: NodeColumns,
    /// In the order of the manifest.
    pub nodes: Vec<NodeColumns>,
}

/// Numbers of each bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeColumns {
    /// Operations that ended so.
    pub ok: Vec<u64>,
    /// Operations that ended so.
    pub fail: Vec<u64>,
    /// Operations that ended so.
    pub info: Vec<u64>,
    /// Messages received.
    pub received: Vec<u64>,
    /// Milliseconds of those that ended `ok`; nothing where none did.
    pub p50: Vec<Option<f64>>,
    /// The same.
    pub p95: Vec<Option<f64>>,
    /// The same.
    pub p99: Vec<Option<f64>>,
    /// The same.
    pub max: Vec<Option<f64>>,
}

impl Series {
    /// Nothing yet.
    pub fn new(nodes: usize) -> Self {
        let buckets_max = CELLS_MAX / BUCKET_CELLS / (nodes + 1);
        Self {
            nodes: vec![Vec::new(); nodes],
            buckets_max: buckets_max.clamp(BUCKETS_MIN, BUCKETS_MAX),
            from: None,
            width: WIDTH_MIN,
        }
    }

    /// Counts what happened at a node.
    pub fn add(&mut self, time: Nanos, node: usize, what: Counted) {
        let from = *self
            .from
            .get_or_insert(time.saturating_sub(time.rem_euclid(WIDTH_MIN)));
        let place = loop {
            let place = time.saturating_sub(from).max(0) / self.width;
            match usize::try_from(place) {
                Ok(place) if place < self.buckets_max => break place,
                _ => self.widen(),
            }
        };
        let Some(buckets) = self.nodes.get_mut(node) else {
            return;
        };
        if buckets.len() <= place {
            buckets.resize(place + 1, Bucket::default());
        }
        buckets[place].count(what);
    }

    /// Merges each two neighbours.
    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        for buckets in &mut self.nodes {
            let pairs = buckets.chunks(2).map(|pair| {
                let mut merged = pair[0].clone();
                pair[1..].iter().for_each(|bucket| merged.merge(bucket));
                merged
            });
            *buckets = pairs.collect();
        }
    }

    /// The columns.
    pub fn columns(&self) -> Columns {
        let length = self.nodes.iter().map(Vec::len).max().unwrap_or(0);
        let mut all = vec![Bucket::default(); length];
        for buckets in &self.nodes {
            for (sum, bucket) in all.iter_mut().zip(buckets) {
                sum.merge(bucket);
            }
        }
        let nodes = self.nodes.iter();
        Columns {
            from_s: self.from.unwrap_or(0) as f64 / 1e9,
            width_s: self.width as f64 / 1e9,
            all: node_columns(&all, length),
            nodes: nodes.map(|buckets| node_columns(buckets, length)).collect(),
        }
    }
}

fn node_columns(buckets: &[Bucket], length: usize) -> NodeColumns {
    let none = Bucket::default();
    let mut columns = NodeColumns::default();
    for place in 0..length {
        let bucket = buckets.get(place).unwrap_or(&none);
        columns.ok.push(bucket.ok);
        columns.fail.push(bucket.fail);
        columns.info.push(bucket.info);
        columns.received.push(bucket.received);
        let latencies = &bucket.latencies;
        columns.p50.push(latencies.percentile(50));
        columns.p95.push(latencies.percentile(95));
        columns.p99.push(latencies.percentile(99));
        let is_some = latencies.total > 0;
        columns
            .max
            .push(is_some.then(|| milliseconds(latencies.max)));
    }
    columns
}

impl Bucket {
    fn count(&mut self, what: Counted) {
        match what {
            Counted::Ok(latency) => {
                self.ok += 1;
                if let Some(latency) = latency {
                    self.latencies.add(latency);
                }
            }
            Counted::Fail => self.fail += 1,
            Counted::Info => self.info += 1,
            Counted::Received => self.received += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.ok += other.ok;
        self.fail += other.fail;
        self.info += other.info;
        self.received += other.received;
        self.latencies.merge(&other.latencies);
    }
}

impl Latencies {
    fn add(&mut self, latency: Nanos) {
        let place = step(latency);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] = self.counts[place].saturating_add(1);
        self.total += 1;
        self.max = self.max.max(latency);
    }

    fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// In milliseconds: the largest of the step in which it lies.
    fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (place, count) in self.counts.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return Some(milliseconds(step_end(place).min(self.max)));
            }
        }
        None
    }
}

/// The step of a latency: microseconds up to [`STEPS`] one by one, then that many to an octave.
fn step(latency: Nanos) -> usize {
    let us = u64::try_from(latency / 1000).unwrap_or(0);
    let us = us.min((1 << (OCTAVES - 1)) - 1);
    let octave = u64::from((us / STEPS).checked_ilog2().map_or(0, |log| log + 1));
    let place = match octave {
        0 => us,
        _ => octave * STEPS + (us >> (octave - 1)) - STEPS,
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The end of a step, not included.
fn step_end(place: usize) -> Nanos {
    let (octave, rest) = (place as u64 / STEPS, place as u64 % STEPS);
    let us = match octave {
        0 => rest + 1,
        _ => (STEPS + rest + 1) << (octave - 1),
    };
    Nanos::try_from(us.saturating_mul(1000)).unwrap_or(Nanos::MAX)
}

/// Rounded to the microsecond.
fn milliseconds(latency: Nanos) -> f64 {
    (latency as f64 / 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_step_holds_its_latency_within_a_32nd() {
        for us in [0, 1, 31, 32, 33, 63, 64, 65, 1000, 31_337, 1 << 30] {
            let place = step(us * 1000);
            let end = step_end(place);
            assert!(end > us * 1000, "{us}");
            assert!(end - us * 1000 <= (us / 32 + 1) * 1000, "{us}: {end}");
            if place > 0 {
                assert!(step_end(place - 1) <= us * 1000, "{us}");
            }
        }
        assert_eq!(step(Nanos::MAX), step((1 << 31) * 1000));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted() {
        let mut series = Series::new(2);
        for ms in 1..=100 {
            series.add(SECOND, ms % 2, Counted::Ok(Some(ms as Nanos * 1_000_000)));
        }
        let columns = series.columns();
        let near = |found: Option<f64>, wanted: f64| {
            let found = found.expect("a latency");
            assert!(
                (wanted..=wanted * 1.04).contains(&found),
                "{found} {wanted}"
            );
        };
        near(columns.all.p50[0], 50.0);
        near(columns.all.p95[0], 95.0);
        near(columns.all.p99[0], 99.0);
        assert_eq!(columns.all.max[0], Some(100.0));
        assert_eq!(columns.nodes[1].max[0], Some(99.0));
        assert_eq!(columns.nodes[1].ok, [50]);
    }

    #[test]
    fn a_long_run_has_fewer_and_wider_buckets_and_loses_no_count() {
        let mut series = Series::new(5);
        let day = 86_400;
        for second in 0..day {
            series.add((100 + second) * SECOND, 3, Counted::Fail);
        }
        let columns = series.columns();
        assert!(columns.all.fail.len() <= BUCKETS_MAX);
        assert_eq!(columns.width_s, 128.0);
        assert_eq!(columns.from_s, 100.0);
        assert_eq!(columns.all.fail.iter().sum::<u64>(), day as u64);
        assert_eq!(columns.all.fail[0], 128);
        assert_eq!(columns.nodes[3], columns.all);
        assert_eq!(columns.all.p50[0], None);
    }

    #[test]
    fn times_that_no_run_has_do_no_harm() {
        let mut series = Series::new(1);
        series.add(5 * SECOND, 0, Counted::Info);
        series.add(Nanos::MIN, 0, Counted::Info);
        series.add(Nanos::MAX, 0, Counted::Ok(Some(Nanos::MIN)));
        series.add(0, 7, Counted::Info);
        let columns = series.columns();
        assert_eq!(columns.all.info[0], 2);
        assert_eq!(columns.all.ok.iter().sum::<u64>(), 1);
    }
}
