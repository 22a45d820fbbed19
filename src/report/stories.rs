//! What happened around a finding, in words: which faults were in force, who led the queue, what the brokers did. Of
//! losses also which messages share a fate, and on which side of which cut they were confirmed.
//!
//! Nothing is said that the events, the counts or the brokers' own logs do not say.

use std::collections::BTreeSet;

use super::cluster::{leader_after, leader_before, leaders_within, sides};
use super::terminal::{most_telling, seconds};
use crate::check::results::{LogLine, LogPattern, LossGroup, Results};
use crate::check::window::Window;
use crate::event::Record;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::FaultId;

/// Brokers decide within so long after a heal, or after the last confirm.
const AFTER_NS: Nanos = 15_000_000_000;

/// For longer than this, too much happens that has nothing to do with a counterexample.
const BRIEF_NS: Nanos = 60_000_000_000;
const FAULTS_TOLD_MAX: usize = 3;
/// The last changes of leaders that are told.
const CHANGES_TOLD_MAX: usize = 3;

/// Lost messages that share a fate.
#[derive(Debug)]
pub struct Story {
    /// In one sentence.
    pub headline: String,
    /// What else is known, a sentence each.
    pub points: Vec<String>,
    /// By node and time.
    pub groups: Vec<LossGroup>,
    /// What the brokers said meanwhile.
    pub lines: Vec<LogLine>,
    /// When the first and the last was confirmed.
    pub span: (Nanos, Nanos),
}

/// One story for each fault and side.
pub fn stories(results: &Results, events: &[Record]) -> Vec<Story> {
    let mut fates: Vec<(Fate, Vec<LossGroup>)> = Vec::new();
    for group in &results.total_queue.data.losses {
        let fate = Fate::of(group, events);
        match fates.iter_mut().find(|(known, _)| *known == fate) {
            Some((_, groups)) => groups.push(group.clone()),
            None => fates.push((fate, vec![group.clone()])),
        }
    }
    let stories = fates.into_iter();
    stories
        .map(|(fate, groups)| story(&fate, groups, results, events))
        .collect()
}

/// What else was going on while a counterexample happened, a sentence each: faults, leaders, and what the brokers did if
/// it did not take too long to be to the point.
pub fn meanwhile(span: (Nanos, Nanos), results: &Results, events: &[Record]) -> Vec<String> {
    let (first, last) = span;
    let faults = results.coverage.data.faults.iter();
    let in_force = faults.filter_map(|fault| {
        let from = fault.injected_first_ns.filter(|from| *from <= last)?;
        let until = fault.healed_ns.filter(|until| *until < first);
        until.is_none().then_some((fault, from))
    });
    let in_force: Vec<_> = in_force.collect();
    let mut told: Vec<String> = in_force
        .iter()
        .take(FAULTS_TOLD_MAX)
        .map(|(fault, from)| {
            let number = fault.fault.0;
            let what = fault.description.as_deref().unwrap_or("not described");
            let until = fault
                .healed_ns
                .map_or_else(|| "on".to_owned(), |until| format!("to {}", seconds(until)));
            format!(
                "Fault {number} ({what}) was in force from {} {until}.",
                seconds(*from)
            )
        })
        .collect();
    if let more @ 1.. = in_force.len().saturating_sub(FAULTS_TOLD_MAX) {
        told.push(format!("{more} more faults were in force."));
    }
    if in_force.is_empty() {
        told.push("No fault was in force.".to_owned());
    }
    told.extend(leadership(first, last, events));
    if last.saturating_sub(first) <= BRIEF_NS {
        let lines = results.logs.lines.iter();
        let until = last.saturating_add(AFTER_NS);
        let lines: Vec<&LogLine> = lines
            .filter(|line| (first..=until).contains(&line.time_ns))
            .collect();
        let (decisive, others) = deeds(&lines, &BTreeSet::new());
        told.extend(decisive.iter().chain(&others).map(|deed| sentence(deed)));
    }
    told
}

/// How many a story tells of, in words.
pub fn total(story: &Story) -> String {
    let count: u64 = story.groups.iter().map(|group| group.count).sum();
    format!("{} {}", grouped(count), noun(count))
}

fn between(first: Nanos, last: Nanos) -> String {
    match (seconds(first), seconds(last)) {
        (first, last) if first == last => format!("at {first}"),
        (first, last) => format!("between {first} and {last}"),
    }
}

fn noun(count: u64) -> &'static str {
    match count {
        1 => "message",
        _ => "messages",
    }
}

/// What lost messages have in common.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    fault: Option<FaultId>,
    /// The nodes that were cut off together, if it was a cut.
    side: Vec<NodeName>,
    /// From whom.
    others: Vec<NodeName>,
}

impl Fate {
    fn of(group: &LossGroup, events: &[Record]) -> Self {
        let fault = match group.window {
            Window::Before => None,
            Window::During(fault) | Window::After(fault) => Some(fault),
        };
        let groups = fault.map_or_else(Vec::new, |fault| sides(fault, events));
        let (side, others): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|side| side.contains(&group.node));
        Self {
            fault,
            side: side.into_iter().next().unwrap_or_default(),
            others: others.into_iter().flatten().collect(),
        }
    }
}

fn story(fate: &Fate, groups: Vec<LossGroup>, results: &Results, events: &[Record]) -> Story {
    let count: u64 = groups.iter().map(|group| group.count).sum();
    let nodes: BTreeSet<&NodeName> = groups.iter().map(|group| &group.node).collect();
    let first = groups.iter().map(|group| group.first_confirmed_ns).min();
    let last = groups.iter().map(|group| group.last_confirmed_ns).max();
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
    let faults = &results.coverage.data.faults;
    let fault = faults.iter().find(|fault| Some(fault.fault) == fate.fault);
    let healed = fault.and_then(|fault| fault.healed_ns);
    let from = fault.and_then(|fault| fault.injected_first_ns);
    let window = (
        from.unwrap_or(first).min(first),
        healed.unwrap_or(last).max(last).saturating_add(AFTER_NS),
    );
    let lines: Vec<&LogLine> = results
        .logs
        .lines
        .iter()
        .filter(|line| (window.0..=window.1).contains(&line.time_ns))
        .collect();

    let mut headline = format!(
        "{} {} confirmed by {} {}",
        grouped(count),
        noun(count),
        and(nodes.iter().copied()),
        between(first, last)
    );
    let is_all = nodes.iter().copied().eq(&fate.side);
    if let Some(circumstance) = circumstance(fate, is_all, &groups, healed, last) {
        headline += &format!(", {circumstance}");
    }
    let (decisive, others) = deeds(&lines, &nodes);
    if let Some(decisive) = decisive {
        headline += &format!("; {decisive}");
    }
    headline.push('.');
    let mut points = leadership(first, last, events);
    points.extend(others.iter().map(|deed| format!("Also, {deed}.")));
    points.push(
        "Each was published through the node that confirmed it, and its confirm is the last that is known of it: \
         no client received it, and the drain, which is proven complete, did not find it on any node."
            .to_owned(),
    );
    Story {
        headline,
        points,
        groups,
        lines: most_telling(lines).into_iter().cloned().collect(),
        span: (first, last),
    }
}

/// In which trouble the confirming nodes were.
fn circumstance(
    fate: &Fate,
    is_all: bool,
    groups: &[LossGroup],
    healed: Option<Nanos>,
    last: Nanos,
) -> Option<String> {
    let number = fate.fault?.0;
    let is_during = groups
        .iter()
        .any(|group| matches!(group.window, Window::During(_)));
    let after = healed.filter(|healed| last > *healed);
    let mut text = match (is_during, fate.side.is_empty()) {
        (true, false) => format!(
            "while {} cut off from {} (fault {number})",
            was(&fate.side, is_all),
            and(&fate.others)
        ),
        (true, true) => format!("while fault {number} was in force"),
        (false, _) => return Some(format!("after fault {number} was undone")),
    };
    if let Some(healed) = after {
        text += &format!(
            " and until {} after the heal",
            seconds(last.saturating_sub(healed))
        );
    }
    Some(text)
}

fn was(nodes: &[NodeName], is_all: bool) -> String {
    match (nodes.len(), is_all) {
        (1, true) => "it was".to_owned(),
        (1, false) => format!("{} was", and(nodes)),
        (_, true) => "they were".to_owned(),
        (_, false) => format!("{} were", and(nodes)),
    }
}

/// What the brokers did that takes messages away: what took those of these nodes, if their logs tell that, and
/// what else.
fn deeds(lines: &[&LogLine], nodes: &BTreeSet<&NodeName>) -> (Option<String>, Vec<String>) {
    let (mut decisive, mut deeds) = (None, Vec::new());
    let rounds = autoheals(lines);
    let has_rounds = !rounds.is_empty();
    for (losers, deed) in rounds {
        let took = nodes.iter().all(|node| losers.contains(&node.0));
        if took && decisive.is_none() {
            decisive = Some(deed);
        } else {
            deeds.push(deed);
        }
    }
    let promotions = by_pattern(lines, LogPattern::Promotion);
    for line in promotions.iter().take(4) {
        deeds.push(format!(
            "the mirror on {} became the leader of the queue at {}",
            line.node,
            seconds(line.time_ns)
        ));
    }
    let pauses = by_pattern(lines, LogPattern::Pause);
    let paused: BTreeSet<&NodeName> = pauses.iter().map(|line| &line.node).collect();
    if let Some(first) = pauses.first() {
        let who = match paused.len() {
            1 => "the broker of",
            _ => "the brokers of",
        };
        deeds.push(format!(
            "{who} {} paused, being in a minority, first at {}",
            and(paused),
            seconds(first.time_ns)
        ));
    }
    let crashes = by_pattern(lines, LogPattern::Crash);
    let crashed: BTreeSet<&NodeName> = crashes.iter().map(|line| &line.node).collect();
    if let Some(first) = crashes.first() {
        deeds.push(format!(
            "processes inside the broker of {} crashed, first at {}",
            and(crashed),
            seconds(first.time_ns)
        ));
    }
    if decisive.is_none() && !has_rounds && !deeds.is_empty() {
        decisive = Some(deeds.remove(0));
    }
    (decisive, deeds)
}

/// Each decision of autoheal: whom it restarted, and in words.
fn autoheals(lines: &[&LogLine]) -> Vec<(Vec<String>, String)> {
    let mut winner = Vec::new();
    let mut rounds: Vec<(Vec<String>, String)> = Vec::new();
    for line in by_pattern(lines, LogPattern::AutohealDecision) {
        if line.text.contains("* Winner:") {
            winner = erlang_names(&line.text);
        } else if line.text.contains("* Losers:") {
            let losers = erlang_names(&line.text);
            let mut deed = format!(
                "autoheal then ({}) restarted {}",
                seconds(line.time_ns),
                and_names(&losers)
            );
            if !winner.is_empty() {
                deed += &format!(", which took what the side of {} had", and_names(&winner));
            }
            rounds.push((losers, deed));
        }
    }
    rounds
}

fn by_pattern<'a>(lines: &[&'a LogLine], pattern: LogPattern) -> Vec<&'a LogLine> {
    let found = lines.iter().copied();
    found.filter(|line| line.pattern == pattern).collect()
}

/// Who led the queue then, and who after.
fn leadership(first: Nanos, last: Nanos, events: &[Record]) -> Vec<String> {
    let mut told = Vec::new();
    let then = leader_before(first, events);
    if let Some((leader, at)) = &then {
        told.push(format!(
            "{leader} led the queue before, as most nodes said when asked at {}.",
            seconds(*at)
        ));
    }
    let before = then.map(|(leader, _)| leader);
    let changes = leaders_within(first, last, events, before);
    let unnamed = changes.len().saturating_sub(CHANGES_TOLD_MAX);
    if unnamed > 0 {
        told.push(format!("Its leader changed {} times.", changes.len()));
    }
    for (leader, at) in &changes[unnamed..] {
        told.push(format!(
            "{leader} led it meanwhile, as most nodes said from {} on.",
            seconds(*at)
        ));
    }
    if let Some((leader, at)) = leader_after(last, events) {
        told.push(format!(
            "{leader} led it afterwards, as most nodes said at {}.",
            seconds(at)
        ));
    }
    told
}

/// `rabbit@n3,rabbit@n1` in a log line as `n3` and `n1`.
fn erlang_names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .split("rabbit@")
        .skip(1)
        .map(|rest| {
            let end = rest.find([',', ']', ' ', '\'', '"']);
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn and<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> String {
    let names: Vec<String> = nodes.into_iter().map(|node| node.0.clone()).collect();
    and_names(&names)
}

/// `n1, n2 and n3`.
fn and_names(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [some @ .., last] => format!("{} and {last}", some.join(", ")),
    }
}

/// A clause as a sentence.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// `4,049`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::{EVENTS_FILE, judge, read_events};
    use crate::check::testing::Run;

    #[test]
    fn a_loss_is_told_with_its_cut_and_what_autoheal_did() {
        let log = b"2026-11-23 10:51:05.5+00:00 [info] <0.1.0> Mirrored queue 'q' in vhost '/': Promoting mirror <rabbit@n1.1795429659.1569.0> to leader\n\
            2026-11-23 10:51:09+00:00 [info] <0.1.0> Autoheal decision\n\
            2026-11-23 10:51:09+00:00 [info] <0.1.0>   * Winner:     rabbit@n2\n\
            2026-11-23 10:51:09+00:00 [info] <0.1.0>   * Losers:     [rabbit@n3,rabbit@n1]\n";
        let run = Run {
            lost: 4..9,
            log,
            ..Run::default()
        };
        let directory = run.write();
        let results = judge(directory.path()).unwrap();
        let events = read_events(&directory.path().join(EVENTS_FILE)).unwrap();
        let stories = stories(&results, &events);
        let told: Vec<_> = stories
            .iter()
            .map(|story| format!("{}\n  {}", story.headline, story.points.join("\n  ")))
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_counterexample_is_told_with_what_went_on() {
        let log = b"2026-11-23 10:51:05.5+00:00 [info] <0.1.0> Mirrored queue 'q' in vhost '/': Promoting mirror <rabbit@n1.1795429659.1569.0> to leader\n";
        let run = Run {
            log,
            ..Run::default()
        };
        let directory = run.write();
        let results = judge(directory.path()).unwrap();
        let events = read_events(&directory.path().join(EVENTS_FILE)).unwrap();
        let line = results.logs.lines[0].time_ns;
        let told = meanwhile((line - 1, line), &results, &events);
        assert!(
            told.iter()
                .any(|told| told.contains("The mirror on n1 became the leader")),
            "{told:?}"
        );
        let fault = &results.coverage.data.faults[0];
        let from = fault.injected_first_ns.unwrap();
        let during = meanwhile((from, from + 1), &results, &events);
        assert!(during[0].starts_with("Fault 1 (partition "), "{during:?}");
        let before = meanwhile((from - 2, from - 1), &results, &events);
        assert_eq!(before[0], "No fault was in force.");
        let long = meanwhile((line - 2 * BRIEF_NS, line), &results, &events);
        assert!(!long.iter().any(|told| told.contains("mirror")), "{long:?}");
    }

    #[test]
    fn numbers_and_names_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(12_345_678), "12,345,678");
        let names = erlang_names("* Losers:     [rabbit@n3,rabbit@n1]");
        assert_eq!(and_names(&names), "n1 and n3");
        assert!(erlang_names("no one").is_empty());
    }
}
