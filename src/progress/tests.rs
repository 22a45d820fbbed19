//! The status of a run in its stages, in terminals of different sizes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::outlook::Outlook;
use super::plain::Plain;
use super::rows::rows;
use super::state::State;
use crate::event::{DrainProof, Event, NodeProgress, NodeView, Proof, Record, Stage};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::scenario::Amount;
use crate::scenario::testing::scenario;
use crate::schedule::{AwaitId, FaultId, Plan, PlannedStep};

const SECOND: Nanos = 1_000_000_000;

fn names(names: &[&str]) -> Vec<NodeName> {
    names
        .iter()
        .map(|name| NodeName((*name).to_owned()))
        .collect()
}

fn outlook(nodes: &[&str], amount: Amount) -> Outlook {
    let mut scenario = scenario();
    scenario.workload.amount = amount;
    let plan = Plan {
        steps: vec![PlannedStep::Wait(Duration::from_secs(110))],
    };
    Outlook::of(&scenario, &plan, names(nodes), Duration::from_secs(60))
}

/// A run of five nodes; each step adds to what happened.
struct Story {
    state: State,
    now: Nanos,
    counts: BTreeMap<NodeName, NodeProgress>,
}

impl Story {
    fn new() -> Self {
        Self::of(outlook(&["n1", "n2", "n3", "n4", "n5"], Amount::Schedule))
    }

    fn of(outlook: Outlook) -> Self {
        let counts = outlook.nodes.iter();
        Self {
            counts: counts
                .map(|name| (name.clone(), NodeProgress::default()))
                .collect(),
            state: State::new(outlook),
            now: 0,
        }
    }

    fn happened(&mut self, event: Event) {
        let time = self.now;
        self.state.take(&Record { time, event });
    }

    fn begin(&mut self, stage: Stage) {
        self.happened(Event::StageBegan { stage });
    }

    /// For so many seconds each node has so many confirms, failures and receipts a second.
    fn work(&mut self, seconds: u64, each: [[u64; 3]; 5]) {
        for _ in 0..seconds {
            self.now += SECOND;
            for (counts, [ok, info, received]) in self.counts.values_mut().zip(each) {
                counts.attempts += ok + info;
                counts.ok += ok;
                counts.info += info;
                counts.received += received;
            }
            let sum = |of: fn(&NodeProgress) -> u64| self.counts.values().map(of).sum();
            self.happened(Event::Progress {
                attempts: sum(|counts| counts.attempts),
                ok: sum(|counts| counts.ok),
                fail: sum(|counts| counts.fail),
                info: sum(|counts| counts.info),
                received: sum(|counts| counts.received),
                nodes: self.counts.clone(),
            });
        }
    }

    fn cluster(&mut self, seen: &[(&str, &[&str])], leader: Option<&str>) {
        let view = |running: &[&str]| NodeView {
            running: names(running),
            ..NodeView::default()
        };
        let views = seen
            .iter()
            .map(|(node, running)| (NodeName((*node).to_owned()), view(running)));
        self.happened(Event::ClusterView {
            views: views.collect(),
            leader: leader.map(|leader| NodeName(leader.to_owned())),
        });
    }

    fn cut(&mut self) {
        self.happened(Event::FaultAsked {
            fault: FaultId(1),
            kind: "partition".to_owned(),
            description: "n1 n3 | n2 n4 n5".to_owned(),
            groups: vec![names(&["n1", "n3"]), names(&["n2", "n4", "n5"])],
        });
        self.happened(Event::FaultInjected {
            fault: FaultId(1),
            first: self.now,
            last: self.now,
            spread_us: None,
        });
    }

    fn proven(&mut self, proven: bool) {
        let proof = Proof {
            proven,
            evidence: Vec::new(),
        };
        self.happened(Event::FaultProven {
            fault: FaultId(1),
            proof,
        });
    }

    fn drained(&mut self, complete: bool) {
        let evidence = Vec::new();
        let proof = DrainProof { complete, evidence };
        self.happened(Event::Drained { proof });
    }

    /// The status, with the edge of the terminal.
    fn shown(&self, width: usize) -> String {
        self.shown_in(width, 24)
    }

    fn shown_in(&self, width: usize, height: usize) -> String {
        let rows = rows(&self.state, self.now, width, height);
        assert!(rows.len() <= height, "{} rows", rows.len());
        let mut text = String::new();
        for row in rows {
            assert!(row.width() <= width, "{row:?}");
            text += &row.painted(false);
            text += &" ".repeat(width - row.width());
            text += "|\n";
        }
        text
    }
}

/// Five nodes under load, cut in two for 23 s.
fn cut() -> Story {
    let all: &[&str] = &["n1", "n2", "n3", "n4", "n5"];
    let mut story = Story::new();
    story.begin(Stage::Load);
    story.work(2, [[40, 0, 0]; 5]);
    story.work(32, [[100, 0, 0]; 5]);
    story.cluster(&[("n1", all), ("n2", all)], Some("n2"));
    story.cut();
    story.work(
        12,
        [[0, 0, 0], [98, 0, 0], [0, 1, 0], [101, 0, 0], [99, 0, 0]],
    );
    story.proven(true);
    story.cluster(
        &[
            ("n1", &["n1", "n3"]),
            ("n2", &["n2", "n4", "n5"]),
            ("n3", &[]),
            ("n4", &["n2", "n4", "n5"]),
        ],
        Some("n2"),
    );
    story.work(
        11,
        [[0, 3, 0], [98, 0, 0], [0, 0, 0], [101, 0, 0], [99, 0, 0]],
    );
    story
}

#[test]
fn a_cut_in_force_at_three_widths() {
    let story = cut();
    for width in [60, 80, 120] {
        insta::assert_snapshot!(format!("cut-{width}"), story.shown(width));
    }
}

#[test]
fn no_width_makes_a_row_wrap() {
    let story = cut();
    for width in 1..200 {
        for height in [1, 5, 9, 24] {
            story.shown_in(width, height);
        }
    }
}

#[test]
fn the_drain_tells_what_is_still_to_come_and_calls_nothing_lost() {
    let mut story = cut();
    story.begin(Stage::Drain);
    story.work(
        6,
        [
            [0, 0, 400],
            [0, 0, 380],
            [0, 0, 0],
            [0, 0, 390],
            [0, 0, 400],
        ],
    );
    let text = story.shown(80);
    insta::assert_snapshot!("drain", text);
    assert!(!text.contains("lost"));
    story.drained(true);
    assert!(
        story
            .shown(80)
            .contains("at least 13834 lost of 23254 confirmed"),
        "{}",
        story.shown(80)
    );
}

#[test]
fn a_drain_without_proof_calls_nothing_lost() {
    let mut story = cut();
    story.begin(Stage::Drain);
    story.work(3, [[0, 0, 400]; 5]);
    story.drained(false);
    story.begin(Stage::Collect);
    let text = story.shown(120);
    assert!(text.contains("not proven complete"), "{text}");
    assert!(!text.contains("lost"), "{text}");
}

#[test]
fn nothing_is_set_against_confirms_where_clients_also_take_messages_out() {
    let mut outlook = outlook(&["n1"], Amount::Schedule);
    outlook.is_queue = false;
    let mut story = Story::of(outlook);
    story.begin(Stage::Load);
    story.work(3, [[100, 0, 0]; 5]);
    assert!(!story.shown(80).contains("confirmed"));
}

#[test]
fn many_nodes_leave_room_for_what_is_below_them() {
    let many: Vec<String> = (1..=40)
        .map(|number| format!("node-{number:02}.example"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut story = Story::of(outlook(&many, Amount::Schedule));
    story.begin(Stage::Load);
    story.work(3, [[100, 0, 0]; 5]);
    story.cut();
    insta::assert_snapshot!("many", story.shown_in(80, 10));
}

#[test]
fn faults_that_are_being_injected_not_proven_or_failed() {
    let mut story = cut();
    story.proven(false);
    for fault in 2..=6 {
        story.happened(Event::FaultAsked {
            fault: FaultId(fault),
            kind: "delay".to_owned(),
            description: format!(
                "n{fault} time=75ms jitter=100ms correlation=25% towards everybody else"
            ),
            groups: Vec::new(),
        });
    }
    story.happened(Event::FaultFailed {
        fault: FaultId(3),
        error: "no".to_owned(),
    });
    story.happened(Event::AwaitBegan {
        condition: AwaitId(1),
        fault: Some(FaultId(1)),
        description: "n2 n4 n5 to see exactly n2 n4 n5 running, and then some".to_owned(),
        within: Duration::from_secs(120),
    });
    insta::assert_snapshot!("faults", story.shown(80));
    story.happened(Event::StageEnded {
        stage: Stage::Heal,
        error: None,
    });
    assert!(!story.shown(80).contains("fault"));
}

#[test]
fn time_left_as_far_as_it_is_known() {
    let head = |story: &Story| story.shown(40).lines().next().unwrap().to_owned();
    let mut story = Story::new();
    story.begin(Stage::Connect);
    story.now += 3 * SECOND;
    assert_eq!(head(&story).trim_end_matches([' ', '|']), "connect  0:03");
    story.begin(Stage::Deploy);
    story.now += 65 * SECOND;
    assert!(head(&story).starts_with("deploy  1:05, at most 3:55 left"));
    story.begin(Stage::Load);
    story.now += 60 * SECOND;
    assert!(
        head(&story).starts_with("load  1:00, about 1:00 left  ━━━━━"),
        "{}",
        head(&story)
    );
    story.now += 60 * SECOND;
    assert!(head(&story).starts_with("load  2:00, longer than planned  ━"));
    story.happened(Event::Interrupted {
        by: "SIGINT".to_owned(),
    });
    assert!(head(&story).starts_with("load  2:00, ending after SIGINT  "));
}

#[test]
fn a_number_of_messages_takes_as_long_as_its_rate_says() {
    let outlook = outlook(&["n1", "n2", "n3", "n4", "n5"], Amount::Messages(20_000));
    let mut story = Story::of(outlook);
    story.begin(Stage::Load);
    story.work(100, [[50, 0, 0]; 5]);
    let text = story.shown(80);
    assert!(
        text.starts_with("load  1:40, about 5:00 left  ━━"),
        "{text}"
    );
}

#[test]
fn what_a_host_says_cannot_drive_the_terminal() {
    let mut story = Story::new();
    story.begin(Stage::Load);
    story.happened(Event::FaultAsked {
        fault: FaultId(1),
        kind: "pause".to_owned(),
        description: "n1 \u{1b}[2J\u{202e}\r\nevil".to_owned(),
        groups: Vec::new(),
    });
    let alarms = vec!["\u{1b}]0;title\u{7}".to_owned()];
    let view = NodeView {
        running: names(&["n1"]),
        alarms,
        ..NodeView::default()
    };
    story.happened(Event::ClusterView {
        views: [(NodeName("n1".to_owned()), view)].into(),
        leader: None,
    });
    let text = story.shown(80);
    assert!(text.contains("evil"), "{text}");
    let is_free = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
    assert!(text.chars().all(is_free), "{text:?}");
}

#[test]
fn runs_of_old_tell_no_counts_of_nodes() {
    let mut story = Story::new();
    story.begin(Stage::Load);
    let old =
        r#"{"time":1,"event":"progress","attempts":10,"ok":9,"fail":1,"info":0,"received":0}"#;
    story.state.take(&serde_json::from_str(old).unwrap());
    assert!(story.shown(80).contains("9 confirmed"));
    let again = serde_json::to_string(&serde_json::from_str::<Record>(old).unwrap()).unwrap();
    assert_eq!(again, old);
}

#[test]
fn plain_lines_have_times_and_counts_now_and_then() {
    let outlook = outlook(&["n1"], Amount::Schedule);
    let mut out = Vec::new();
    let mut plain = Plain::new(outlook, &mut out);
    let mut tell = |time: Nanos, event| plain.take(&Record { time, event });
    let progress = |ok, received| Event::Progress {
        attempts: ok,
        ok,
        fail: 0,
        info: 0,
        received,
        nodes: BTreeMap::new(),
    };
    tell(0, Event::StageBegan { stage: Stage::Load });
    for second in 0..12 {
        tell(second * SECOND, progress(second as u64 * 100, 0));
    }
    tell(
        20 * SECOND,
        Event::StageBegan {
            stage: Stage::Drain,
        },
    );
    tell(21 * SECOND, progress(1100, 900));
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "[    0.0s] load",
            "[    0.0s]   0 attempts, 0 ok, 0 fail, 0 info",
            "[   10.0s]   1000 attempts, 1000 ok, 0 fail, 0 info, 100 ok/s",
            "[   20.0s] drain",
            "[   21.0s]   1100 attempts, 1100 ok, 0 fail, 0 info, 900 received, 200 still to come",
        ]
    );
}
