//! Confirmed publishes against one real broker: by a producer of the workload, and by a bare loop of the AMQP library
//! with the same window, which records nothing and checks nothing. Both take turns in one run.
//!
//! Where `JTEST_BENCH_PIKA` names a Python that has pika, the same loop of it is timed as well, for the processor
//! time that a client needs.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it must be"
)]

#[path = "../tests/broker/bench.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod bench;
#[path = "../tests/support/lab.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod lab;

use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

use bench::Broker;
use jtest::scenario::Amount;
use jtest::workload::amqp::Link;
use jtest::workload::load;
use lapin::BasicProperties;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};

/// Where the broker is.
const LAB: &[&str] = &["JTEST_TEST_LAB"];
const ROUNDS: usize = 5;
const MESSAGES: u64 = 40_000;
const MESSAGES_OF_PIKA: u64 = 5_000;
const BODY_BYTES: u32 = 128;
/// Of the kernel's, wherever Linux runs on PCs.
const TICKS_A_SECOND: f64 = 100.0;
const QUEUE: &str = "bench";

/// How long it took, and the processor time of the client.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu: f64,
}

/// User and system time of this process so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = fields[11..=12]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

async fn make_queue(broker: &Broker, kind: &str) {
    let link = Link::open(&broker.endpoint(), &bench::credentials(), "bench")
        .await
        .unwrap();
    let channel = link.channel();
    let delete = channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default());
    delete.await.unwrap();
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    channel
        .queue_declare(QUEUE.into(), durable, arguments)
        .await
        .unwrap();
    link.close().await;
}

async fn by_jtest(broker: &Broker, kind: &str, window: u32) -> Cost {
    let mut workload = bench::workload(Amount::Messages(MESSAGES), window);
    workload.body_bytes = BODY_BYTES;
    let bench = bench::bench(QUEUE, std::slice::from_ref(broker), workload).await;
    make_queue(broker, kind).await;
    let (begun, before) = (Instant::now(), cpu());
    let summary = load::run(bench.load).await;
    let cost = Cost {
        seconds: begun.elapsed().as_secs_f64(),
        cpu: cpu() - before,
    };
    assert_eq!(summary.clients[0].counts.ok, MESSAGES);
    cost
}

async fn by_lapin(broker: &Broker, kind: &str, window: u32) -> Cost {
    make_queue(broker, kind).await;
    let link = Link::open(&broker.endpoint(), &bench::credentials(), "bare")
        .await
        .unwrap();
    let channel = link.channel();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let body = vec![7; BODY_BYTES as usize];
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let (begun, before) = (Instant::now(), cpu());
    let mut open = VecDeque::new();
    for _ in 0..MESSAGES {
        if open.len() == window as usize {
            let confirm: lapin::PublisherConfirm = open.pop_front().unwrap();
            assert!(confirm.await.unwrap().is_ack());
        }
        let properties = BasicProperties::default().with_delivery_mode(2);
        let publishing =
            channel.basic_publish("".into(), QUEUE.into(), mandatory, &body, properties);
        open.push_back(publishing.await.unwrap());
    }
    for confirm in open {
        assert!(confirm.await.unwrap().is_ack());
    }
    let cost = Cost {
        seconds: begun.elapsed().as_secs_f64(),
        cpu: cpu() - before,
    };
    link.close().await;
    cost
}

/// Its asynchronous connection; the blocking one awaits one confirm after the other.
const PIKA: &str = r#"
import sys, time, resource, pika
host, queue, count, window = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
state = dict(sent=0, acked=0)
body = b"x" * 128
persistent = pika.BasicProperties(delivery_mode=2)
def fill(channel):
    while state["sent"] < count and state["sent"] - state["acked"] < window:
        channel.basic_publish("", queue, body, persistent, mandatory=True)
        state["sent"] += 1
def confirmed(frame):
    method = frame.method
    state["acked"] = max(state["acked"], method.delivery_tag) if method.multiple else state["acked"] + 1
    if state["acked"] >= count: connection.close()
    else: fill(state["channel"])
def opened(channel):
    state["channel"] = channel
    channel.confirm_delivery(confirmed, callback=lambda _: fill(channel))
connection = pika.SelectConnection(
    pika.ConnectionParameters(host, credentials=pika.PlainCredentials("jtest", "jtest")),
    on_open_callback=lambda connection: connection.channel(on_open_callback=opened),
    on_close_callback=lambda connection, reason: connection.ioloop.stop())
before = resource.getrusage(resource.RUSAGE_SELF)
begun = time.time()
connection.ioloop.start()
after = resource.getrusage(resource.RUSAGE_SELF)
print(time.time() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"#;

async fn by_pika(python: &str, broker: &Broker, kind: &str, window: u32) -> Cost {
    make_queue(broker, kind).await;
    let mut command = Command::new("timeout");
    command.args(["120", python, "-c", PIKA, &broker.endpoint().address, QUEUE]);
    command.args([MESSAGES_OF_PIKA.to_string(), window.to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text
        .split_whitespace()
        .map(|number| number.parse::<f64>().unwrap());
    Cost {
        seconds: numbers.next().unwrap(),
        cpu: numbers.next().unwrap(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn per_message(costs: &[Cost], messages: u64) -> (f64, f64) {
    let rate = median(
        costs
            .iter()
            .map(|cost| messages as f64 / cost.seconds)
            .collect(),
    );
    let cpu = median(
        costs
            .iter()
            .map(|cost| cost.cpu * 1e6 / messages as f64)
            .collect(),
    );
    (rate, cpu)
}

#[tokio::main]
async fn main() {
    if bench::ran_inside_the_lab() {
        return;
    }
    let brokers = bench::brokers().await;
    let broker = &brokers[0];
    let pika = std::env::var("JTEST_BENCH_PIKA").ok();
    for kind in ["classic", "quorum"] {
        for window in [500, 5000] {
            let (mut ours, mut bare) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(by_jtest(broker, kind, window).await);
                bare.push(by_lapin(broker, kind, window).await);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let ratios = ours
                .iter()
                .zip(&bare)
                .map(|(ours, bare)| bare.seconds / ours.seconds);
            let cpu_ratios = ours
                .iter()
                .zip(&bare)
                .map(|(ours, bare)| ours.cpu / bare.cpu);
            let (rate, cpu) = per_message(&ours, MESSAGES);
            let (bare_rate, bare_cpu) = per_message(&bare, MESSAGES);
            println!(
                "{kind}, window {window}: {rate:.0} confirmed a second, {cpu:.1} us of processor time each; \
                 a bare loop {bare_rate:.0}, {bare_cpu:.1} us; rate {:.2} x, processor time {:.2} x",
                median(ratios.collect()),
                median(cpu_ratios.collect())
            );
            if let Some(python) = &pika {
                let cost = by_pika(python, broker, kind, window).await;
                let (rate, pika_cpu) = per_message(&[cost], MESSAGES_OF_PIKA);
                println!(
                    "  pika {rate:.0}, {pika_cpu:.1} us; processor time {:.2} x pika's",
                    cpu / pika_cpu
                );
            }
        }
    }
}
