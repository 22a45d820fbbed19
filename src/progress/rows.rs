//! The status as rows of text, from top to bottom: the stage and its time, the rate, a row for each
//! node, the faults in force, what is waited for, and what is known of the confirmed messages.

use std::time::Duration;

use super::state::{Account, InForce, State};
use super::table;
use super::text::{Row, Tone, clock, fit, sparkline};
use crate::diagnostic::visible;
use crate::event::Stage;
use crate::history::operation::Nanos;
use crate::schedule::FaultId;

/// Faults that are shown at once, and as many conditions.
const SHOWN_MAX: usize = 4;

/// The status at a time, for a terminal of this size. No row is wider than it, nor are there more.
pub(super) fn rows(state: &State, now: Nanos, width: usize, height: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = head(state, now, width).into_iter().collect();
    let foot = foot(state, now, width);
    if shows_nodes(state) {
        rows.extend(rate(state, width));
        let room = height.saturating_sub(rows.len() + foot.len());
        rows.extend(table::rows(state, now, width, room));
    }
    rows.extend(foot);
    rows.truncate(height);
    rows.into_iter().map(|row| row.cut(width)).collect()
}

fn shows_nodes(state: &State) -> bool {
    match state.stage {
        Some((Stage::Load | Stage::Heal | Stage::Recover | Stage::Drain, _)) => true,
        Some((
            Stage::Connect
            | Stage::Preflight
            | Stage::Deploy
            | Stage::Collect
            | Stage::Check
            | Stage::Report,
            _,
        ))
        | None => false,
    }
}

fn since(now: Nanos, then: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(now - then).unwrap_or(0))
}

/// The stage, how long it lasts, and how much is left of it.
fn head(state: &State, now: Nanos, width: usize) -> Option<Row> {
    let (stage, began) = state.stage?;
    let elapsed = since(now, began);
    let mut row = Row::of(&stage.to_string(), Tone::Strong);
    row.push(&format!("  {}", clock(elapsed)), Tone::Plain);
    let mut share = None;
    let left = if let Some(by) = &state.interrupted {
        Some(format!("ending after {by}"))
    } else if stage == Stage::Load {
        let planned = load(state, elapsed);
        share = Some(planned.share);
        Some(planned.words)
    } else {
        let limit = state.outlook.limit(stage);
        limit.map(|limit| match limit.checked_sub(elapsed) {
            Some(left) => format!("at most {} left", clock(left)),
            None => "ending".to_owned(),
        })
    };
    if let Some(left) = left {
        row.push(&format!(", {left}"), Tone::Plain);
    }
    if let Some(share) = share {
        let room = width.saturating_sub(row.width() + 2);
        let done = (room as f64 * share) as usize;
        row.push("  ", Tone::Plain);
        row.push(&"━".repeat(done), Tone::Good);
        row.push(&"─".repeat(room - done), Tone::Dim);
    }
    Some(row)
}

/// How far a load is.
struct Planned {
    words: String,
    share: f64,
}

fn load(state: &State, elapsed: Duration) -> Planned {
    let outlook = &state.outlook;
    let by_time = outlook.load.time.saturating_sub(elapsed);
    let share_of_time = if by_time.is_zero() {
        1.0
    } else {
        elapsed.as_secs_f64() / outlook.load.time.as_secs_f64()
    };
    let Some((messages, counts)) = outlook.messages.zip(state.total.counts) else {
        return planned(by_time, share_of_time, outlook.load.is_exact);
    };
    let share = (counts.ok as f64 / messages.max(1) as f64).min(1.0);
    let by_count = elapsed.as_secs_f64() * (1.0 / share - 1.0);
    let by_count = Duration::try_from_secs_f64(by_count).unwrap_or(by_time);
    planned(by_count.max(by_time), share.min(share_of_time), true)
}

fn planned(left: Duration, share: f64, is_exact: bool) -> Planned {
    let words = match (left, is_exact) {
        (Duration::ZERO, _) => "longer than planned".to_owned(),
        (left, true) => format!("about {} left", clock(left)),
        (left, false) => format!("up to {} left", clock(left)),
    };
    Planned { words, share }
}

/// How fast it goes, now and until now.
fn rate(state: &State, width: usize) -> Option<Row> {
    let rate = state.total.rate()?;
    let what = if state.is_drain() { "received" } else { "ok" };
    let mut row = Row::of(&format!("{what} {rate:>5.0}/s "), Tone::Plain);
    let room = width.saturating_sub(row.width());
    row.push(&sparkline(state.total.rates.iter(), room), Tone::Good);
    Some(row)
}

/// What is below the nodes.
fn foot(state: &State, now: Nanos, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (id, fault) in state.faults.iter().take(SHOWN_MAX) {
        rows.push(in_force(*id, fault, state, now, width));
    }
    rows.extend(more(state.faults.len(), "faults in force"));
    for awaited in state.awaits.values().take(SHOWN_MAX) {
        let tail = format!(
            ", {} of at most {}",
            clock(since(now, awaited.since)),
            clock(awaited.within)
        );
        rows.push(with_tail(
            &format!("waiting for {}", awaited.what),
            &tail,
            Tone::Plain,
            width,
        ));
    }
    rows.extend(more(state.awaits.len(), "waits"));
    rows.extend(state.account().and_then(account));
    rows
}

fn more(count: usize, what: &str) -> Option<Row> {
    let more = count.checked_sub(SHOWN_MAX).filter(|more| *more > 0)?;
    Some(Row::of(&format!("and {more} more {what}"), Tone::Plain))
}

fn in_force(id: FaultId, fault: &InForce, state: &State, now: Nanos, width: usize) -> Row {
    let lease = state.outlook.lease.as_secs();
    let (how, tone) = match fault.since {
        _ if fault.failed => (format!("failed, lease {lease} s"), Tone::Bad),
        None => ("being injected".to_owned(), Tone::Warning),
        Some(then) => {
            let time = clock(since(now, then));
            let proof = match fault.proven {
                None => "",
                Some(true) => ", proven",
                Some(false) => ", NOT PROVEN",
            };
            let how = format!("in force {time}{proof}, lease {lease} s");
            (how, Tone::Warning)
        }
    };
    let what = format!("fault {}: {}", id.0, fault.what);
    with_tail(&what, &format!(", {how}"), tone, width)
}

/// Of what is too wide the head is cut, for the tail is what moves.
fn with_tail(head: &str, tail: &str, tone: Tone, width: usize) -> Row {
    let head = visible(head);
    let room = width.saturating_sub(Row::of(tail, tone).width());
    let mut row = Row::of(&fit(&head, room.max(width / 3)), tone);
    row.push(tail, tone);
    row
}

/// What is known of the confirmed messages. Nothing is called lost before that is known.
fn account(account: Account) -> Option<Row> {
    let (text, tone) = match account {
        Account::Unread { confirmed: 0 } => return None,
        Account::Unread { confirmed } => (
            format!("{confirmed} confirmed; what is lost of them shows when they are read"),
            Tone::Dim,
        ),
        Account::Reading {
            confirmed,
            received,
        } => {
            let left = confirmed.saturating_sub(received);
            let text =
                format!("{received} received of {confirmed} confirmed, {left} still to come");
            (text, Tone::Plain)
        }
        Account::Read {
            confirmed,
            received,
            is_proven,
        } => match (confirmed.saturating_sub(received), is_proven) {
            (0, true) => (
                format!("{received} received of {confirmed} confirmed; which, the check tells"),
                Tone::Plain,
            ),
            (lost, true) => (
                format!("at least {lost} lost of {confirmed} confirmed"),
                Tone::Bad,
            ),
            (_, false) => (
                format!(
                    "{received} received of {confirmed} confirmed; more may be there, \
                     the drain is not proven complete"
                ),
                Tone::Warning,
            ),
        },
    };
    Some(Row::of(&text, tone))
}
