use std::io::Cursor;

use super::*;
use crate::inventory::NodeName;
use crate::manifest::NodeFacts;

const WINDOW: [(Nanos, Nanos); 1] = [(0, 60_000_000_000)];

fn node(clock_offset_us: i64) -> ManifestNode {
    ManifestNode {
        name: NodeName("n1".into()),
        address: String::new(),
        peer_address: String::new(),
        facts: Some(NodeFacts {
            clock_offset_us: Some(clock_offset_us),
            ..NodeFacts::default()
        }),
    }
}

fn search(log: &[u8], clock_offset_us: i64, windows: &[(Nanos, Nanos)]) -> (Vec<LogLine>, u64) {
    let node = node(clock_offset_us);
    let started = "2026-11-23T10:51:00Z".parse().expect("a time");
    let Some(clocks) = NodeClocks::of(&node, started, &[]) else {
        return Default::default();
    };
    let times = clocks.times(Writer::Broker, |_| panic!("one offset held"));
    let mut search = Search::new(&node.name, times, windows);
    each_line(Cursor::new(log), |line| search.line(line)).expect("memory is readable");
    (search.found, search.left_out)
}

#[track_caller]
fn check(log: &str, expected: &[(Nanos, LogPattern, &str)]) {
    let (found, _) = search(log.as_bytes(), 0, &WINDOW);
    let found: Vec<_> = found
        .iter()
        .map(|line| (line.time_ns, line.pattern, line.text.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_format_gives_its_time_and_text() {
    let text = "node rabbit@n4 down: net_tick_timeout";
    for (head, time_ns) in [
        (
            "2026-11-23 10:51:36.664352+00:00 [info] <0.1512.0>",
            36_664_352_000,
        ),
        ("2026-11-23 10:51:36.664 [info] <0.1512.0>", 36_664_000_000),
        (
            "2026-11-23 11:51:36.664352+01:00 [info] <0.1512.0>",
            36_664_352_000,
        ),
        (
            "2026-11-23T10:51:36.664352Z [notice] <0.1.0>",
            36_664_352_000,
        ),
    ] {
        check(
            &format!("{head} {text}\n"),
            &[(time_ns, LogPattern::NodeDown, text)],
        );
    }
}

#[test]
fn the_wording_of_several_versions_is_known() {
    for (text, pattern) in [
        ("rabbit on node rabbit@n2 down", LogPattern::NodeDown),
        ("rabbit on node rabbit@n2 up", LogPattern::NodeUp),
        ("node rabbit@n2 up", LogPattern::NodeUp),
        ("Autoheal request sent to rabbit@n1", LogPattern::Autoheal),
        (
            "Autoheal: we were selected to restart; winner is rabbit@n5",
            LogPattern::AutohealDecision,
        ),
        (
            "Mirrored queue 'q' in vhost '/': Promoting mirror <rabbit@n5.1.2.0> to leader",
            LogPattern::Promotion,
        ),
        (
            "Mirrored queue 'q' in vhost '/': Promoting slave <rabbit@n5.1.2.0> to master",
            LogPattern::Promotion,
        ),
        (
            "Mirrored queue 'q' in vhost '/': Adding mirror on node rabbit@n4: <1.2.3>",
            LogPattern::Mirror,
        ),
        (
            "Cluster minority/secondary status detected - awaiting recovery",
            LogPattern::Pause,
        ),
        (
            "Mnesia(rabbit@n1): ** ERROR ** mnesia_event got {inconsistent_database, running_partitioned_network, rabbit@n4}",
            LogPattern::Partition,
        ),
        ("Partial partition detected:", LogPattern::PartialPartition),
        (
            "queue 'jtest.queue' in vhost '/': election called for in term 2",
            LogPattern::Election,
        ),
        (
            "queue 'jtest.queue' in vhost '/': candidate -> leader in term: 3 machine version: 3",
            LogPattern::Election,
        ),
        ("RabbitMQ is asked to stop...", LogPattern::Stop),
        ("crasher:", LogPattern::Crash),
    ] {
        check(
            &format!("2026-11-23 10:51:01.5+00:00 [info] <0.1.0> {text}\n"),
            &[(1_500_000_000, pattern, text)],
        );
    }
    check(
        "2026-11-23 10:51:01.5+00:00 [info] <0.1.0> accepting AMQP connection\n",
        &[],
    );
}

#[test]
fn a_line_without_a_time_continues_the_one_before() {
    check(
        "  * Winner:     rabbit@n9\n\
         2026-11-23 10:51:59.535973+00:00 [info] <0.1512.0> Autoheal decision\n  \
           * Partitions: [[rabbit@n3],[rabbit@n5]]\n  \
           * Winner:     rabbit@n5\n",
        &[
            (59_535_973_000, LogPattern::Autoheal, "Autoheal decision"),
            (
                59_535_973_000,
                LogPattern::AutohealDecision,
                "* Partitions: [[rabbit@n3],[rabbit@n5]]",
            ),
            (
                59_535_973_000,
                LogPattern::AutohealDecision,
                "* Winner:     rabbit@n5",
            ),
        ],
    );
}

#[test]
fn only_lines_near_a_fault_count_by_the_run_clock() {
    let log = b"2026-11-23 10:51:10+00:00 [info] <0.1.0> node rabbit@n2 up\n";
    let at = |offset_us, window| search(log, offset_us, &[window]).0.len();
    assert_eq!(at(0, (10_000_000_000, 10_000_000_000)), 1);
    assert_eq!(at(0, (0, 9_999_999_999)), 0);
    assert_eq!(at(0, (10_000_000_001, Nanos::MAX)), 0);
    // A clock that is 3 s ahead wrote the line 3 s earlier than it says.
    assert_eq!(at(3_000_000, (7_000_000_000, 7_000_000_000)), 1);
}

#[test]
fn hostile_logs_are_bounded() {
    let mut log = Vec::new();
    for _ in 0..100 {
        log.extend(b"2026-11-23 10:51:10+00:00 [info] <0.1.0> node rabbit@n2 up \xff\xfe<script>");
        log.extend(vec![b'x'; 1 << 16]);
        log.push(b'\n');
    }
    log.extend(b"2026-11-23 10:51:10+00:00 [info] <0.1.0> node rabbit@n2 down");
    let (found, left_out) = search(&log, i64::MIN, &[(Nanos::MIN, Nanos::MAX)]);
    assert!(found.is_empty() && left_out == 0, "no such time");
    let (found, left_out) = search(&log, 0, &WINDOW);
    assert_eq!((found.len(), left_out), (PATTERN_LINES_MAX + 1, 92));
    assert!(
        found
            .iter()
            .all(|line| line.text.chars().count() <= TEXT_CHARS_MAX)
    );
    assert_eq!(found[8].text, "node rabbit@n2 down");
}
