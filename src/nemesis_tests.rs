use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;

use super::aim::Known;
use super::*;
use crate::event::NodeView;
use crate::fault::hold::Holder;
use crate::fault::{self, FaultError, Healed, Target};
use crate::remote::fake::Fake;
use crate::remote::{Output, RemoteError};
use crate::scenario::step::{Condition, Leader, Whom};
use crate::schedule::{AwaitId, Groups, Nodes, PlannedAim, PlannedFault, PlannedLasts, TimedFault};

const CUT: &str = "cut it off from its peers";
const OPEN: &str = "open the gates of the cut";
const LIFT: &str = "undo its fault";
const LOOK: &str = "connect to its peers";

#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl Emit for Events {
    fn emit(&self, event: Event) {
        let text = match event {
            Event::FaultAsked {
                fault, description, ..
            } => format!("{} asked: {description}", fault.0),
            Event::FaultInjected { fault, .. } => format!("{} injected", fault.0),
            Event::FaultProven { fault, proof } => format!("{} proven: {}", fault.0, proof.proven),
            Event::FaultHealed { fault, proof, .. } => {
                format!("{} healed: {}", fault.0, proof.proven)
            }
            Event::FaultIdle { fault, evidence } => {
                format!("{} idle: {}", fault.0, evidence.join("; "))
            }
            Event::FaultFailed { fault, error } => format!("{} failed: {error}", fault.0),
            Event::AwaitBegan { description, .. } => format!("awaits {description}"),
            Event::AwaitEnded { proof, .. } => {
                format!("came: {}, {}", proof.proven, proof.evidence.join("; "))
            }
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

/// Three hosts, of which n3 is alone while `is_cut`.
struct Net {
    is_cut: Arc<AtomicBool>,
    bites: bool,
    events: Arc<Events>,
    world: Arc<Cluster>,
}

/// Three nodes that see each other but across the cut; n3 leads the queue while there is none.
struct Cluster {
    is_cut: Arc<AtomicBool>,
    is_leaderless: bool,
    confirms: AtomicU64,
}

#[async_trait]
impl World for Cluster {
    async fn ask(&self, node: &NodeName) -> Option<Said> {
        let is_cut = self.is_cut.load(Ordering::SeqCst);
        let running: &[&str] = match (is_cut, node.0.as_str()) {
            (false, _) => &["n1", "n2", "n3"],
            (true, "n3") => &["n3"],
            (true, _) => &["n1", "n2"],
        };
        let leader = NodeName(if is_cut { "n1" } else { "n3" }.into());
        Some(Said {
            view: NodeView {
                running: names(running),
                ..NodeView::default()
            },
            leader: (!self.is_leaderless).then_some(leader),
            members: names(&["n3", "n1"]),
        })
    }

    fn confirms(&self) -> u64 {
        self.confirms.fetch_add(1, Ordering::SeqCst)
    }
}

fn names(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|name| NodeName((*name).into())).collect()
}

impl Net {
    fn leaderless() -> Self {
        let net = Self::new();
        let world = Arc::new(Cluster {
            is_cut: Arc::clone(&net.is_cut),
            is_leaderless: true,
            confirms: AtomicU64::new(0),
        });
        Self { world, ..net }
    }

    fn new() -> Self {
        let is_cut: Arc<AtomicBool> = Arc::default();
        Self {
            world: Arc::new(Cluster {
                is_cut: Arc::clone(&is_cut),
                is_leaderless: false,
                confirms: AtomicU64::new(0),
            }),
            is_cut,
            bites: true,
            events: Arc::default(),
        }
    }

    fn fake(&self, n: u8) -> Fake {
        let (is_cut, bites) = (Arc::clone(&self.is_cut), self.bites);
        Fake::new(format!("n{n}"))
            .on("take hold of it", "taken")
            .on("renew the hold on it", "renewed")
            .on("let go of it", "found=lease")
            .with(move |script| {
                let text = match script.purpose.as_str() {
                    CUT => {
                        is_cut.store(true, Ordering::SeqCst);
                        "ready\nfired 1000\n".into()
                    }
                    LIFT => {
                        is_cut.store(false, Ordering::SeqCst);
                        "firewall=same\n".into()
                    }
                    OPEN => "ready\nfired 1000\n".into(),
                    LOOK => look(n, bites && is_cut.load(Ordering::SeqCst)),
                    _ => return None,
                };
                Some(Ok(Output {
                    stdout: text.into_bytes(),
                    stderr: String::new(),
                }))
            })
    }

    async fn hold(&self, fakes: [Fake; 3]) -> Hold {
        let target = |(host, n): (Fake, u8)| Target {
            name: NodeName(format!("n{n}")),
            host: host.into_host(),
            addresses: vec![address(n)],
            is_disposable: true,
        };
        let targets: Vec<_> = fakes.into_iter().zip(1..).map(target).collect();
        let holder = Holder {
            run_id: "r1".into(),
            who: "kim@desk".into(),
            pid: 7,
            command: "jtest run".into(),
            since: "now".into(),
        };
        let (lease, control) = (Duration::from_secs(60), vec![address(99)]);
        let emit = self.events.clone();
        Hold::acquire(Arc::new(targets), holder, lease, control, emit)
            .await
            .unwrap()
    }

    async fn walk(&self, hold: &Hold, schedule: &[PlannedStep]) -> NemesisOutcome {
        let (_cancel, cancelled) = signal::channel(false);
        self.walk_until(hold, schedule, cancelled).await
    }

    async fn walk_until(
        &self,
        hold: &Hold,
        schedule: &[PlannedStep],
        cancel: signal::Receiver<bool>,
    ) -> NemesisOutcome {
        let steps = schedule.to_vec();
        run(&Plan { steps }, self.context(hold, cancel)).await
    }

    fn context<'a>(&self, hold: &'a Hold, cancel: signal::Receiver<bool>) -> NemesisContext<'a> {
        NemesisContext {
            hold,
            clock: RunClock::start(),
            load_zero: 0,
            offsets: BTreeMap::new(),
            peer_port: 25672,
            queue: "jtest.queue".into(),
            heal_deadline: Duration::from_secs(1),
            leader_deadline: Duration::from_millis(50),
            emit: self.events.clone(),
            world: self.world.clone(),
            cancel,
        }
    }

    fn events(&self) -> Vec<String> {
        self.events.0.lock().unwrap().clone()
    }
}

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn look(from: u8, is_cut: bool) -> String {
    let mut text = String::new();
    for to in (1..=3).filter(|to| *to != from) {
        if is_cut && (from == 3 || to == 3) {
            text += &format!("connect 10.0.0.{to} 25672 silent\n");
            // Whichever of the faults of a test has cut them.
            for key in ["f1", "f2", "f3"] {
                text += &format!("dropped {key} OUT 10.0.0.{to} 3\n");
            }
        } else {
            text += &format!("connect 10.0.0.{to} 25672 open\n");
        }
    }
    text
}

fn alone(lasts: PlannedLasts, id: u32, at_ms: Option<u64>) -> PlannedStep {
    PlannedStep::Fault(TimedFault {
        id: FaultId(id),
        at: at_ms.map(Duration::from_millis),
        fault: PlannedFault::partition(Groups::WithLeader {
            order: names(&["n2", "n1", "n3"]),
            others: 0,
        }),
        lasts,
    })
}

fn cut(id: u32, inject_at_ms: u64, heal_at_ms: u64) -> PlannedStep {
    let length = Duration::from_millis(heal_at_ms - inject_at_ms);
    alone(PlannedLasts::For(length), id, Some(inject_at_ms))
}

fn await_for(condition: Condition, within_ms: u64) -> PlannedAwait {
    PlannedAwait {
        id: AwaitId(1),
        condition,
        within: Duration::from_millis(within_ms),
    }
}

/// The nodes that are not alone see each other, and nobody else.
fn others_together() -> Condition {
    Condition::Running {
        nodes: Whom::Named(names(&["n1", "n2"])),
        by: Whom::MajoritySide,
    }
}

#[tokio::test]
async fn each_fault_is_asked_injected_proven_healed() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let outcome = net.walk(&hold, &[cut(1, 0, 300), cut(2, 500, 800)]).await;
    assert_eq!(
        net.events(),
        [
            "1 asked: n3 | n1 n2",
            "1 injected",
            "1 proven: true",
            "1 healed: true",
            "2 asked: n3 | n1 n2",
            "2 injected",
            "2 proven: true",
            "2 healed: true",
        ]
    );
    assert_eq!(outcome.end, NemesisEnd::Completed);
    assert_eq!((outcome.proven, outcome.not_exercised), (2, vec![]));
}

#[tokio::test]
async fn a_fault_that_does_not_bite_is_not_exercised() {
    let mut net = Net::new();
    net.bites = false;
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let outcome = net.walk(&hold, &[cut(1, 0, 300)]).await;
    assert_eq!(net.events()[2..], ["1 proven: false", "1 healed: true"]);
    assert_eq!(outcome.not_exercised, [FaultId(1)]);
}

#[tokio::test]
async fn a_node_that_gets_not_ready_spares_the_others_and_the_next_is_tried() {
    let net = Net::new();
    let bad = Fake::new("n2").fails(CUT, 1, "no iptables");
    let bad = bad
        .on("take hold of it", "taken")
        .on(LIFT, "firewall=same")
        .on(LOOK, look(2, false));
    let hold = net.hold([net.fake(1), bad, net.fake(3)]).await;
    let outcome = net.walk(&hold, &[cut(1, 0, 100), cut(2, 200, 300)]).await;
    let failed =
        "failed: n2: cannot cut it off from its peers: exit status 1; it said: no iptables";
    let events = net.events();
    assert_eq!(events[1], format!("1 {failed}"));
    assert_eq!(events[2], "1 healed: true");
    assert_eq!(events[4], format!("2 {failed}"));
    assert_eq!(outcome.end, NemesisEnd::Completed);
    assert_eq!(outcome.not_exercised, [FaultId(1), FaultId(2)]);
}

#[tokio::test]
async fn a_cancellation_heals() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let (cancel, cancelled) = signal::channel(false);
    let schedule = [cut(1, 0, 60_000), cut(2, 61_000, 62_000)];
    let walk = net.walk_until(&hold, &schedule, cancelled);
    let cancelling = async {
        while !net.is_cut.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(10)).await;
        }
        cancel.send_replace(true);
    };
    let (outcome, ()) = tokio::join!(walk, cancelling);
    assert_eq!(outcome.end, NemesisEnd::Cancelled);
    assert_eq!(
        net.events().last().map(String::as_str),
        Some("1 healed: true")
    );
    assert!(!net.is_cut.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_cancellation_heals_every_list_and_what_stays_in_force() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let (cancel, cancelled) = signal::channel(false);
    let minute = PlannedLasts::For(Duration::from_secs(60));
    let schedule = [
        alone(PlannedLasts::UntilHealed, 1, None),
        PlannedStep::Parallel(vec![
            vec![alone(minute, 2, None), cut(3, 0, 100)],
            vec![PlannedStep::Wait(Duration::from_secs(60))],
            vec![alone(PlannedLasts::UntilHealed, 4, None)],
        ]),
    ];
    let walk = net.walk_until(&hold, &schedule, cancelled);
    let cancelling = async {
        let injected = |id: u32| net.events().contains(&format!("{id} injected"));
        while !(injected(2) && injected(4)) {
            sleep(Duration::from_millis(10)).await;
        }
        cancel.send_replace(true);
    };
    let (outcome, ()) = tokio::join!(walk, cancelling);
    assert_eq!(outcome.end, NemesisEnd::Cancelled);
    for id in [1, 2, 4] {
        let healed = format!("{id} healed: true");
        assert_eq!(
            net.events()
                .iter()
                .filter(|event| **event == healed)
                .count(),
            1
        );
    }
    assert!(!net.events().iter().any(|event| event.starts_with('3')));
    assert!(!net.is_cut.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_does_not_heal_is_left_to_the_lease() {
    let net = Net::new();
    let stuck = Fake::new("n1").with(|script| {
        (script.purpose == LIFT).then(|| {
            Err(RemoteError::Deadline {
                node: NodeName("n1".into()),
                purpose: LIFT.into(),
                deadline: Duration::from_secs(25),
                stderr: String::new(),
            })
        })
    });
    let stuck = stuck
        .on("take hold of it", "taken")
        .on(CUT, "ready\nfired 1\n")
        .on(LOOK, look(1, false));
    let hold = net.hold([stuck, net.fake(2), net.fake(3)]).await;
    let outcome = net.walk(&hold, &[cut(1, 0, 100), cut(2, 200, 300)]).await;
    assert!(
        matches!(outcome.end, NemesisEnd::NotHealed(_)),
        "{outcome:?}"
    );
    assert_eq!(outcome.not_exercised, [FaultId(1), FaultId(2)]);
}

#[tokio::test]
async fn a_fault_stays_until_its_condition_comes() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let until = PlannedLasts::Until(await_for(others_together(), 5000));
    let outcome = net.walk(&hold, &[alone(until, 1, None)]).await;
    assert_eq!(outcome.end, NemesisEnd::Completed);
    let mut events = net.events();
    events[2..4].sort();
    assert_eq!(
        events,
        [
            "1 asked: n3 | n1 n2",
            "1 injected",
            "1 proven: true",
            "awaits the majority's side to see exactly n1 n2 running",
            "came: true, n1 sees n1 n2; n2 sees n1 n2",
            "1 healed: true",
        ]
    );
    assert_eq!((outcome.proven, outcome.not_exercised), (1, vec![]));
}

#[tokio::test]
async fn what_does_not_come_in_time_heals_and_ends_the_walk() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let all = Condition::Running {
        nodes: Whom::All,
        by: Whom::MinoritySide,
    };
    let schedule = [
        alone(PlannedLasts::UntilHealed, 1, None),
        PlannedStep::Await(await_for(all, 300)),
        cut(2, 0, 100),
    ];
    let outcome = net.walk(&hold, &schedule).await;
    assert!(
        matches!(&outcome.end, NemesisEnd::NotCome(text) if text.ends_with("not within 300ms")),
        "{outcome:?}"
    );
    assert_eq!(
        net.events()[2..],
        [
            "1 proven: true",
            "awaits the minority's side to see exactly all running",
            "came: false, n3 sees n3",
            "1 healed: true",
        ]
    );
    assert_eq!(
        (outcome.proven, outcome.not_exercised),
        (1, vec![FaultId(2)])
    );
}

#[tokio::test]
async fn a_new_leader_is_another_than_before_the_fault() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let schedule = [
        alone(PlannedLasts::UntilHealed, 1, None),
        PlannedStep::Wait(Duration::from_millis(10)),
        PlannedStep::Await(await_for(Condition::Leader(Leader::New), 5000)),
        PlannedStep::HealAll,
        PlannedStep::Await(await_for(Condition::Confirms(3), 5000)),
    ];
    let outcome = net.walk(&hold, &schedule).await;
    assert_eq!(outcome.end, NemesisEnd::Completed);
    let events = net.events();
    assert_eq!(events[4], "came: true, n1 leads the queue, n3 before");
    assert_eq!(events[5], "1 healed: true");
    assert!(events[7].starts_with("came: true, "), "{events:?}");
}

#[tokio::test]
async fn lists_side_by_side_are_walked_at_once_and_end_together() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let never = Condition::Confirms(u64::MAX);
    let schedule = [
        PlannedStep::Parallel(vec![
            vec![alone(PlannedLasts::For(Duration::from_secs(60)), 1, None)],
            vec![PlannedStep::Await(await_for(never, 500))],
        ]),
        cut(2, 0, 100),
    ];
    let outcome = net.walk(&hold, &schedule).await;
    assert!(matches!(outcome.end, NemesisEnd::NotCome(_)), "{outcome:?}");
    let events = net.events();
    assert_eq!(events.last().map(String::as_str), Some("1 healed: true"));
    assert!(!net.is_cut.load(Ordering::SeqCst));
    assert_eq!(outcome.not_exercised, [FaultId(1), FaultId(2)]);
}

/// A fault that is what it is told to be.
struct Easy;

#[async_trait]
impl Fault for Easy {
    fn asked(&self) -> fault::Asked {
        fault::Asked {
            kind: "easy",
            description: String::new(),
            groups: Vec::new(),
        }
    }

    async fn prepare(&mut self) {}

    async fn inject(&mut self) -> Result<fault::Injected, FaultError> {
        Err(FaultError::Refused("it is in force".into()))
    }

    async fn prove(&mut self, _: Instant) -> Proof {
        self.heal().await.unwrap().proof
    }

    async fn heal(&mut self) -> Result<Healed, FaultError> {
        let proof = Proof {
            proven: true,
            evidence: vec![],
        };
        Ok(Healed { at: 0, proof })
    }
}

#[tokio::test]
async fn what_is_healed_by_its_number_leaves_the_others_and_all_means_the_last_first() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let (_cancel, cancelled) = signal::channel(false);
    let walk = Walk::new(net.context(&hold, cancelled));
    for id in 1..=4 {
        lock(&walk.open).push(Open {
            id: FaultId(id),
            fault: Box::new(Easy),
            is_proven: id != 3,
        });
    }
    let steps = [PlannedStep::Heal(vec![FaultId(2)]), PlannedStep::HealAll];
    assert_eq!(walk.list(&steps).await, Ok(()));
    let healed = [2, 4, 3, 1].map(|id| format!("{id} healed: true"));
    assert_eq!(net.events(), healed);
    let exercised: Vec<u32> = lock(&walk.exercised).iter().map(|id| id.0).collect();
    assert_eq!(exercised, [1, 2, 4]);
}

#[tokio::test]
async fn an_aim_that_nobody_can_tell_is_a_failed_fault() {
    let net = Net::new();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let kind = crate::catalog::kind("pause").unwrap();
    let step = PlannedStep::Fault(TimedFault {
        id: FaultId(1),
        at: None,
        fault: PlannedFault::new(kind, PlannedAim::On(Nodes::OtherSide)),
        lasts: PlannedLasts::For(Duration::from_millis(10)),
    });
    let outcome = net.walk(&hold, &[step]).await;
    assert_eq!(outcome.not_exercised, [FaultId(1)]);
    assert_eq!(
        net.events(),
        ["1 failed: no side of a partition in force has the leader n3"]
    );
}

#[tokio::test]
async fn an_aim_that_another_fault_has_taken_away_is_an_idle_fault() {
    let net = Net::leaderless();
    let hold = net.hold([1, 2, 3].map(|n| net.fake(n))).await;
    let kind = crate::catalog::kind("kill").unwrap();
    let kill = |id| {
        PlannedStep::Fault(TimedFault {
            id: FaultId(id),
            at: None,
            fault: PlannedFault::new(kind, PlannedAim::On(Nodes::Leader)),
            lasts: PlannedLasts::For(Duration::from_millis(10)),
        })
    };
    let cut = PlannedStep::Fault(TimedFault {
        id: FaultId(2),
        at: None,
        fault: PlannedFault::partition(Groups::Named(vec![names(&["n3"]), names(&["n1", "n2"])])),
        lasts: PlannedLasts::UntilHealed,
    });
    let steps = [kill(1), cut, kill(3)];
    let outcome = net.walk(&hold, &steps).await;
    assert_eq!(outcome.not_exercised, [FaultId(1), FaultId(3)]);
    assert_eq!(
        net.events(),
        [
            "1 failed: no node says who leads the queue",
            "2 asked: n3 | n1 n2",
            "2 injected",
            "2 proven: true",
            "3 asked: leader",
            "3 idle: nothing was done: no node says who leads the queue; in force, or until lately: 2",
            "3 healed: true",
            "2 healed: true",
        ]
    );
}

#[test]
fn sides_and_followers_are_named_in_the_inventorys_order() {
    let nodes = names(&["n1", "n2", "n3", "n4", "n5"]);
    let said = Said {
        leader: Some(NodeName("n4".into())),
        members: names(&["n5", "n4", "n1"]),
        ..Said::default()
    };
    let answers = BTreeMap::from([(NodeName("n1".into()), said)]);
    let cut = Cut {
        id: FaultId(1),
        groups: vec![names(&["n5", "n1", "n2"]), names(&["n4"]), names(&["n3"])],
    };
    let known = Known {
        nodes: &nodes,
        answers: &answers,
        cut: Some(&cut),
    };
    let kind = crate::catalog::kind("pause").unwrap();
    for (aim, expected) in [
        (Nodes::Leader, &["n4"] as &[&str]),
        (Nodes::Followers, &["n1", "n5"]),
        (Nodes::LeaderSide, &["n4"]),
        (Nodes::OtherSide, &["n1", "n2", "n3", "n5"]),
    ] {
        let resolved = known.resolve(&PlannedFault::new(kind, PlannedAim::On(aim)));
        let expected = PlannedAim::On(Nodes::Named(names(expected)));
        assert_eq!(resolved.unwrap().aim, expected);
    }
    let nobody = Known {
        answers: &BTreeMap::new(),
        nodes: &nodes,
        cut: None,
    };
    let leader = PlannedFault::new(kind, PlannedAim::On(Nodes::Leader));
    assert!(nobody.resolve(&leader).is_err());
    assert_eq!(
        known.whom(&Whom::MajoritySide),
        Ok(names(&["n1", "n2", "n5"]))
    );
    assert_eq!(known.whom(&Whom::MinoritySide), Ok(names(&["n3", "n4"])));
}
