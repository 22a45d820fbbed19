//! The nodes as a table: on which side of a cut, what the broker says, how fast, what came of it.

use super::state::{Broker, Meter, State};
use super::text::{Row, Tone, clock, left, right, sparkline};
use crate::event::NodeProgress;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;

/// A name is cut beyond this.
const NAME_MAX: usize = 16;
const BROKER_MIN: usize = 8;
const BROKER_MAX: usize = 24;
/// A sparkline that is narrower says nothing.
const SPARK_MIN: usize = 12;
const SPARK_MAX: usize = 60;

/// Widths of the columns; 0 leaves one out.
struct Widths {
    name: usize,
    side: usize,
    broker: usize,
    numbers: &'static [(Number, usize)],
    spark: usize,
}

/// A column of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Rate,
    Ok,
    Fail,
    Info,
    Received,
}

const LOAD: [(Number, usize); 4] = [
    (Number::Rate, 7),
    (Number::Ok, 9),
    (Number::Fail, 7),
    (Number::Info, 7),
];
const DRAIN: [(Number, usize); 2] = [(Number::Rate, 7), (Number::Received, 9)];

/// A row for each node under a row of titles, as many as there is room for.
pub(super) fn rows(state: &State, now: Nanos, width: usize, room: usize) -> Vec<Row> {
    let widths = widths(state, width);
    let mut rows = vec![titles(state, now, &widths)];
    let fitting = room.saturating_sub(1);
    let count = state.nodes.len();
    // The last row tells how many there is no room for.
    let shown = if count > fitting {
        fitting.saturating_sub(1)
    } else {
        count
    };
    let nodes = state.nodes.iter().take(shown);
    rows.extend(nodes.map(|(name, meter)| node(state, name, meter, &widths)));
    if shown < count {
        let more = format!("and {} more nodes", count - shown);
        rows.push(Row::of(&more, Tone::Dim));
    }
    rows.truncate(room);
    rows
}

fn widths(state: &State, width: usize) -> Widths {
    let names = state.nodes.iter();
    let longest = names.map(|(name, _)| Row::of(&name.0, Tone::Plain).width());
    let name = longest.max().unwrap_or(0).clamp(4, NAME_MAX);
    let side = 4;
    let numbers: &[_] = if state.is_drain() { &DRAIN } else { &LOAD };
    let numbers_wide: usize = numbers.iter().map(|(_, wide)| wide).sum();
    let left = width.saturating_sub(name + 2 + side + 2 + numbers_wide);
    let broker = if left < BROKER_MIN {
        0
    } else {
        left.min(BROKER_MAX)
    };
    let left = left.saturating_sub(broker + 2);
    let spark = if left < SPARK_MIN {
        0
    } else {
        left.min(SPARK_MAX)
    };
    Widths {
        name,
        side,
        broker,
        numbers,
        spark,
    }
}

fn titles(state: &State, now: Nanos, widths: &Widths) -> Row {
    let broker = match &state.view {
        Some(view) => {
            let age = std::time::Duration::from_nanos(u64::try_from(now - view.at).unwrap_or(0));
            format!("broker {} ago", clock(age))
        }
        None => "broker".to_owned(),
    };
    let mut text = format!(
        "{}  {}  {}",
        left("node", widths.name),
        left("side", widths.side),
        left(&broker, widths.broker)
    );
    for (number, wide) in widths.numbers {
        text += &right(number.title(), *wide);
    }
    Row::of(&text, Tone::Dim)
}

fn node(state: &State, name: &NodeName, meter: &Meter, widths: &Widths) -> Row {
    let side = match state.side(name).and_then(|side| u8::try_from(side).ok()) {
        Some(side @ 0..26) => char::from(b'A' + side).to_string(),
        Some(_) => "+".to_owned(),
        None => String::new(),
    };
    let mut row = Row::of(&left(&name.0, widths.name), Tone::Strong);
    row.push(&format!("  {}  ", left(&side, widths.side)), Tone::Plain);
    let (words, tone) = broker(state, name);
    row.push(&left(&words, widths.broker), tone);
    for (number, wide) in widths.numbers {
        let value = number.of(meter);
        let tone = match number {
            Number::Fail | Number::Info if value.is_some_and(|value| value > 0.0) => Tone::Warning,
            Number::Rate | Number::Ok | Number::Fail | Number::Info | Number::Received => {
                Tone::Plain
            }
        };
        let value = value.map_or_else(String::new, |value| format!("{value:.0}"));
        row.push(&right(&value, *wide), tone);
    }
    if widths.spark > 0 {
        let spark = sparkline(meter.rates.iter(), widths.spark);
        row.push(&format!("  {spark}"), Tone::Good);
    }
    row
}

fn broker(state: &State, name: &NodeName) -> (String, Tone) {
    let (mut words, tone) = match state.broker(name) {
        Broker::Unknown => (String::new(), Tone::Dim),
        Broker::Silent => ("no answer".to_owned(), Tone::Bad),
        Broker::Down => ("does not run".to_owned(), Tone::Bad),
        Broker::Alarm(alarms) => (format!("alarm: {alarms}"), Tone::Warning),
        Broker::Apart(seen) => (
            format!("sees {seen} of {}", state.nodes.len()),
            Tone::Warning,
        ),
        Broker::Up => ("up".to_owned(), Tone::Good),
    };
    if state.leads(name) {
        words += ", leader";
    }
    (words, tone)
}

impl Number {
    fn title(self) -> &'static str {
        match self {
            Self::Rate => "per s",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
            Self::Received => "received",
        }
    }

    fn of(self, meter: &Meter) -> Option<f64> {
        let count = |of: fn(&NodeProgress) -> u64| meter.counts.map(|counts| of(&counts) as f64);
        match self {
            Self::Rate => meter.rate(),
            Self::Ok => count(|counts| counts.ok),
            Self::Fail => count(|counts| counts.fail),
            Self::Info => count(|counts| counts.info),
            Self::Received => count(|counts| counts.received),
        }
    }
}
