//! How fast the checkers and the recorder are, each beside what it cannot do without: reading the file, sorting,
//! or making the entries.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it must be"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use jtest::check::Verdict;
use jtest::check::duplicates::Receipts;
use jtest::check::linear::fifo::{Item, Span, violations};
use jtest::check::linear::mutex::{Hold, overlaps};
use jtest::check::order::Orders;
use jtest::check::table::{Check, Known, Seen};
use jtest::check::total_queue::Tally;
use jtest::history::operation::{Entry, Nanos};
use jtest::history::reader::Reader;
use jtest::history::recorder::Recorder;
use jtest::inventory::NodeName;
use jtest::synth::{Shape, Synth};

/// Of the history that is read: publishes, and receipts; unless `JTEST_BENCH_OPERATIONS` says how many.
const HISTORY: u64 = 10_000_000;
const OPERATIONS: usize = 1_000_000;
const ROUNDS: usize = 5;

fn history() -> u64 {
    let told = std::env::var("JTEST_BENCH_OPERATIONS").ok();
    told.map_or(HISTORY, |told| told.parse().unwrap())
}

/// The fastest of some rounds: what disturbs only makes slower.
fn fastest(mut work: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    rounds.min().unwrap()
}

/// Records what synthetic clients do, as a run does; how long that took.
fn record(path: &Path) -> Duration {
    let nodes: Vec<NodeName> = (1..=5).map(|n| NodeName(format!("n{n}"))).collect();
    let synth = Synth {
        shape: Shape::Queue,
        operations: history(),
        defect: None,
        seed: 1,
    };
    let begun = Instant::now();
    let (recorder, guard) = Recorder::create(path, &nodes, "bench").unwrap();
    synth.entries(&mut |entry| recorder.record(entry));
    guard.finish().unwrap();
    begun.elapsed()
}

fn each_entry(path: &Path, mut take: impl FnMut(&Entry)) {
    let mut reader = Reader::open(path).unwrap();
    while let Some(batch) = reader.next_batch().unwrap() {
        batch.entries().for_each(|entry| take(&entry));
    }
}

fn recording(path: &Path) {
    let generating = fastest(|| {
        let synth = Synth {
            shape: Shape::Queue,
            operations: history(),
            defect: None,
            seed: 1,
        };
        synth.entries(&mut |entry| {
            black_box(&entry);
        });
    });
    let took = record(path);
    tell(
        "generate, record and flush, no broker",
        history(),
        took,
        "generating alone",
        generating,
    );
    let bytes = std::fs::metadata(path).unwrap().len();
    println!(
        "  {:.1} bytes an operation in the file",
        bytes as f64 / history() as f64
    );
}

fn from_the_file(path: &Path) {
    let reading = fastest(|| {
        each_entry(path, |entry| {
            black_box(entry);
        });
    });
    let checking = fastest(|| {
        let mut tally = Tally::default();
        each_entry(path, |entry| tally.add(entry).unwrap());
        assert!(tally.sums(&[]).confirmed > 0);
    });
    let told = |what, checking| tell(what, history(), checking, "reading alone", reading);
    told("total-queue, from the file", checking);
    told("duplicates, from the file", check::<Receipts>(path));
    println!("  peak memory so far {} MB", peak_mb());
    told("order, from the file", check::<Orders>(path));
    println!("  peak memory so far {} MB", peak_mb());
}

fn check<C: Check>(path: &Path) -> Duration {
    let yaml = "name: bench\nworkload: {kind: order, amount: 1m}\n";
    let (scenario, _warnings) = jtest::scenario::parse("bench", yaml, &[]).unwrap();
    let known = Known {
        scenario: &scenario,
        nodes: &[],
        faults: &[],
        events: &[],
    };
    fastest(|| {
        let mut check = C::begin(&known);
        each_entry(path, |entry| check.add(entry));
        let finding = check.finding(&Seen {
            known,
            is_complete: true,
        });
        assert_ne!(finding.verdict, Verdict::Invalid, "{}", finding.summary);
    })
}

fn fifo() {
    let count = OPERATIONS / 2;
    let items: Vec<Item> = (0..count as Nanos)
        .map(|n| {
            let span = |from| Span {
                from,
                until: from + 40,
            };
            let mut item = Item::new(span(10 * n));
            item.deliver(span(10 * n + 500), false);
            item
        })
        .collect();
    let keys: Vec<Nanos> = items.iter().map(|item| item.enqueue.until).collect();
    let sorting = fastest(|| {
        let mut keys = shuffled(&keys);
        keys.sort_unstable();
        black_box(&keys);
    });
    let items = shuffled(&items);
    let checking = fastest(|| assert!(violations(&items, &[], &[]).is_empty()));
    tell(
        "fifo, without reading",
        OPERATIONS as u64,
        checking,
        "sorting its times once",
        sorting,
    );
}

fn lock() {
    let holds: Vec<Hold> = (0..OPERATIONS as Nanos / 2)
        .map(|n| Hold {
            process: 0,
            from: 10 * n,
            until: 10 * n + 10,
        })
        .collect();
    let times: Vec<Nanos> = holds.iter().map(|hold| hold.from).collect();
    let sorting = fastest(|| {
        let mut times = shuffled(&times);
        times.sort_unstable();
        black_box(&times);
    });
    let holds = shuffled(&holds);
    let checking = fastest(|| assert!(overlaps(&mut holds.clone()).is_empty()));
    tell(
        "lock, without reading",
        OPERATIONS as u64,
        checking,
        "sorting its times once",
        sorting,
    );
}

/// In an order that sorting has to work for, the same each time.
fn shuffled<T: Copy>(items: &[T]) -> Vec<T> {
    let step = 7_368_787 % items.len();
    (0..items.len())
        .map(|at| items[at * step % items.len()])
        .collect()
}

fn tell(what: &str, operations: u64, took: Duration, reference: &str, beside: Duration) {
    let seconds = took.as_secs_f64();
    println!(
        "{what}: {operations} in {seconds:.3} s, {:.1} M/s; {:.2} x {reference} ({:.3} s)",
        operations as f64 / seconds / 1e6,
        seconds / beside.as_secs_f64(),
        beside.as_secs_f64()
    );
}

/// The most memory that this process ever had.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kb / 1024
}

fn main() {
    fifo();
    println!(
        "  peak memory so far {} MB, the history itself included",
        peak_mb()
    );
    lock();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.arrow");
    recording(&path);
    from_the_file(&path);
}
