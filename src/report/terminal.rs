//! The summary at the end of a run, for a terminal of 80 columns.

use std::fmt::{self, Write};

use super::objects;
use crate::check::Verdict;
use crate::check::exclusive::{Exclusive, Turns};
use crate::check::fifo::Fifo;
use crate::check::lock::{HoldTimes, Lock};
use crate::check::order::{Order, Sighting};
use crate::check::results::{
    AwaitCoverage, EVIDENCE, FaultCoverage, LogLine, LogPattern, LossGroup, LostValue, Results,
    TotalQueue, Value,
};
use crate::check::window::Window;
use crate::diagnostic::visible;
use crate::history::operation::Nanos;

/// Groups of losses shown; `results.json` has all.
const GROUPS_MAX: usize = 12;

/// Log lines shown; `report.html` has more, the node's logs have all.
const LOG_LINES_MAX: usize = 12;

/// Examples of what contradicts a lock or an order shown.
pub(super) const EXAMPLES_MAX: usize = 5;

/// Lines of a fault's evidence shown.
const EVIDENCE_LINES_MAX: usize = 3;

/// Characters of a line of free text.
const COLUMNS: usize = 80;

/// The summary.
pub fn text(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = summary(&mut text, results);
    text
}

fn summary(out: &mut String, results: &Results) -> fmt::Result {
    let queue = &results.total_queue.data;
    if let Some(metadata) = &results.findings.metadata {
        objects::write(out, &metadata.data)?;
    } else {
        producers(out, queue)?;
        totals(out, queue)?;
    }
    faults(out, &results.coverage.data.faults)?;
    awaits(out, &results.coverage.data.awaits)?;
    losses(out, queue)?;
    if let Some(lock) = &results.findings.lock {
        overlaps(out, &lock.data)?;
    }
    if let Some(fifo) = &results.findings.fifo {
        disorder(out, &fifo.data)?;
    }
    if let Some(order) = &results.findings.order {
        jumps(out, &order.data)?;
    }
    if let Some(exclusive) = &results.findings.exclusive {
        switches(out, &exclusive.data)?;
    }
    if queue.lost.is_some_and(|lost| lost > 0) {
        logs(out, &results.logs.lines)?;
    }
    reported(out, results)?;
    let evidence = &results.evidence.data;
    if !evidence.interventions.is_empty() {
        writeln!(out, "What jtest did to have the cluster whole again:")?;
        for line in &evidence.interventions {
            wrapped(out, line)?;
        }
        writeln!(out)?;
    }
    if evidence.drain_complete {
        writeln!(out, "Drain proven complete:")?;
        for line in &evidence.drain_evidence {
            wrapped(out, line)?;
        }
    }
    writeln!(
        out,
        "\n{}: {}",
        word(results.verdict).to_uppercase(),
        visible(&verdict_text(results))
    )
}

/// What is told and changes no verdict.
fn reported(out: &mut String, results: &Results) -> fmt::Result {
    let parts = results.parts().into_iter();
    let reported: Vec<_> = parts.filter(|part| !part.decides).collect();
    if reported.is_empty() {
        return Ok(());
    }
    writeln!(out, "Besides, whatever the verdict:")?;
    for part in reported {
        wrapped(out, &format!("{}: {}", part.name, part.summary))?;
    }
    writeln!(out)
}

/// The verdict as one word.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unknown => "unknown",
    }
}

/// The verdict as a sentence.
pub fn verdict_text(results: &Results) -> String {
    match results.verdict {
        // That the evidence is complete goes without saying.
        Verdict::Valid => {
            let parts = results.parts();
            let told = parts
                .iter()
                .filter(|part| part.decides && part.name != EVIDENCE);
            let told: Vec<_> = told.map(|part| part.summary).collect();
            told.join("; ")
        }
        Verdict::Invalid | Verdict::Unknown => results.reasons.join("; "),
    }
}

/// Who held the lock while another did.
fn overlaps(out: &mut String, lock: &Lock) -> fmt::Result {
    writeln!(
        out,
        "The lock: {} acquires got it, {} found it taken, {} had no answer; lost with its connection {} times",
        lock.acquired, lock.refused, lock.unknown, lock.lost_with_connection
    )?;
    for overlap in lock.overlapping.iter().take(EXAMPLES_MAX) {
        let span = |hold: &HoldTimes| {
            let node = hold.node.as_ref().map_or("?", |node| node.0.as_str());
            let until = hold.until_ns.map_or("the end".to_owned(), seconds);
            format!("{node}'s client from {} to {until}", seconds(hold.from_ns))
        };
        let line = format!(
            "held by {}, and by {}",
            span(&overlap.held),
            span(&overlap.also)
        );
        wrapped(out, &line)?;
    }
    writeln!(out)
}

/// What was not in order.
fn disorder(out: &mut String, fifo: &Fifo) -> fmt::Result {
    writeln!(
        out,
        "The order: {} enqueued, {} dequeued ({} redelivered), {} found nothing, {} had no answer",
        fifo.enqueued, fifo.dequeued, fifo.redelivered, fifo.empty, fifo.unknown
    )?;
    for overtaking in fifo.overtaken.iter().take(EXAMPLES_MAX) {
        let line = format!(
            "{} (enqueued by {}) was overtaken by {} (enqueued from {}, dequeued by {})",
            name(overtaking.value),
            seconds(overtaking.enqueued_ns),
            name(overtaking.by),
            seconds(overtaking.by_enqueued_from_ns),
            seconds(overtaking.by_dequeued_ns)
        );
        wrapped(out, &line)?;
    }
    for empty in fifo.falsely_empty.iter().take(EXAMPLES_MAX) {
        let line = format!(
            "nothing was found from {} to {}, and {} was in the queue",
            seconds(empty.from_ns),
            seconds(empty.until_ns),
            name(empty.inside)
        );
        wrapped(out, &line)?;
    }
    writeln!(out)
}

/// What consumers saw come too late.
fn jumps(out: &mut String, order: &Order) -> fmt::Result {
    writeln!(
        out,
        "The order: {} received by consumers, {} in the drain ({} redelivered), {} out of order",
        order.received, order.drained, order.redelivered, order.backward
    )?;
    for jump in order.jumps.iter().take(EXAMPLES_MAX) {
        let node = jump.node.as_ref().map_or("?", |node| node.0.as_str());
        let seen = |sighting: &Sighting| {
            format!(
                "{} (published at {}, received at {})",
                name(sighting.value),
                seconds(sighting.published_ns),
                seconds(sighting.received_ns)
            )
        };
        let line = format!(
            "{node}'s consumer received {} after {}",
            seen(&jump.late),
            seen(&jump.after)
        );
        wrapped(out, &line)?;
    }
    writeln!(out)
}

/// Who was active beside others, or may have been.
fn switches(out: &mut String, exclusive: &Exclusive) -> fmt::Result {
    writeln!(
        out,
        "Active consumers: {}, {} handovers; {} switches back that may be legal, {} times two at once",
        exclusive.active, exclusive.handovers, exclusive.suspected, exclusive.overlaps
    )?;
    let told = |what: &str, turns: &Turns| {
        let turns = turns.turns.iter().map(|turn| {
            let node = turn.node.as_ref().map_or("?", |node| node.0.as_str());
            format!("{node} at {}", seconds(turn.received_ns))
        });
        format!("{what}: {}", turns.collect::<Vec<_>>().join(", "))
    };
    for turns in exclusive.overlapping.iter().take(EXAMPLES_MAX) {
        wrapped(out, &told("two at once", turns))?;
    }
    for turns in exclusive.switches.iter().take(EXAMPLES_MAX) {
        wrapped(out, &told("back again", turns))?;
    }
    writeln!(out)
}

/// A value, as producer and sequence number.
fn name(value: Value) -> String {
    format!("message {} of producer {}", value.sequence, value.producer)
}

fn producers(out: &mut String, queue: &TotalQueue) -> fmt::Result {
    writeln!(
        out,
        "{:<10}{:<8}{:>9}{:>9}{:>7}{:>7}{:>11}{:>10}{:>9}",
        "producer", "node", "attempts", "ok", "fail", "info", "confirmed", "received", "missing"
    )?;
    for producer in &queue.producers {
        let node = producer.node.as_ref().map_or("", |node| &node.0);
        let node = visible(node);
        writeln!(
            out,
            "{:<10}{:<8}{:>9}{:>9}{:>7}{:>7}{:>11}{:>10}{:>9}",
            producer.producer,
            node,
            producer.counts.attempts,
            producer.counts.ok,
            producer.counts.fail,
            producer.counts.info,
            producer.confirmed,
            producer.received,
            producer.confirmed_not_received
        )?;
    }
    writeln!(out)
}

fn totals(out: &mut String, queue: &TotalQueue) -> fmt::Result {
    let lost = queue
        .lost
        .map_or_else(|| "not known".to_owned(), |lost| lost.to_string());
    let lines = [
        (
            "confirmed",
            queue.confirmed.to_string(),
            "values with a confirm",
        ),
        (
            "received",
            queue.received.to_string(),
            "values received at least once",
        ),
        (
            "duplicates",
            queue.duplicates.to_string(),
            "receipts beyond a value's first",
        ),
        (
            "recovered",
            queue.recovered.to_string(),
            "outcome unknown, but received",
        ),
        (
            "nacked",
            queue.nacked_received.to_string(),
            "refused by the broker, but received",
        ),
        (
            "unexpected",
            queue.unexpected.to_string(),
            "received, though no queue took them",
        ),
        (
            "foreign",
            queue.foreign.to_string(),
            "damaged, or of another origin",
        ),
        ("LOST", lost, "confirmed, and never received"),
    ];
    for (name, count, meaning) in lines {
        writeln!(out, "{name:<12}{count:>12}  {meaning}")?;
    }
    if queue.expired > 0 {
        let (count, meaning) = (
            queue.expired,
            "confirmed, their time was over before the end",
        );
        writeln!(out, "{:<12}{count:>12}  {meaning}", "expired")?;
    }
    if let Some(lost @ 1..) = queue.lost {
        let share = 100.0 * lost as f64 / queue.confirmed.max(1) as f64;
        writeln!(out, "{:<12}{share:>11.1}%  of the confirmed", "")?;
    }
    writeln!(out)
}

fn faults(out: &mut String, faults: &[FaultCoverage]) -> fmt::Result {
    for fault in faults {
        let description = fault.description.as_deref().unwrap_or("never asked for");
        write!(out, "Fault {}: {}", fault.fault.0, visible(description))?;
        if let Some(from) = fault.injected_first_ns {
            write!(out, ", from {}", seconds(from))?;
        }
        if let Some(until) = fault.healed_ns {
            write!(out, " to {}", seconds(until))?;
        }
        if let Some(spread) = fault.spread_us {
            write!(out, ", spread {:.1} ms", spread as f64 / 1e3)?;
        }
        writeln!(out)?;
        let proof = match (fault.proven, fault.heal_proven) {
            (true, _) if fault.idle => "proven, but no client could do anything",
            _ if fault.idle => "nothing to do",
            (true, true) => "proven, and proven undone",
            (true, false) => "proven, NOT proven undone",
            (false, _) => "NOT PROVEN",
        };
        writeln!(out, "  {proof}")?;
        for line in fault.evidence.iter().take(EVIDENCE_LINES_MAX) {
            wrapped(out, line)?;
        }
        if fault.evidence.len() > EVIDENCE_LINES_MAX {
            let more = fault.evidence.len() - EVIDENCE_LINES_MAX;
            writeln!(out, "  ... and {more} more in results.json")?;
        }
        for error in &fault.errors {
            wrapped(out, error)?;
        }
    }
    writeln!(out)
}

fn awaits(out: &mut String, awaits: &[AwaitCoverage]) -> fmt::Result {
    for awaited in awaits {
        wrapped(out, &await_line(awaited))?;
        if !awaited.came {
            for line in &awaited.evidence {
                wrapped(out, &format!("seen last: {line}"))?;
            }
        }
    }
    if awaits.is_empty() {
        return Ok(());
    }
    writeln!(out)
}

/// What became of a condition, in words.
pub fn await_line(awaited: &AwaitCoverage) -> String {
    let outcome = match (awaited.began_ns, awaited.ended_ns, awaited.came) {
        (Some(began), Some(ended), true) => format!("came after {}", seconds(ended - began)),
        (Some(began), Some(ended), false) => format!("NOT within {}", seconds(ended - began)),
        (Some(_), None, _) => "the run ended before".to_owned(),
        (None, _, _) => "never waited for".to_owned(),
    };
    format!(
        "Await {}: {}: {outcome}",
        awaited.condition.0, awaited.description
    )
}

fn losses(out: &mut String, queue: &TotalQueue) -> fmt::Result {
    for group in queue.losses.iter().take(GROUPS_MAX) {
        writeln!(out, "{}", loss(group))?;
    }
    if queue.losses.len() > GROUPS_MAX {
        let more = queue.losses.len() - GROUPS_MAX;
        writeln!(out, "... and {more} groups more in results.json")?;
    }
    if let Some(first) = queue.lost_values.first() {
        writeln!(out, "First lost: {}", value(first))?;
    }
    if let Some(last) = &queue.last_lost {
        writeln!(out, "Last lost:  {}\n", value(last))?;
    }
    Ok(())
}

fn logs(out: &mut String, lines: &[LogLine]) -> fmt::Result {
    let shown = most_telling(lines);
    if shown.is_empty() {
        return Ok(());
    }
    writeln!(out, "What the brokers said:")?;
    for line in shown {
        let at = seconds(line.time_ns);
        let text = format!("  +{at} {} {}", line.node, line.text);
        writeln!(out, "{}", cut(&visible(&text)))?;
    }
    writeln!(out)
}

/// Those that best explain a loss, in the order of time.
pub fn most_telling<'a>(lines: impl IntoIterator<Item = &'a LogLine>) -> Vec<&'a LogLine> {
    let mut ranked: Vec<(u8, &LogLine)> = lines
        .into_iter()
        .filter_map(|line| Some((rank(line)?, line)))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(LOG_LINES_MAX);
    ranked.sort_by_key(|(_, line)| line.time_ns);
    ranked.into_iter().map(|(_, line)| line).collect()
}

/// How well a pattern explains a loss, 0 best; `None` where it rather describes the recovery.
fn rank(line: &LogLine) -> Option<u8> {
    match line.pattern {
        LogPattern::AutohealDecision | LogPattern::Promotion => Some(0),
        LogPattern::Pause | LogPattern::PartialPartition => Some(1),
        // The same again, without the reason.
        LogPattern::NodeDown if line.text.starts_with("rabbit on") => Some(4),
        LogPattern::NodeDown => Some(2),
        LogPattern::Partition | LogPattern::Election => Some(3),
        LogPattern::Crash | LogPattern::Stop => Some(4),
        LogPattern::Autoheal | LogPattern::Mirror | LogPattern::NodeUp => None,
    }
}

/// The text, shortened to the width of the terminal.
fn cut(text: &str) -> String {
    if text.chars().count() <= COLUMNS {
        return text.to_owned();
    }
    let short: String = text.chars().take(COLUMNS - 1).collect();
    format!("{short}…")
}

/// A paragraph under a heading: indented, and broken between words.
pub(super) fn wrapped(out: &mut String, text: &str) -> fmt::Result {
    let mut width = 0;
    for word in visible(text).split(' ') {
        let length = word.chars().count();
        if width == 0 {
            write!(out, "  {word}")?;
            width = 2 + length;
        } else if width + 1 + length <= COLUMNS {
            write!(out, " {word}")?;
            width += 1 + length;
        } else {
            write!(out, "\n    {word}")?;
            width = 4 + length;
        }
    }
    writeln!(out)
}

/// A group of losses in words.
pub fn loss(group: &LossGroup) -> String {
    format!(
        "{} lost, confirmed by {} {} (from {} to {})",
        group.count,
        group.node,
        window(group.window),
        seconds(group.first_confirmed_ns),
        seconds(group.last_confirmed_ns)
    )
}

fn value(lost: &LostValue) -> String {
    format!(
        "message {} of producer {}, confirmed by {} at {} {}",
        lost.value.sequence,
        lost.value.producer,
        lost.node,
        seconds(lost.confirmed_ns),
        window(lost.window)
    )
}

/// Where a moment lies among the faults.
pub fn window(window: Window) -> String {
    match window {
        Window::Before => "before the first fault".to_owned(),
        Window::During(fault) => format!("during fault {}", fault.0),
        Window::After(fault) => format!("after fault {}", fault.0),
    }
}

/// A moment of the run.
pub fn seconds(time: Nanos) -> String {
    format!("{:.1} s", time as f64 / 1e9)
}
