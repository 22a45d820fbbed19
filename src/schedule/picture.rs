//! A plan for people: a table and a timeline of 80 columns.
//!
//! A time with `<` before it is the latest: what comes before it waits for a condition, which may
//! come earlier.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    FaultId, Moment, Outline, Outlined, Plan, PlannedAwait, PlannedLasts, TimedFault, outline,
};
use crate::diagnostic::visible;

const COLUMNS: usize = 80;
/// Where the last column of the table begins.
const WHAT: usize = 42;
/// Where the lanes of the timeline begin.
const LANES: usize = 26;
/// With more faults than this a lane is a kind of fault.
const LANES_MAX: usize = 40;
/// So many marks of time at the most.
const MARKS_MAX: u32 = 5;

enum Row<'p> {
    Fault(&'p TimedFault, Outlined<FaultId>),
    Await(&'p PlannedAwait, Option<FaultId>, Outlined<super::AwaitId>),
}

/// One line for each fault and each condition, more where the text is long, and one for the end of the last step.
pub fn table(plan: &Plan) -> String {
    let mut text = line_head("", "from", "until", "lasts") + "what\n";
    let outline = outline(plan);
    for row in rows(plan, &outline) {
        let (name, from, until, what) = match row {
            Row::Fault(fault, times) => (
                format!("fault {}", fault.id.0),
                times.from,
                Some(times.until).filter(|_| fault.lasts != PlannedLasts::Moment),
                format!("{} {}", fault.fault.kind.name, fault.fault),
            ),
            Row::Await(awaited, fault, times) => (
                format!("await {}", awaited.id.0),
                times.from,
                Some(times.until),
                match fault {
                    Some(fault) => format!("ends fault {}: {}", fault.0, awaited.condition),
                    None => awaited.condition.to_string(),
                },
            ),
        };
        let (until, lasts) = match until {
            Some(until) => (moment(until), lasts(from, until)),
            None => (String::new(), String::new()),
        };
        let head = line_head(&name, &moment(from), &until, &lasts);
        wrapped(&mut text, &head, &what);
    }
    let head = line_head("end", &moment(outline.end), "", "");
    wrapped(&mut text, &head, "of the last step");
    text
}

/// What comes before the last column.
fn line_head(name: &str, from: &str, until: &str, lasts: &str) -> String {
    format!("{name:<9}{from:>10} {until:>10} {lasts:>9}  ")
}

/// A lane for each fault and each condition, or for each kind of fault where there are many.
pub fn timeline(plan: &Plan) -> String {
    let outline = outline(plan);
    let total = outline.end.time.max(Duration::from_secs(1));
    let mut lanes: Vec<(String, String)> = Vec::new();
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    let is_many = outline.faults.len() + outline.awaits.len() > LANES_MAX;
    for row in rows(plan, &outline) {
        let (name, from, until, mark) = match &row {
            Row::Fault(fault, times) => {
                let name = match is_many {
                    true => fault.fault.kind.name.to_owned(),
                    false => format!("{} {}", fault.id.0, fault.fault.kind.name),
                };
                let mark = match (fault.lasts == PlannedLasts::Moment, times.until.is_exact) {
                    (true, _) => '|',
                    (false, true) => '#',
                    (false, false) => '=',
                };
                (name, times.from, times.until, mark)
            }
            Row::Await(_, Some(_), _) => continue,
            Row::Await(_, None, _) if is_many => continue,
            Row::Await(awaited, None, times) => {
                let name = format!("  await {}", awaited.id.0);
                (name, times.from, times.until, '.')
            }
        };
        let lane = if is_many {
            let kind = row_kind(&row);
            *by_kind.entry(kind).or_insert_with(|| {
                lanes.push((name.clone(), String::new()));
                lanes.len() - 1
            })
        } else {
            lanes.push((name.clone(), String::new()));
            lanes.len() - 1
        };
        if let Some((_, lane)) = lanes.get_mut(lane) {
            draw(
                lane,
                column(from.time, total),
                column(until.time, total),
                mark,
            );
        }
    }
    let mut text = marks(total);
    for (name, lane) in lanes {
        let name: String = name.chars().take(LANES - 2).collect();
        text.push_str(&format!("{:<LANES$}{lane}", visible(&name)));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn row_kind<'p>(row: &Row<'p>) -> &'p str {
    match row {
        Row::Fault(fault, _) => fault.fault.kind.name,
        Row::Await(..) => "",
    }
}

/// Faults and conditions in the plan's order; the condition that ends a fault comes after it.
fn rows<'p>(plan: &'p Plan, outline: &Outline) -> Vec<Row<'p>> {
    let faults = plan
        .faults()
        .into_iter()
        .zip(outline.faults.iter().copied());
    let awaits: Vec<_> = plan
        .awaits()
        .into_iter()
        .zip(outline.awaits.iter().copied())
        .collect();
    let mut rows: Vec<(Duration, u32, Row<'_>)> = Vec::new();
    for (fault, times) in faults {
        rows.push((times.from.time, fault.id.0, Row::Fault(fault, times)));
    }
    for ((awaited, fault), times) in awaits {
        // One that ends a fault begins with it; another, after what it waits for.
        let after = fault.map_or(u32::MAX, |fault| fault.0);
        let row = Row::Await(awaited, fault, times);
        rows.push((times.from.time, after, row));
    }
    rows.sort_by_key(|(from, order, _)| (*from, *order));
    rows.into_iter().map(|(_, _, row)| row).collect()
}

fn moment(moment: Moment) -> String {
    let sign = if moment.is_exact { "" } else { "<" };
    format!("{sign}{}", short(moment.time))
}

fn lasts(from: Moment, until: Moment) -> String {
    let sign = if until.is_exact || !from.is_exact {
        ""
    } else {
        "<"
    };
    format!("{sign}{}", short(until.time.saturating_sub(from.time)))
}

/// A time to a tenth of a second, such as `1m02.5s` or `1h`.
fn short(time: Duration) -> String {
    let tenths = time.as_millis().div_ceil(100);
    let (hours, minutes) = (tenths / 36_000, tenths / 600 % 60);
    let (seconds, tenth) = (tenths / 10 % 60, tenths % 10);
    let tenth = match tenth {
        0 => String::new(),
        tenth => format!(".{tenth}"),
    };
    match (hours, minutes, time.as_millis() % 60_000) {
        (0, 0, _) => format!("{seconds}{tenth}s"),
        (0, _, 0) => format!("{minutes}m"),
        (0, _, _) => format!("{minutes}m{seconds:02}{tenth}s"),
        (_, _, 0) if minutes == 0 => format!("{hours}h"),
        (_, _, 0) => format!("{hours}h{minutes:02}m"),
        (_, _, _) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// A line, with the text broken between words where it is too long.
fn wrapped(to: &mut String, head: &str, text: &str) {
    let mut line = head.to_owned();
    let mut width = line.chars().count();
    for (index, word) in visible(text).split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && width + 1 + length > COLUMNS {
            to.push_str(line.trim_end());
            to.push('\n');
            line = " ".repeat(WHAT + 2);
            width = WHAT + 2;
        } else if index > 0 {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += length;
    }
    to.push_str(line.trim_end());
    to.push('\n');
}

fn column(time: Duration, total: Duration) -> usize {
    let width = (COLUMNS - LANES) as f64;
    let share = time.as_secs_f64() / total.as_secs_f64();
    ((share * width) as usize).min(COLUMNS - LANES - 1)
}

/// Marks the columns of a lane from one to another, the first of them in any case.
fn draw(lane: &mut String, from: usize, until: usize, mark: char) {
    let mut columns: Vec<char> = lane.chars().collect();
    let end = until.max(from + 1);
    if columns.len() < end {
        columns.resize(end, ' ');
    }
    columns[from..end].fill(mark);
    *lane = columns.into_iter().collect();
}

/// The scale: round times at the columns where they are.
fn marks(total: Duration) -> String {
    let steps = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400,
    ];
    let step = steps.into_iter().map(Duration::from_secs);
    let mut fits = step.filter(|step| *step * MARKS_MAX >= total);
    let step = fits.next().unwrap_or(total);
    let mut line = " ".repeat(LANES);
    for count in 0..=MARKS_MAX {
        let at = step * count;
        let begin = LANES + column(at, total);
        let text = short(at);
        let width = line.chars().count();
        if at > total || begin < width || begin + text.len() > COLUMNS {
            continue;
        }
        line.push_str(&" ".repeat(begin - width));
        line.push_str(&text);
        line.push(' ');
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}
