//! How far apart in time five nodes are cut, and healed: by jtest, and by five `ssh` commands.
//!
//! Needs the local lab, whose hosts share one clock, so that what is measured is true. Both ways
//! take turns in one run: compare them with each other, not with another machine's figures.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it must be"
)]

#[path = "../tests/support/lab.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod lab;
#[path = "support/ssh.rs"]
mod ssh;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jtest::clock::RunClock;
use jtest::fault::hold::{HEAL_DEADLINE, Hold};
use jtest::fault::{self, ClockOffset, Field};
use jtest::inventory::NodeName;
use jtest::schedule::{Groups, PlannedFault};
use lab::{Events, Lab};
use ssh::Ssh;

const LAB: &[&str] = &["JTEST_TEST_LAB"];
const ROUNDS_DEFAULT: usize = 200;
/// What is aimed at, last node minus first.
const MEDIAN_US_MAX: u64 = 1000;
const P99_US_MAX: u64 = 5000;

fn field(hold: &Hold) -> Field {
    let shared = ClockOffset {
        offset_us: 0,
        error_us: 0,
    };
    let offsets = hold
        .targets()
        .iter()
        .map(|target| (target.name.clone(), shared));
    Field {
        targets: Arc::clone(hold.targets()),
        control: hold.control().to_vec(),
        run_id: hold.run_id().to_owned(),
        lease: hold.lease(),
        peer_port: 25672,
        queue: String::new(),
        away: hold.away().clone(),
        heal_deadline: HEAL_DEADLINE,
        clock: RunClock::start(),
        offsets: offsets.collect(),
    }
}

/// The same cut by `ssh`: a rule for each peer.
trait Cuts {
    fn cut(&self) -> u64;
    fn heal(&self) -> u64;
}

impl Cuts for Ssh {
    fn cut(&self) -> u64 {
        self.all(|n| {
            let peers: &[usize] = if n <= 2 { &[3, 4, 5] } else { &[1, 2] };
            let rules = peers.iter().map(|peer| {
                format!("iptables -w -A INPUT -s 10.77.0.1{peer} -j DROP; iptables -w -A OUTPUT -d 10.77.0.1{peer} -j DROP")
            });
            rules.collect::<Vec<_>>().join("; ")
        })
    }

    fn heal(&self) -> u64 {
        self.all(|_| "iptables -w -F".to_owned())
    }
}

fn percentile(sorted: &[u64], share: f64) -> u64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted[index.clamp(1, sorted.len()) - 1]
}

#[tokio::main]
async fn main() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let rounds = std::env::var("JTEST_BENCH_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS_DEFAULT, |rounds| rounds.parse().unwrap());
    let events = Arc::new(Events::default());
    let ssh = Ssh::connect();
    let mut measured: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let hold = lab
        .acquire("bench", Duration::from_secs(60), events)
        .await
        .unwrap();
    let field = field(&hold);
    let name = |n: &usize| NodeName(format!("n{n}"));
    let groups = [[1, 2].as_slice(), &[3, 4, 5]].map(|group| group.iter().map(name).collect());
    let planned = PlannedFault::partition(Groups::Named(groups.to_vec()));
    for round in 0..rounds {
        let mut cut = fault::plan(&planned, &format!("b{round}"), &field, None).unwrap();
        let injected = cut.inject().await.unwrap();
        measured
            .entry("cut, jtest")
            .or_default()
            .push(injected.spread_us.unwrap());
        let healed = cut.heal().await.unwrap();
        let said = healed.proof.evidence.iter().find_map(|line| {
            line.strip_prefix("the nodes were healed within ")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        });
        measured
            .entry("heal, jtest")
            .or_default()
            .push(said.unwrap());
        measured.entry("cut, ssh").or_default().push(ssh.cut());
        measured.entry("heal, ssh").or_default().push(ssh.heal());
    }
    hold.release().await;
    println!("{rounds} cuts of five nodes; last node minus first, in microseconds");
    println!("{:12}  {:>8}  {:>8}  {:>8}", "", "median", "p99", "max");
    for (what, spreads) in &mut measured {
        spreads.sort_unstable();
        println!(
            "{what:12}  {:>8}  {:>8}  {:>8}",
            percentile(spreads, 0.5),
            percentile(spreads, 0.99),
            spreads[spreads.len() - 1]
        );
    }
    let mut is_over = false;
    for what in ["cut", "heal"] {
        let spread = |how: &str, share| percentile(&measured[&*format!("{what}, {how}")], share);
        let (median, p99) = (spread("jtest", 0.5), spread("jtest", 0.99));
        println!(
            "{what}: jtest / ssh = {:.3} at the median",
            median as f64 / spread("ssh", 0.5) as f64
        );
        if median > MEDIAN_US_MAX || p99 > P99_US_MAX {
            println!(
                "{what}: over what is aimed at, {MEDIAN_US_MAX} at the median and {P99_US_MAX} at the 99th percentile"
            );
            is_over = true;
        }
    }
    if is_over {
        std::process::exit(1);
    }
}
