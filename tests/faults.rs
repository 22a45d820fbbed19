//! Partitions, holds and leases on the real hosts of a lab.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/lab.rs"]
mod lab;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jtest::clock::RunClock;
use jtest::event::{Event, Proof};
use jtest::fault::ClockOffset;
use jtest::fault::hold::{HEAL_DEADLINE, Hold};
use jtest::inventory::NodeName;
use jtest::nemesis::{self, NemesisContext, NemesisEnd, NemesisOutcome};
use jtest::schedule::{FaultId, Groups, PlannedFault, TimedFault};
use lab::{Events, Lab};
use tokio::sync::watch;

fn cut(id: u32, inject_at_s: u64, heal_at_s: u64, groups: &[&[usize]]) -> TimedFault {
    let group = |group: &&[usize]| group.iter().map(|n| NodeName(format!("n{n}"))).collect();
    TimedFault {
        id: FaultId(id),
        inject_at: Duration::from_secs(inject_at_s),
        heal_at: Duration::from_secs(heal_at_s),
        fault: PlannedFault::Partition(Groups::Named(groups.iter().map(group).collect())),
    }
}

async fn walk(
    hold: &Hold,
    events: &Arc<Events>,
    schedule: &[TimedFault],
    cancel: watch::Receiver<bool>,
) -> NemesisOutcome {
    let shared = ClockOffset {
        offset_us: 0,
        error_us: 0,
    };
    let offsets: BTreeMap<_, _> = hold
        .targets()
        .iter()
        .map(|target| (target.name.clone(), shared))
        .collect();
    let context = NemesisContext {
        hold,
        clock: RunClock::start(),
        load_zero: 0,
        offsets,
        peer_port: 25672,
        heal_deadline: HEAL_DEADLINE,
        emit: events.clone(),
        leader: Arc::new(|| Box::pin(async { Some(NodeName("n4".into())) })),
        cancel,
    };
    nemesis::run(schedule, context).await
}

fn proofs(events: &Events) -> Vec<Proof> {
    let proof = |event| match event {
        Event::FaultProven { proof, .. } | Event::FaultHealed { proof, .. } => Some(proof),
        _ => None,
    };
    events.all().into_iter().filter_map(proof).collect()
}

const FIREWALL: &str = "for t in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do \
    $t-save 2>/dev/null | sed -e '/^#/d' -e 's/ \\[[0-9:]*\\]$//'; done";

#[tokio::test]
#[ignore = "needs a lab"]
async fn a_cut_is_proven_and_leaves_no_trace() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let before = lab.sh_all(FIREWALL).await;
    let events = Arc::new(Events::default());
    let hold = lab
        .acquire("cut", Duration::from_secs(60), events.clone())
        .await
        .unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    let schedule = [cut(1, 0, 4, &[&[1, 2], &[3, 4, 5]])];
    let outcome = walk(&hold, &events, &schedule, cancelled).await;
    println!("{:#?}", events.all());
    assert_eq!(outcome.end, NemesisEnd::Completed);
    assert_eq!(outcome.proven, 1);
    assert!(proofs(&events).iter().all(|proof| proof.proven));
    for (node, report) in hold.release().await {
        let report = report.unwrap();
        assert_eq!(report.found, ["lease"], "{node}");
        assert_eq!(report.firewall_as_before, Some(true), "{node}");
    }
    assert_eq!(lab.sh_all(FIREWALL).await, before);
    let left = "ls -d /run/jtest /run/systemd/system/jtest* 2>/dev/null || true";
    assert_eq!(lab.sh_all(left).await, [""; 5]);
}
