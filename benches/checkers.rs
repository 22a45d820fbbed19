//! How fast the checkers are, each beside what it cannot do without: reading the file, or sorting.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it must be"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use jtest::check::linear::fifo::{Item, Span, violations};
use jtest::check::linear::mutex::{Hold, overlaps};
use jtest::check::total_queue::Tally;
use jtest::history::operation::{Action, Cause, Entry, Nanos, Phase};
use jtest::history::reader::Reader;
use jtest::history::recorder::Recorder;
use jtest::inventory::NodeName;

const MESSAGES: u64 = 2_000_000;
const PRODUCERS: u64 = 5;
const OPERATIONS: usize = 1_000_000;
const ROUNDS: usize = 5;

/// The fastest of some rounds: what disturbs only makes slower.
fn fastest(mut work: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    rounds.min().unwrap()
}

fn entry(time: Nanos, phase: Phase, action: Action, producer: u64, sequence: u64) -> Entry {
    Entry {
        time,
        process: producer as u32,
        node: producer as u16,
        phase,
        action,
        producer: producer as u32,
        sequence,
        attempt: 0,
        cause: Cause::None,
        ..Entry::default()
    }
}

/// Every message published, confirmed and drained.
fn write(path: &Path) -> u64 {
    let nodes: Vec<NodeName> = (1..=PRODUCERS).map(|n| NodeName(format!("n{n}"))).collect();
    let (recorder, guard) = Recorder::create(path, &nodes, "bench").unwrap();
    let mut time = 0;
    let mut record = |phase, action, message: u64| {
        time += 1_000;
        let (producer, sequence) = (message % PRODUCERS, message / PRODUCERS);
        recorder.record(entry(time, phase, action, producer, sequence));
    };
    for message in 0..MESSAGES {
        record(Phase::Invoke, Action::Publish, message);
        if message >= 100 {
            record(Phase::Ok, Action::Publish, message - 100);
        }
    }
    for message in 0..MESSAGES {
        record(Phase::Ok, Action::Drain, message);
    }
    guard.finish().unwrap()
}

fn each_entry(path: &Path, mut take: impl FnMut(&Entry)) {
    let mut reader = Reader::open(path).unwrap();
    while let Some(batch) = reader.next_batch().unwrap() {
        batch.entries().for_each(|entry| take(&entry));
    }
}

fn total_queue() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.arrow");
    let entries = write(&path);
    let bytes = std::fs::metadata(&path).unwrap().len();
    let reading = fastest(|| {
        each_entry(&path, |entry| {
            black_box(entry);
        });
    });
    let checking = fastest(|| {
        let mut tally = Tally::default();
        each_entry(&path, |entry| tally.add(entry).unwrap());
        let sums = tally.sums(&[]);
        assert_eq!(sums.received, MESSAGES);
    });
    tell(
        "total-queue, from the file",
        entries,
        checking,
        "reading alone",
        reading,
    );
    println!(
        "  {:.1} bytes an entry in the file",
        bytes as f64 / entries as f64
    );
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
    total_queue();
    println!("peak memory {} MB", peak_mb());
}
