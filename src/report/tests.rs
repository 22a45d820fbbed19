use quick_junit::{Report, TestCaseStatus};

use super::*;
use crate::check::Verdict;
use crate::check::exclusive::{Exclusive, Turn, Turns};
use crate::check::judge::judge;
use crate::check::order::{Jump, Order, Sighting};
use crate::check::results::{AwaitCoverage, Finding, Value};
use crate::check::testing::Run;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::scenario::Checker;
use crate::schedule::AwaitId;

fn terminal_text(run: &Run<'_>) -> String {
    terminal::text(&judge(run.write().path()).expect("results"))
}

#[test]
fn a_valid_run() {
    insta::assert_snapshot!(terminal_text(&Run::default()));
}

#[test]
fn an_invalid_run() {
    let log = b"2026-11-23 10:51:05.25+00:00 [info] <0.1.0> node rabbit@n2 down: net_tick_timeout\n\
        2026-11-23 10:51:05.5+00:00 [info] <0.1.0> Mirrored queue 'q' in vhost '/': Promoting mirror <rabbit@n1.1795429659.1569.0> to leader\n\
        2026-11-23 10:51:09+00:00 [info] <0.1.0> Autoheal decision\n\
        2026-11-23 10:51:09+00:00 [info] <0.1.0>   * Winner:     rabbit@n2\n";
    let run = Run {
        lost: 4..6,
        log,
        ..Run::default()
    };
    insta::assert_snapshot!(terminal_text(&run));
}

#[test]
fn an_unknown_run() {
    let run = Run {
        lost: 4..6,
        drained: false,
        ..Run::default()
    };
    insta::assert_snapshot!(terminal_text(&run));
}

#[test]
fn a_hostile_log_does_nothing_in_page_and_terminal() {
    let mut log = b"2026-11-23 10:51:05+00:00 [info] <0.1.0> node rabbit@n2 down: \
        <script>alert(1)</script> \x1b[2J\xff\r"
        .to_vec();
    log.extend(vec![b'x'; 1 << 20]);
    let run = Run {
        lost: 4..6,
        log: &log,
        ..Run::default()
    };
    let directory = run.write();
    let results = judge(directory.path()).expect("results");
    write(directory.path(), &results).expect("the report");
    let page = std::fs::read_to_string(directory.path().join("report.html")).expect("a page");
    assert!(!page.contains("<script>alert"));
    assert!(page.contains("&#60;script&#62;alert(1)"));
    let shown = terminal::text(&results);
    assert!(shown.contains("<script>alert(1)</script>"), "{shown}");
    assert!(!shown.contains(['\x1b', '\r']), "{shown}");
}

#[test]
fn junit_is_read_as_it_was_meant() {
    let run = Run {
        lost: 4..6,
        drained: false,
        ..Run::default()
    };
    let results = judge(run.write().path()).expect("results");
    let text = junit::text(&results).expect("junit.xml");
    let report = Report::deserialize_from_str(&text).expect("JUnit");
    assert_eq!(
        (report.tests, report.failures, report.errors),
        (7, 0, 2),
        "{text}"
    );
}

#[test]
fn what_is_only_reported_fails_no_case() {
    let mut results = judge(Run::default().write().path()).expect("results");
    let duplicates = results.findings.duplicates.as_mut().expect("a finding");
    duplicates.verdict = Verdict::Invalid;
    duplicates.summary = "2 came again".to_owned();
    let text = junit::text(&results).expect("junit.xml");
    assert!(text.contains(r#"failures="0""#), "{text}");
    assert!(
        text.contains(r#"<skipped message="2 came again"/>"#),
        "{text}"
    );
    results.reported.clear();
    let text = junit::text(&results).expect("junit.xml");
    assert!(
        text.contains(r#"<failure message="2 came again"/>"#),
        "{text}"
    );
}

#[test]
fn junit_has_a_case_for_each_checker_and_each_fault() {
    let run = Run {
        lost: 4..6,
        ..Run::default()
    };
    let mut results = judge(run.write().path()).expect("results");
    results.coverage.data.faults[0].description = Some("cut <n1> & \u{1b}[2J\0 ]]>".into());
    let read = |results: &Results| {
        let text = junit::text(results).expect("junit.xml");
        Report::deserialize_from_str(&text).expect("JUnit")
    };
    let report = read(&results);
    let cases = &report.test_suites[0].test_cases;
    let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    let parts: Vec<_> = results.parts().iter().map(|part| part.name).collect();
    let (checkers, faults) = names.split_at(parts.len());
    assert_eq!(checkers, parts);
    assert!(checkers.contains(&"total-queue") && checkers.contains(&"evidence"));
    assert_eq!((faults.len(), report.failures), (1, 1));
    assert!(faults[0].starts_with("fault-1 cut <n1> & "), "{faults:?}");
    assert!(!faults[0].contains(['\u{1b}', '\0']), "{faults:?}");

    results.reported = vec![Checker::TotalQueue];
    let report = read(&results);
    let first = &report.test_suites[0].test_cases[0].status;
    assert!(matches!(first, TestCaseStatus::Skipped { .. }), "{first:?}");
    assert_eq!(report.failures, 0, "what does not decide fails nothing");
}

#[test]
fn what_was_waited_for_is_told_everywhere() {
    let mut results = judge(Run::default().write().path()).expect("results");
    let awaited = |began_ns, ended_ns, came| AwaitCoverage {
        condition: AwaitId(1),
        description: "all to see exactly all running".into(),
        fault: None,
        began_ns,
        ended_ns,
        came,
        evidence: vec!["n1 sees <n1>".into()],
    };
    let second = 1_000_000_000;
    results.coverage.data.awaits = vec![
        awaited(Some(second), Some(3 * second), true),
        awaited(Some(second), Some(61 * second), false),
        awaited(Some(second), None, false),
        awaited(None, None, false),
    ];
    let shown = terminal::text(&results);
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    for line in [
        "Await 1: all to see exactly all running: came after 2.0 s",
        "Await 1: all to see exactly all running: NOT within 60.0 s",
        "seen last: n1 sees <n1>",
        "Await 1: all to see exactly all running: the run ended before",
        "Await 1: all to see exactly all running: never waited for",
    ] {
        assert!(lines.contains(&line), "{line} is not in:\n{shown}");
    }
    let text = junit::text(&results).expect("junit.xml");
    let report = Report::deserialize_from_str(&text).expect("JUnit");
    assert_eq!((report.tests, report.errors), (11, 3), "{text}");
    let directory = Run::default().write();
    write(directory.path(), &results).expect("the report");
    let page = std::fs::read_to_string(directory.path().join("report.html")).expect("a page");
    assert!(page.contains("NOT within 60.0 s <small>(n1 sees &#60;n1&#62;)"));
}

#[test]
fn a_jump_and_two_active_consumers_are_told() {
    let mut results = judge(Run::default().write().path()).expect("results");
    let value = |sequence| Value {
        producer: 1,
        sequence,
    };
    let sighting = |sequence, received_s: Nanos| Sighting {
        value: value(sequence),
        attempt: 0,
        published_ns: 1_000_000_000,
        confirmed_ns: None,
        received_ns: received_s * 1_000_000_000,
    };
    let node = |name: &str| Some(NodeName(name.to_owned()));
    results.findings.order = Some(Finding {
        verdict: Verdict::Invalid,
        summary: String::new(),
        data: Order {
            received: 2,
            backward: 1,
            jumps: vec![Jump {
                queue: 0,
                process: 7,
                node: node("n2"),
                late: sighting(3, 5),
                after: sighting(4, 2),
            }],
            ..Order::default()
        },
    });
    let turn = |name, received_s: Nanos| Turn {
        process: 7,
        node: node(name),
        value: value(1),
        published_ns: 0,
        received_ns: received_s * 1_000_000_000,
    };
    results.findings.exclusive = Some(Finding {
        verdict: Verdict::Invalid,
        summary: String::new(),
        data: Exclusive {
            overlaps: 1,
            overlapping: vec![Turns {
                queue: 0,
                turns: vec![turn("n1", 1), turn("n3", 2), turn("n1", 3), turn("n3", 4)],
            }],
            ..Exclusive::default()
        },
    });
    let text = terminal::text(&results).replace("\n    ", " ");
    for told in [
        "The order: 2 received by consumers, 0 in the drain (0 redelivered), 1 out of order",
        "n2's consumer received message 3 of producer 1 (published at 1.0 s, received at 5.0 s) after message 4",
        "two at once: n1 at 1.0 s, n3 at 2.0 s, n1 at 3.0 s, n3 at 4.0 s",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let directory = Run::default().write();
    write(directory.path(), &results).expect("the report");
    let page = std::fs::read_to_string(directory.path().join("report.html")).expect("a page");
    for drawn in [
        "<h3>The order, as consumers saw it</h3>",
        "message 3 of producer 1 was received at 5.0 s, after message 4 of producer 1, which comes later",
        "<h3>Consumers that were active at once</h3>",
        "n3&#39;s consumer 7",
    ] {
        assert!(page.contains(drawn), "{drawn}");
    }
}
