//! Brokers that freeze, die, refuse or hang up: every attempt has its one right completion,
//! nothing that was confirmed is lost, deadlines are kept, no thread of a dead connection stays.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jtest::history::operation::{Action, Cause, Phase};
use jtest::inventory::Secret;
use jtest::scenario::{Amount, Workload};
use jtest::workload::load::LoadSummary;
use jtest::workload::{drain, queue};
use tokio::task::JoinHandle;

use crate::bench::{Bench, Broker, Memory, bench, workload};

struct Running {
    memory: Arc<Memory>,
    stop: tokio::sync::watch::Sender<bool>,
    load: JoinHandle<LoadSummary>,
    drain: drain::DrainContext,
    broker: Broker,
}

/// A load without end on the first broker.
async fn running(broker: Broker, queue: &str, window: u32, confirm_timeout: Duration) -> Running {
    running_with(
        broker,
        queue,
        workload(Amount::Schedule, window),
        confirm_timeout,
    )
    .await
}

async fn running_with(
    broker: Broker,
    queue: &str,
    mut workload: Workload,
    confirm_timeout: Duration,
) -> Running {
    workload.confirm_timeout = confirm_timeout;
    workload.resends = 1;
    let Bench {
        memory,
        load,
        drain,
        stop,
    } = bench(queue, slice::from_ref(&broker), workload).await;
    let load = tokio::spawn(queue::run(load));
    Running {
        memory,
        stop,
        load,
        drain,
        broker,
    }
}

const STATE: &str = "
    systemctl status --no-pager --lines 20 rabbitmq-server
    rabbitmqctl -q list_queues name state messages 2>&1
    tail -n 40 /var/log/rabbitmq/rabbit@*.log
    true";

impl Running {
    /// Waits until so many more attempts were confirmed.
    async fn more_oks(&self, count: usize) {
        let before = self.memory.publishes(Phase::Ok).len();
        self.until(120, || {
            self.memory.publishes(Phase::Ok).len() >= before + count
        })
        .await;
    }

    async fn until(&self, seconds: u64, condition: impl Fn() -> bool) {
        let begin = Instant::now();
        while !condition() {
            if begin.elapsed() > Duration::from_secs(seconds) {
                self.too_late().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// With what tells why.
    async fn too_late(&self) -> ! {
        let counts = [Phase::Invoke, Phase::Ok, Phase::Fail, Phase::Info]
            .map(|phase| (phase, self.memory.publishes(phase).len()));
        let state = self.broker.shell(STATE).await;
        panic!(
            "too late: {counts:?}, the load ended: {}\n{state}",
            self.load.is_finished()
        );
    }

    fn infos(&self, cause: Cause) -> usize {
        let infos = self.memory.publishes(Phase::Info);
        infos.iter().filter(|entry| entry.cause == cause).count()
    }

    /// Stops the load, drains and checks; gives the summary.
    async fn finish(self) -> LoadSummary {
        self.stop.send(true).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), self.load).await;
        let summary = ended.unwrap().unwrap();
        assert_eq!(summary.errors, Vec::<String>::new());
        self.memory.assert_sound();
        self.memory.assert_told();
        assert_eq!(self.memory.publishes(Phase::Fail), []);
        let queue = self.drain.queues[0].1.clone();
        let proof = drain::run(self.drain, || self.broker.counts(&queue)).await;
        assert!(proof.complete, "{proof:?}");
        assert_eq!(self.memory.lost(), []);
        summary
    }
}

pub async fn assert_no_thread_stays() {
    let begin = Instant::now();
    while io_threads() > 0 {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{} threads",
            io_threads()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn io_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin")).count()
}

pub async fn a_frozen_broker_makes_confirms_time_out(broker: Broker) {
    let running = running(broker, "frozen", 50, Duration::from_secs(3)).await;
    running.more_oks(200).await;
    running
        .broker
        .shell("systemctl kill -s STOP rabbitmq-server")
        .await;
    running
        .until(10, || running.infos(Cause::ConfirmTimeout) > 0)
        .await;
    tokio::time::sleep(Duration::from_secs(13)).await;
    running
        .broker
        .shell("systemctl kill -s CONT rabbitmq-server")
        .await;
    running.more_oks(200).await;
    assert!(running.infos(Cause::ConfirmTimeout) + running.infos(Cause::ConnectionLost) <= 50);
    let memory = Arc::clone(&running.memory);
    running.finish().await;
    let notes = memory.notes.lock().unwrap().join("\n");
    assert!(notes.contains("no confirm within 3 s"), "{notes}");
    assert!(notes.contains("within 10 s"), "{notes}");
}

pub async fn a_frozen_broker_is_noticed_by_its_heartbeat(broker: Broker) {
    let running = running(broker, "silent", 50, Duration::from_secs(60)).await;
    running.more_oks(200).await;
    running
        .broker
        .shell("systemctl kill -s STOP rabbitmq-server")
        .await;
    running
        .until(20, || running.infos(Cause::ConnectionLost) > 0)
        .await;
    running
        .broker
        .shell("systemctl kill -s CONT rabbitmq-server")
        .await;
    running.more_oks(200).await;
    assert_eq!(running.infos(Cause::ConfirmTimeout), 0);
    running.finish().await;
}

pub async fn a_publish_that_cannot_be_written_times_out_as_well(broker: Broker) {
    let mut large = workload(Amount::Schedule, 1_000);
    large.body_bytes = 200_000;
    let running = running_with(broker, "clogged", large, Duration::from_secs(3)).await;
    running.more_oks(50).await;
    running
        .broker
        .shell("systemctl kill -s STOP rabbitmq-server")
        .await;
    running
        .until(10, || running.infos(Cause::ConfirmTimeout) > 0)
        .await;
    running
        .broker
        .shell("systemctl kill -s CONT rabbitmq-server")
        .await;
    running.more_oks(50).await;
    running.finish().await;
}

pub async fn a_broker_that_blocks_publishers_makes_confirms_time_out(broker: Broker) {
    let running = running(broker, "blocked", 50, Duration::from_secs(3)).await;
    running.more_oks(200).await;
    running
        .broker
        .shell("rabbitmqctl -q set_vm_memory_high_watermark 0")
        .await;
    running
        .until(20, || running.infos(Cause::ConfirmTimeout) > 0)
        .await;
    running
        .broker
        .shell("rabbitmqctl -q set_vm_memory_high_watermark 0.4")
        .await;
    running.more_oks(200).await;
    running.finish().await;
}

pub async fn a_killed_broker_loses_the_connection_and_nothing_confirmed(broker: Broker) {
    let running = running(broker, "killed", 200, Duration::from_secs(10)).await;
    running.more_oks(1_000).await;
    // The broker confirms a queue that it writes to disk up to two seconds later.
    running
        .broker
        .shell("rabbitmqctl -q eval 'mnesia:sync_log().'")
        .await;
    running
        .broker
        .shell("systemctl kill -s KILL rabbitmq-server")
        .await;
    running
        .until(5, || running.infos(Cause::ConnectionLost) > 0)
        .await;
    running.more_oks(200).await;
    let summary = running.finish().await;
    assert_eq!(summary.clients[0].connections, 2);
}

pub async fn a_paused_broker_refuses_until_it_is_back(broker: Broker) {
    let running = running(broker, "paused", 50, Duration::from_secs(10)).await;
    running.more_oks(200).await;
    running.broker.shell("rabbitmqctl -q stop_app").await;
    running
        .until(5, || running.infos(Cause::ConnectionLost) > 0)
        .await;
    let attempts = running.memory.publishes(Phase::Invoke).len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(running.memory.publishes(Phase::Invoke).len(), attempts);
    running.broker.shell("rabbitmqctl -q start_app").await;
    running.more_oks(200).await;
    running.finish().await;
}

pub async fn closed_connections_are_new_processes(broker: Broker) {
    let running = running(broker, "closed", 500, Duration::from_secs(10)).await;
    for _ in 0..2 {
        running.more_oks(1_000).await;
        running
            .broker
            .shell("rabbitmqctl -q close_all_connections test")
            .await;
    }
    running.more_oks(1_000).await;
    let memory = Arc::clone(&running.memory);
    let summary = running.finish().await;
    assert_eq!(summary.clients[0].connections, 3);
    let mut processes: Vec<u32> = memory
        .publishes(Phase::Invoke)
        .iter()
        .map(|entry| entry.process)
        .collect();
    processes.dedup();
    assert_eq!(processes, [0, 1, 2]);
    let resent = memory
        .publishes(Phase::Invoke)
        .iter()
        .filter(|entry| entry.attempt == 1)
        .count();
    assert!(resent > 0);
}

pub async fn a_dropped_load_leaves_no_attempt_open(broker: Broker) {
    let running = running(broker, "dropped", 100, Duration::from_secs(10)).await;
    running.more_oks(200).await;
    running.load.abort();
    running.until(5, || running.load.is_finished()).await;
    running
        .until(5, || {
            running.memory.publishes(Phase::Invoke).len()
                == [Phase::Ok, Phase::Info]
                    .iter()
                    .map(|phase| running.memory.publishes(*phase).len())
                    .sum::<usize>()
        })
        .await;
    running.memory.assert_sound();
}

pub async fn a_producer_that_may_not_log_in_gives_up(broker: Broker) {
    let mut workload = workload(Amount::Messages(10), 1);
    workload.reconnects = 2;
    let mut bench = bench("refused", slice::from_ref(&broker), workload).await;
    bench.load.credentials.password = Secret::new("wrong");
    let summary = queue::run(bench.load).await;
    let gave_up = summary.clients[0].gave_up.as_deref().unwrap();
    assert!(
        gave_up.contains("2 reconnects did not suffice"),
        "{gave_up}"
    );
    assert_eq!(bench.memory.of(Action::Publish), []);
}

pub async fn a_drain_survives_closed_connections(broker: Broker) {
    let bench = bench(
        "interrupted",
        slice::from_ref(&broker),
        workload(Amount::Messages(40_000), 500),
    )
    .await;
    queue::run(bench.load).await;
    let memory = Arc::clone(&bench.memory);
    let asked = broker.clone();
    let draining =
        tokio::spawn(async move { drain::run(bench.drain, || asked.counts("interrupted")).await });
    while memory.of(Action::Drain).len() < 1_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    broker
        .shell("rabbitmqctl -q close_all_connections test")
        .await;
    let proof = draining.await.unwrap();
    assert!(proof.complete, "{proof:?}");
    assert_eq!(memory.received().len(), 40_000);
    let again = memory.of(Action::Drain).len() - 40_000;
    let redelivered = memory
        .of(Action::Drain)
        .iter()
        .filter(|entry| entry.redelivered)
        .count();
    eprintln!("{again} received again, {redelivered} marked redelivered; {proof:?}");
    assert!(again <= redelivered);
}

pub async fn foreign_messages_are_seen_as_such(broker: Broker) {
    let mut bench = bench(
        "foreign",
        slice::from_ref(&broker),
        workload(Amount::Messages(3), 1),
    )
    .await;
    queue::run(bench.load).await;
    bench.drain.run_id = "another run".to_owned();
    let proof = drain::run(bench.drain, || broker.counts("foreign")).await;
    assert!(proof.complete, "{proof:?}");
    let causes: Vec<Cause> = bench
        .memory
        .of(Action::Drain)
        .iter()
        .map(|entry| entry.cause)
        .collect();
    assert_eq!(causes, [Cause::Foreign; 3]);
}
