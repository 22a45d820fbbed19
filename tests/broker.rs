//! The workload and the drain against real brokers, one on each host of a lab.
//!
//! The scenarios mostly wait, so they run in lanes of about the same length, one lane to a host, in one test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "broker/bench.rs"]
mod bench;
#[path = "broker/defects.rs"]
mod defects;
#[path = "broker/failures.rs"]
mod failures;
#[path = "support/lab.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod lab;
#[path = "broker/load_and_drain.rs"]
mod load_and_drain;
#[path = "broker/proxy.rs"]
mod proxy;
#[path = "broker/reading.rs"]
mod reading;
#[path = "broker/returns.rs"]
mod returns;

use std::future::Future;
use std::pin::Pin;

use bench::Broker;
use tokio::task::JoinSet;

const LAB: &[&str] = &["JTEST_TEST_LAB"];

type Scenario = (
    &'static str,
    fn(Broker) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

macro_rules! lane {
    ($($scenario:path),+ $(,)?) => {
        vec![$((stringify!($scenario), |broker| Box::pin($scenario(broker)))),+]
    };
}

fn lanes() -> Vec<Vec<Scenario>> {
    vec![
        lane![
            defects::a_clean_pass_is_valid,
            defects::what_a_broker_must_not_drop_or_add_is_found,
            failures::a_drain_survives_closed_connections,
        ],
        lane![
            failures::a_frozen_broker_makes_confirms_time_out,
            failures::a_dropped_load_leaves_no_attempt_open,
            failures::a_producer_that_may_not_log_in_gives_up,
            returns::every_completion_is_right_whatever_the_pairing,
            failures::a_killed_broker_loses_the_connection_and_nothing_confirmed,
        ],
        lane![
            load_and_drain::what_is_confirmed_is_received_once,
            load_and_drain::what_no_queue_takes_fails_and_is_sent_again,
            load_and_drain::an_open_loop_keeps_its_rate_and_ends_with_its_duration,
            load_and_drain::a_stop_ends_the_load_and_waits_for_its_confirms,
            load_and_drain::a_node_that_does_not_answer_leaves_the_drain_incomplete,
            failures::a_frozen_broker_is_noticed_by_its_heartbeat,
            failures::foreign_messages_are_seen_as_such,
            reading::what_consumers_acknowledge_does_not_come_again,
            failures::closed_connections_are_new_processes,
        ],
        lane![defects::what_a_broker_may_do_is_no_defect],
        lane![
            failures::a_paused_broker_refuses_until_it_is_back,
            failures::a_broker_that_blocks_publishers_makes_confirms_time_out,
            failures::a_publish_that_cannot_be_written_times_out_as_well,
            defects::what_a_broker_must_not_change_or_refuse_is_found,
        ],
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a lab"]
async fn the_workload_on_real_brokers() {
    if bench::ran_inside_the_lab() {
        return;
    }
    let brokers = bench::brokers().await;
    let mut running = JoinSet::new();
    for (lane, broker) in lanes().into_iter().zip(brokers.clone()) {
        running.spawn(async move {
            let mut failed = Vec::new();
            for (name, scenario) in lane {
                let begun = std::time::Instant::now();
                let ended = tokio::spawn(scenario(broker.clone())).await;
                eprintln!("{name}: {ended:?} after {:?}", begun.elapsed());
                failed.extend(ended.is_err().then_some(name));
            }
            failed
        });
    }
    let failed = running.join_all().await.concat();
    assert_eq!(failed, Vec::<&str>::new());
    load_and_drain::separate_brokers_are_drained_each_through_itself(brokers).await;
    failures::assert_no_thread_stays().await;
}
