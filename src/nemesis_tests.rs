use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::fault::Target;
use crate::fault::hold::Holder;
use crate::remote::fake::Fake;
use crate::remote::{Output, RemoteError};
use crate::schedule::{Groups, PlannedFault};

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
            Event::FaultHealed { fault, proof } => format!("{} healed: {}", fault.0, proof.proven),
            Event::FaultFailed { fault, error } => format!("{} failed: {error}", fault.0),
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
}

impl Net {
    fn new() -> Self {
        Self {
            is_cut: Arc::default(),
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

    async fn walk(&self, hold: &Hold, schedule: &[TimedFault]) -> NemesisOutcome {
        let (_cancel, cancelled) = watch::channel(false);
        self.walk_until(hold, schedule, cancelled).await
    }

    async fn walk_until(
        &self,
        hold: &Hold,
        schedule: &[TimedFault],
        cancel: watch::Receiver<bool>,
    ) -> NemesisOutcome {
        let context = NemesisContext {
            hold,
            clock: RunClock::start(),
            load_zero: 0,
            offsets: BTreeMap::new(),
            peer_port: 25672,
            queue: "jtest.queue".into(),
            heal_deadline: Duration::from_secs(1),
            emit: self.events.clone(),
            leader: Arc::new(|| Box::pin(async { Some(NodeName("n3".into())) })),
            cancel,
        };
        run(schedule, context).await
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
            text += &format!("connect 10.0.0.{to} 25672 silent\ndropped OUT 10.0.0.{to} 3\n");
        } else {
            text += &format!("connect 10.0.0.{to} 25672 open\n");
        }
    }
    text
}

fn cut(id: u32, inject_at_ms: u64, heal_at_ms: u64) -> TimedFault {
    TimedFault {
        id: FaultId(id),
        inject_at: Duration::from_millis(inject_at_ms),
        heal_at: Duration::from_millis(heal_at_ms),
        fault: PlannedFault::partition(Groups::WithLeader {
            order: ["n2", "n1", "n3"].map(|name| NodeName(name.into())).into(),
            others: 0,
        }),
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
    let (cancel, cancelled) = watch::channel(false);
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
