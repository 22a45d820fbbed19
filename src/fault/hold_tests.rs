use std::sync::Mutex;

use tokio::time::sleep;

use super::*;
use crate::event::Event;
use crate::remote::Remote;
use crate::remote::fake::Fake;

const TAKE: &str = "take hold of it";
const RENEW: &str = "renew the hold on it";
const LET_GO: &str = "let go of it";

struct Notes(Mutex<Vec<Event>>);

impl Emit for Notes {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn holder() -> Holder {
    Holder {
        run_id: "r1".into(),
        who: "kim@desk".into(),
        pid: 7,
        command: "jtest run\n--seed 1".into(),
        since: "2026-11-23T09:00:00Z".into(),
    }
}

fn fake(name: &str, answer: &str) -> Fake {
    Fake::new(name).on(TAKE, answer).on(LET_GO, "found=lease")
}

async fn acquire(fakes: &[Arc<Fake>]) -> (Result<Hold, HoldError>, Arc<Notes>) {
    let target = |fake: &Arc<Fake>| Target {
        name: fake.node().clone(),
        host: Arc::clone(fake) as Host,
        addresses: Vec::new(),
        is_disposable: true,
    };
    let notes = Arc::new(Notes(Mutex::default()));
    let targets = Arc::new(fakes.iter().map(target).collect());
    let hold = Hold::acquire(targets, holder(), LEASE_MIN, Vec::new(), notes.clone()).await;
    (hold, notes)
}

fn asked(fake: &Fake) -> Vec<String> {
    fake.scripts()
        .into_iter()
        .map(|script| script.purpose)
        .collect()
}

#[test]
fn a_record_survives_the_way_to_the_host_and_back() {
    insta::assert_snapshot!(holder().record(), @r"
    run_id=r1
    who=kim@desk
    pid=7
    command=jtest run --seed 1
    since=2026-11-23T09:00:00Z
    ");
    let back = Holder::parse(&holder().record()).unwrap();
    assert_eq!(back.command, "jtest run --seed 1");
    assert_eq!((back.run_id, back.pid), ("r1".into(), 7));
    assert_eq!(Holder::parse("nothing"), None);
}

#[tokio::test]
async fn all_are_taken_or_none() {
    let held = "run_id=r0\nwho=lee@lab\npid=9\ncommand=jtest run\nsince=then\nleft_cs=4210\nheld";
    let fakes = [("n1", "taken"), ("n2", held), ("n3", "taken")]
        .map(|(name, answer)| Arc::new(fake(name, answer)));
    let (hold, _) = acquire(&fakes).await;
    insta::assert_snapshot!(hold.err().unwrap(), @"n2 is held by run r0 of lee@lab (pid 9, `jtest run`, since then); that hold runs out in 42 s unless it is renewed: wait for that run to end, or break it by `jtest heal`");
    for taken in [&fakes[0], &fakes[2]] {
        assert_eq!(asked(taken), [TAKE, LET_GO]);
        assert_eq!(taken.scripts()[1].args, ["released", "r1"]);
    }
    assert_eq!(asked(&fakes[1]), [TAKE]);
}

#[tokio::test]
async fn what_this_run_had_before_stays_in_force_when_another_host_is_not_to_be_had() {
    let fakes = [("n1", "kept"), ("n2", "nonsense")].map(|(n, answer)| Arc::new(fake(n, answer)));
    let (hold, _) = acquire(&fakes).await;
    assert!(matches!(hold, Err(HoldError::Answer { .. })));
    assert_eq!(asked(&fakes[0]), [TAKE]);
}

#[tokio::test]
async fn who_does_not_get_the_first_asks_no_other() {
    let fakes = [("n1", "nonsense"), ("n2", "taken")].map(|(n, answer)| Arc::new(fake(n, answer)));
    let (hold, _) = acquire(&fakes).await;
    assert!(matches!(hold, Err(HoldError::Answer { .. })));
    assert!(asked(&fakes[1]).is_empty());
}

#[tokio::test]
async fn is_renewed_and_given_back() {
    let fakes = ["n1", "n2"].map(|name| Arc::new(fake(name, "taken").on(RENEW, "renewed")));
    let (hold, notes) = acquire(&fakes).await;
    let hold = hold.unwrap();
    sleep(LEASE_MIN + LEASE_MIN / 8).await;
    assert_eq!(*hold.lost().borrow(), None);
    hold.release().await;
    for fake in &fakes {
        let asked = asked(fake);
        assert_eq!(asked.iter().filter(|purpose| *purpose == RENEW).count(), 4);
        assert_eq!(asked.last().map(String::as_str), Some(LET_GO));
    }
    assert!(notes.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_host_that_is_anothers_is_a_loss() {
    let fakes = [("n1", "renewed"), ("n2", "run_id=r2\nlost")]
        .map(|(name, answer)| Arc::new(fake(name, "taken").on(RENEW, answer)));
    let (hold, _) = acquire(&fakes).await;
    let mut lost = hold.as_ref().unwrap().lost();
    let lost = timeout(LEASE_MIN, lost.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert_eq!(lost.unwrap().node, NodeName("n2".into()));
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_a_loss_when_its_lease_has_run_out() {
    let dead = fake("n1", "taken").fails(RENEW, 255, "gone");
    let (hold, notes) = acquire(&[Arc::new(dead)]).await;
    let mut lost = hold.as_ref().unwrap().lost();
    let began = Instant::now();
    let lost = timeout(2 * LEASE_MIN, lost.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap()
        .clone();
    let reason = lost.unwrap().reason;
    assert!(
        reason.starts_with("it could not be renewed in time"),
        "{reason}"
    );
    assert!(began.elapsed() > LEASE_MIN - LEASE_MIN / 4);
    assert!(!notes.0.lock().unwrap().is_empty());
}

/// Its memory goes at the first renewal; it is `boot` then.
fn reboots(boot: &'static str) -> Fake {
    Fake::new("n1")
        .with(move |script| {
            let stdout = match (script.purpose.as_str(), script.args.get(3)?.as_str()) {
                (TAKE, "") => "boot=b1\ntaken".to_owned(),
                (TAKE, "b1") if boot == "b1" => "lost".to_owned(),
                (TAKE, "b1") => format!("boot={boot}\ntaken"),
                _ => return None,
            };
            Some(Ok(crate::remote::Output {
                stdout: stdout.into_bytes(),
                stderr: String::new(),
            }))
        })
        .on(RENEW, "lost")
        .on(LET_GO, "found=lease")
}

#[tokio::test]
async fn a_host_that_boots_by_a_fault_is_taken_again() {
    let fake = Arc::new(reboots("b2"));
    let (hold, notes) = acquire(std::slice::from_ref(&fake)).await;
    let hold = hold.unwrap();
    let until = Instant::now() + LEASE_MIN;
    hold.away().allow(fake.node(), until);
    sleep(LEASE_MIN / 4 + LEASE_MIN / 8).await;
    assert_eq!(*hold.lost().borrow(), None);
    assert_eq!(asked(&fake), [TAKE, RENEW, TAKE]);
    assert_eq!(notes.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_that_has_not_booted_or_was_not_to_is_a_loss() {
    for (boot, may_be_away) in [("b1", true), ("b2", false)] {
        let fake = Arc::new(reboots(boot));
        let (hold, _) = acquire(std::slice::from_ref(&fake)).await;
        let hold = hold.unwrap();
        if may_be_away {
            hold.away().allow(fake.node(), Instant::now() + LEASE_MIN);
        }
        let mut lost = hold.lost();
        let lost = timeout(LEASE_MIN, lost.wait_for(Option::is_some)).await;
        assert!(lost.unwrap().unwrap().is_some(), "{boot}");
    }
}
