//! Partitions, holds and leases on the real hosts of a lab.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/lab.rs"]
mod lab;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jtest::catalog::PARTITION;
use jtest::clock::RunClock;
use jtest::event::{Event, Proof};
use jtest::fault::ClockOffset;
use jtest::fault::hold::{HEAL_DEADLINE, HealReport, Hold, HoldError, heal_all};
use jtest::inventory::NodeName;
use jtest::nemesis::{self, NemesisContext, NemesisEnd, NemesisOutcome, Said, World};
use jtest::schedule::{FaultId, Groups, Plan, PlannedFault, PlannedLasts, PlannedStep, TimedFault};
use lab::{Events, Lab, eventually};
use tokio::sync::watch;

const LAB: &[&str] = &["JTEST_TEST_BARE_LAB", "JTEST_TEST_LAB"];

fn name(n: usize) -> NodeName {
    NodeName(format!("n{n}"))
}

fn cut(id: u32, inject_at_s: u64, heal_at_s: u64, groups: &[&[usize]]) -> TimedFault {
    let group = |group: &&[usize]| group.iter().copied().map(name).collect();
    TimedFault {
        id: FaultId(id),
        at: Some(Duration::from_secs(inject_at_s)),
        fault: PlannedFault::partition(Groups::Named(groups.iter().map(group).collect())),
        lasts: PlannedLasts::For(Duration::from_secs(heal_at_s - inject_at_s)),
    }
}

/// A cluster whose queue is led by n4.
struct Led;

#[async_trait::async_trait]
impl World for Led {
    async fn ask(&self, _: &NodeName) -> Option<Said> {
        Some(Said {
            leader: Some(NodeName("n4".into())),
            ..Said::default()
        })
    }

    fn confirms(&self) -> u64 {
        0
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
        queue: "jtest.queue".into(),
        leader_deadline: Duration::from_secs(30),
        heal_deadline: HEAL_DEADLINE,
        emit: events.clone(),
        world: Arc::new(Led),
        cancel,
    };
    let steps = schedule.iter().cloned().map(PlannedStep::Fault).collect();
    nemesis::run(&Plan { steps }, context).await
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

const LEFTOVERS: &str = "ls -d /run/jtest /var/lib/jtest-faults /run/systemd/system/jtest* 2>/dev/null || true; systemctl list-units --all --plain --no-legend 'jtest*'";
const HALVES: &[&[usize]] = &[&[1, 2], &[3, 4, 5]];
const LEASE: Duration = Duration::from_secs(60);
const LEASE_SHORT: Duration = Duration::from_secs(16);

/// A cut from beginning to end, everything proven.
async fn cut_and_heal(lab: &Lab, groups: &[&[usize]]) {
    let events = Arc::new(Events::default());
    let hold = lab.acquire("cut", LEASE, events.clone()).await.unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    let outcome = walk(&hold, &events, &[cut(1, 0, 10, groups)], cancelled).await;
    assert_eq!(outcome.end, NemesisEnd::Completed, "{:#?}", events.all());
    assert_eq!(outcome.proven, 1, "{:#?}", events.all());
    assert!(proofs(&events).iter().all(|proof| proof.proven));
    for (node, report) in hold.release().await {
        let report = report.unwrap();
        assert_eq!(report.found, ["lease"], "{node}");
        assert_eq!(report.firewall_as_before, Some(true), "{node}");
    }
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

/// With one thing set about it.
fn cut_with(id: u32, groups: Groups, setting: Option<(&str, &str)>) -> TimedFault {
    let mut fault = PlannedFault::partition(groups);
    if let Some((name, text)) = setting {
        let parameter = PARTITION.parameter(name).unwrap();
        let setting = parameter.takes.read(text).unwrap();
        fault.settings.insert(name.to_owned(), setting);
    }
    TimedFault {
        id: FaultId(id),
        at: None,
        fault,
        lasts: PlannedLasts::For(Duration::from_secs(8)),
    }
}

/// Begins a cut that nobody heals, and returns when it is proven.
async fn cut_for_good(hold: &Hold, events: &Arc<Events>) {
    let (_cancel, cancelled) = watch::channel(false);
    let schedule = [cut(1, 0, 3600, HALVES)];
    tokio::select! {
        outcome = walk(hold, events, &schedule, cancelled) => panic!("{outcome:?} {:#?}", events.all()),
        () = eventually("the cut is proven", Duration::from_secs(40), || async {
            proofs(events).iter().any(|proof| proof.proven)
        }) => {}
    }
}

/// The node on which the hold turns out to be lost.
async fn lost(hold: &Hold) -> NodeName {
    let mut lost = hold.lost();
    let wait = lost.wait_for(Option::is_some);
    let lost = tokio::time::timeout(2 * LEASE_SHORT, wait).await;
    lost.unwrap().unwrap().clone().unwrap().node
}

async fn chains(lab: &Lab, n: usize) -> usize {
    let count = "iptables-save | grep -c '^:JTEST' || true";
    lab.sh(n, count).await.parse().unwrap()
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_cut_is_proven_and_leaves_no_trace() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let before = lab.sh_all(FIREWALL).await;
    cut_and_heal(&lab, HALVES).await;
    assert_eq!(lab.sh_all(FIREWALL).await, before);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn cuts_of_every_form_are_proven_and_leave_no_trace() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let before = lab.sh_all(FIREWALL).await;
    let halves = || {
        Groups::Named(vec![
            vec![name(1), name(2)],
            vec![name(3), name(4), name(5)],
        ])
    };
    let bridge = Groups::Bridge {
        bridge: name(3),
        sides: [vec![name(1), name(2)], vec![name(4), name(5)]],
    };
    let all = || (1..=5).map(name).collect();
    let with_leader = Groups::WithLeader {
        order: all(),
        others: 1,
    };
    let schedule = [
        cut_with(1, halves(), Some(("direction", "in"))),
        cut_with(2, halves(), Some(("direction", "out"))),
        cut_with(3, halves(), Some(("ports", "25672"))),
        cut_with(4, halves(), Some(("flap", "5ms"))),
        cut_with(5, bridge, None),
        cut_with(6, Groups::MajoritiesRing(all()), None),
        cut_with(7, with_leader, None),
    ];
    let events = Arc::new(Events::default());
    let hold = lab.acquire("cuts", LEASE, events.clone()).await.unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    let outcome = walk(&hold, &events, &schedule, cancelled).await;
    assert_eq!(outcome.end, NemesisEnd::Completed, "{:#?}", events.all());
    assert_eq!(outcome.proven, schedule.len(), "{:#?}", events.all());
    hold.release().await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
    assert_eq!(lab.sh_all(FIREWALL).await, before);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn foreign_rules_neither_disturb_nor_are_disturbed() {
    let lab = Lab::connect().await;
    lab.listen().await;
    for tool in [
        "iptables",
        "ip6tables",
        "iptables-legacy",
        "ip6tables-legacy",
    ] {
        let add = format!(
            "{tool} -N FOREIGN; {tool} -A FOREIGN -p tcp --dport 9999 -j REJECT; \
             {tool} -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; \
             {tool} -A INPUT -j FOREIGN; {tool} -A INPUT -p tcp --dport 25672 -j ACCEPT; \
             {tool} -t mangle -A OUTPUT -p udp -j MARK --set-mark 7"
        );
        lab.sh(1, &add).await;
        lab.sh(4, &add).await;
    }
    let before = lab.sh_all(FIREWALL).await;
    assert!(before[0].contains("FOREIGN"));
    cut_and_heal(&lab, HALVES).await;
    assert_eq!(lab.sh_all(FIREWALL).await, before);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn hosts_with_legacy_iptables_are_cut_too() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let choose = "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy
        update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy";
    lab.sh(2, choose).await;
    lab.sh(5, choose).await;
    cut_and_heal(&lab, HALVES).await;
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn established_connections_are_cut_and_the_control_node_is_not() {
    let lab = Lab::connect().await;
    lab.listen().await;
    lab.stream(4, 1).await;
    let events = Arc::new(Events::default());
    let hold = lab.acquire("cut", LEASE, events.clone()).await.unwrap();
    assert!(lab.is_streaming(1).await);
    cut_for_good(&hold, &events).await;
    assert!(!lab.is_streaming(1).await);
    for n in 1..=5 {
        assert!(lab.answers(n).await, "n{n}");
        assert_eq!(chains(&lab, n).await, 2, "n{n}");
    }
    let first = "iptables -S INPUT | sed -n 2p; iptables -S JTEST-IN | sed -n 2p";
    assert_eq!(
        lab.sh(3, first).await,
        "-A INPUT -j JTEST-IN\n-A JTEST-IN -s 10.77.0.1/32 -j ACCEPT"
    );
    hold.release().await;
    eventually("the connection goes on", Duration::from_secs(20), || {
        lab.is_streaming(1)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_holder_that_dies_leaves_nodes_that_heal_themselves() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let before = lab.sh_all(FIREWALL).await;
    let events = Arc::new(Events::default());
    let hold = lab
        .acquire("dead", LEASE_SHORT, events.clone())
        .await
        .unwrap();
    cut_for_good(&hold, &events).await;
    drop(hold);
    let died = std::time::Instant::now();
    let lab = &lab;
    let healing = (1..=5).map(async |n| {
        eventually("it has healed itself", 2 * LEASE_SHORT, || async {
            lab.sh(n, LEFTOVERS).await.is_empty()
        })
        .await;
    });
    futures_util::future::join_all(healing).await;
    println!("all clean {:?} after the holder's death", died.elapsed());
    assert!(died.elapsed() < LEASE_SHORT + Duration::from_secs(4));
    assert_eq!(lab.sh_all(FIREWALL).await, before);
    cut_and_heal(lab, HALVES).await;
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_timer_that_fires_before_the_deadline_is_not_the_last_word() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    let hold = lab
        .acquire("early", LEASE_SHORT, events.clone())
        .await
        .unwrap();
    cut_for_good(&hold, &events).await;
    drop(hold);
    let later = "echo $(($(cat /run/jtest/deadline) + 300)) >/run/jtest/deadline";
    lab.sh_all(later).await;
    for n in 1..=5 {
        eventually("it has healed itself", 3 * LEASE_SHORT, || async {
            lab.sh(n, LEFTOVERS).await.is_empty()
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_live_holder_keeps_its_cut_beyond_the_lease() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    let hold = lab
        .acquire("live", LEASE_SHORT, events.clone())
        .await
        .unwrap();
    cut_for_good(&hold, &events).await;
    // An undo may take long, and no renewal waits for it.
    let busy = "systemd-run --quiet --collect --unit=test-busy flock /run/jtest sleep 28";
    lab.sh(2, busy).await;
    tokio::time::sleep(2 * LEASE_SHORT).await;
    assert_eq!(*hold.lost().borrow(), None);
    let is_late = |event: &Event| matches!(event, Event::Note { text, .. } if text.contains("undoes everything by itself"));
    assert!(!events.all().iter().any(is_late), "{:#?}", events.all());
    for n in 1..=5 {
        assert_eq!(chains(&lab, n).await, 2, "n{n}");
    }
    hold.release().await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_second_holder_is_refused_and_told_who_is_there() {
    let lab = Lab::connect().await;
    let events = Arc::new(Events::default());
    let hold = lab.acquire("first", LEASE, events.clone()).await.unwrap();
    let refused = lab.acquire("second", LEASE, events.clone()).await;
    let Err(HoldError::HeldBy {
        node,
        holder,
        expires_in,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(node, NodeName("n1".into()));
    assert_eq!(holder.run_id, "first");
    assert_eq!(holder.who, "kim@desk");
    assert!(expires_in > LEASE - Duration::from_secs(10) && expires_in <= LEASE);
    assert_eq!(*hold.lost().borrow(), None);
    hold.release().await;
    let second = lab.acquire("second", LEASE, events).await.unwrap();
    second.release().await;
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn of_two_at_once_one_gets_all_the_hosts() {
    let lab = Lab::connect().await;
    let events = Arc::new(Events::default());
    let (a, b) = tokio::join!(
        lab.acquire("a", LEASE, events.clone()),
        lab.acquire("b", LEASE, events.clone())
    );
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let winner = a.or(b).unwrap();
    for said in lab.sh_all("grep run_id= /run/jtest/holder").await {
        assert_eq!(said, format!("run_id={}", winner.run_id()));
    }
    winner.release().await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn heal_undoes_a_live_runs_faults_and_tells_it() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    let hold = lab
        .acquire("broken", LEASE_SHORT, events.clone())
        .await
        .unwrap();
    cut_for_good(&hold, &events).await;
    for (node, report) in heal_all(&lab.hosts(), "test@here").await {
        let report = report.unwrap();
        assert_eq!(report.holder.unwrap().run_id, "broken", "{node}");
        assert_eq!(report.firewall_as_before, Some(true), "{node}");
        assert_eq!(
            report.found,
            ["partition n1 n2 | n3 n4 n5", "lease"],
            "{node}"
        );
    }
    for (_, report) in heal_all(&lab.hosts(), "test@here").await {
        assert_eq!(report.unwrap(), HealReport::default());
    }
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
    lost(&hold).await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_node_that_cannot_get_ready_leaves_all_whole() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    let hold = lab.acquire("stage", LEASE, events.clone()).await.unwrap();
    let shadow = "/usr/local/sbin/iptables-restore";
    let breaking =
        format!("printf '#!/bin/sh\\necho broken >&2; exit 3\\n' >{shadow}; chmod +x {shadow}");
    lab.sh(3, &breaking).await;
    let (_cancel, cancelled) = watch::channel(false);
    let outcome = walk(&hold, &events, &[cut(1, 0, 2, HALVES)], cancelled).await;
    assert_eq!(outcome.end, NemesisEnd::Completed);
    assert_eq!(outcome.not_exercised, [FaultId(1)]);
    let all = events.all();
    assert!(
        matches!(&all[1], Event::FaultFailed { error, .. } if error.starts_with("n3: ") && error.contains("broken")),
        "{all:#?}"
    );
    assert!(!is_injected(&events));
    hold.release().await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

/// Keeps n5 from getting ready until `let_sync`.
async fn keep_from_syncing(lab: &Lab) {
    let shadow = "/usr/local/sbin/sync";
    let slow = format!(
        "printf '#!/bin/sh\\nuntil [ -e /run/test-synced ]; do sleep 0.1; done\\n' >{shadow}
         rm -f /run/test-synced; chmod +x {shadow}"
    );
    lab.sh(5, &slow).await;
}

async fn let_sync(lab: &Lab) {
    lab.sh(5, "touch /run/test-synced").await;
}

/// Until the fault lies ready on this node but for the sync.
async fn armed(lab: &Lab, n: usize) {
    let armed = "ls /var/lib/jtest-faults 2>/dev/null || true";
    eventually("the cut is armed", Duration::from_secs(10), || async {
        !lab.sh(n, armed).await.is_empty()
    })
    .await;
    lab.sh(n, "flock --wait 5 /run/jtest true").await;
}

fn is_injected(events: &Events) -> bool {
    let all = events.all();
    all.iter()
        .any(|event| matches!(event, Event::FaultInjected { .. }))
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_host_that_is_slow_to_get_ready_keeps_no_other_waiting() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    let hold = lab.acquire("slow", LEASE, events.clone()).await.unwrap();
    keep_from_syncing(&lab).await;
    tokio::join!(cut_for_good(&hold, &events), async {
        armed(&lab, 1).await;
        armed(&lab, 5).await;
        assert!(!is_injected(&events), "{:#?}", events.all());
        let_sync(&lab).await;
    });
    assert!(is_injected(&events));
    hold.release().await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn what_is_undone_before_all_are_ready_is_not_injected() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let before = lab.sh_all(FIREWALL).await;
    let one_apart = || Groups::Named(vec![vec![name(1)], vec![name(5)]]);
    for setting in [None, Some(("flap", "5ms"))] {
        let events = Arc::new(Events::default());
        let hold = lab.acquire("early", LEASE, events.clone()).await.unwrap();
        keep_from_syncing(&lab).await;
        let (_cancel, cancelled) = watch::channel(false);
        let cuts = [cut_with(1, one_apart(), setting)];
        let (outcome, ()) = tokio::join!(walk(&hold, &events, &cuts, cancelled), async {
            armed(&lab, 1).await;
            for (_, report) in heal_all(&lab.hosts()[..1], "test@here").await {
                assert!(!report.unwrap().found.is_empty());
            }
            let_sync(&lab).await;
        });
        assert_eq!(outcome.not_exercised, [FaultId(1)], "{:#?}", events.all());
        assert!(!is_injected(&events), "{:#?}", events.all());
        let all = events.all();
        assert!(
            all.iter().any(
                |event| matches!(event, Event::FaultFailed { error, .. } if error.contains("n1: "))
            ),
            "{all:#?}"
        );
        assert_eq!(lab.sh(1, LEFTOVERS).await, "");
        hold.release().await;
        assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
        assert_eq!(lab.sh_all(FIREWALL).await, before);
    }
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_node_whose_sshd_dies_heals_itself_and_the_hold_is_lost() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    let hold = lab
        .acquire("sshd", LEASE_SHORT, events.clone())
        .await
        .unwrap();
    cut_for_good(&hold, &events).await;
    let dying = "systemd-run --quiet --collect --unit=test-dying sh -c '
        sleep 0.5; systemctl stop ssh; pkill -KILL sshd
        sleep 20; ls -d /run/jtest >/run/test-seen 2>&1; iptables-save >>/run/test-seen; systemctl start ssh'";
    lab.sh(5, dying).await;
    assert_eq!(lost(&hold).await, NodeName("n5".into()));
    eventually("n5 is back", Duration::from_secs(30), || lab.answers(5)).await;
    let seen = lab.sh(5, "cat /run/test-seen; rm /run/test-seen").await;
    assert!(
        seen.contains("No such file") && !seen.contains("JTEST"),
        "{seen}"
    );
    hold.release().await;
    assert_eq!(lab.sh_all(LEFTOVERS).await, [""; 5]);
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_host_without_ip6tables_is_refused_only_if_it_has_ipv6() {
    let lab = Lab::connect().await;
    lab.listen().await;
    let events = Arc::new(Events::default());
    lab.sh(
        2,
        "mv /usr/sbin/ip6tables-restore /usr/sbin/ip6tables-restore.off",
    )
    .await;
    let hold = lab.acquire("v6", LEASE, events.clone()).await.unwrap();
    let (_cancel, cancelled) = watch::channel(false);
    let outcome = walk(&hold, &events, &[cut(1, 0, 2, HALVES)], cancelled.clone()).await;
    assert_eq!(outcome.proven, 0);
    let all = events.all();
    assert!(
        matches!(&all[1], Event::FaultFailed { error, .. } if error.contains("ip6tables is missing")),
        "{all:#?}"
    );
    lab.sh(2, "ip -6 addr flush dev eth0").await;
    let outcome = walk(&hold, &events, &[cut(2, 0, 10, HALVES)], cancelled).await;
    assert_eq!(outcome.proven, 1, "{:#?}", events.all());
    assert!(events.all().iter().any(
        |event| matches!(event, Event::Note { text, .. } if text == "n2: note IPv6 is off here")
    ));
    hold.release().await;
}

#[tokio::test]
#[ignore = "needs the local lab; scripts/test runs it"]
async fn a_lease_can_be_renewed_as_often_as_one_likes() {
    let lab = Lab::connect().await;
    let events = Arc::new(Events::default());
    let hold = lab.acquire("often", LEASE, events).await.unwrap();
    let renew = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do systemctl restart jtest-lease.timer; done
        systemctl is-active jtest-lease.timer";
    assert_eq!(lab.sh_all(renew).await, ["active"; 5]);
    hold.release().await;
}
