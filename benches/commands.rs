//! One trivial command on all five hosts: by jtest, and by five `ssh` over connections that are open already.
//!
//! Needs the local lab. Both ways take turns in one run.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it must be"
)]

#[path = "../tests/support/lab.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod lab;
#[path = "support/ssh.rs"]
mod ssh;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jtest::remote::Script;
use lab::Lab;
use ssh::Ssh;

const LAB: &[&str] = &["JTEST_TEST_LAB"];
const ROUNDS: usize = 200;
/// What is aimed at: jtest takes at most so many times what `ssh` takes.
const RATIO_MAX: f64 = 0.5;

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let lab = Lab::connect().await;
    let hosts = lab.hosts();
    let ssh = Ssh::connect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let script = Script::new("do nothing", "date +%s%N").deadline(Duration::from_secs(30));
        for said in join_all(hosts.iter().map(|host| host.run(&script))).await {
            said.unwrap();
        }
        ours.push(begun.elapsed());
        let begun = Instant::now();
        ssh.all(|_| "true".to_owned());
        theirs.push(begun.elapsed());
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "{ROUNDS} times a trivial command on five hosts, median: jtest {:.1} ms, ssh {:.1} ms; {ratio:.2} x",
        ours.as_secs_f64() * 1e3,
        theirs.as_secs_f64() * 1e3
    );
    if ratio > RATIO_MAX {
        println!("over what is aimed at, {RATIO_MAX} x");
        std::process::exit(1);
    }
}
