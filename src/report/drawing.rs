//! Counterexamples drawn: the operations that contradict each other, as bars on one time axis.

use super::cluster::FaultTimes;
use super::pass::{Operation, Pass};
use super::terminal::seconds;
use crate::check::duplicates::Duplicates;
use crate::check::exclusive::{Exclusive, Turn};
use crate::check::fifo::{FalseEmpty, Fifo, Overtaking};
use crate::check::lock::{HoldTimes, Lock};
use crate::check::order::Order;
use crate::check::results::{LostValue, Results, Value};
use crate::check::stream::Stream;
use crate::history::operation::{Action, Nanos, Phase};
use crate::inventory::NodeName;

/// Drawings of one kind of finding.
const DRAWN_MAX: usize = 4;

/// Units of the drawing: names of lanes to the left, then the time axis.
const LABEL_WIDTH: f64 = 190.0;
const AXIS_WIDTH: f64 = 690.0;
/// Of a lane, besides its labels, and of a label.
const LANE_HEIGHT: f64 = 32.0;
const TIER_HEIGHT: f64 = 14.0;
/// Of a letter of a label, on the average.
const LETTER_WIDTH: f64 = 7.0;
/// Labels one above the other; what does not fit has its title alone.
const TIERS_MAX: usize = 8;
const HEAD_HEIGHT: f64 = 20.0;
const BAR_WIDTH_MIN: f64 = 4.0;

/// One drawing.
#[derive(Debug)]
pub struct Drawing {
    /// What contradicts what.
    pub caption: String,
    /// From the first to the last operation.
    pub span: (Nanos, Nanos),
    /// From top to bottom.
    pub lanes: Vec<Lane>,
    /// Faults in force.
    pub bands: Vec<Band>,
    /// Moments on the axis.
    pub ticks: Vec<Tick>,
    /// Its size.
    pub width: f64,
    /// Its size.
    pub height: f64,
}

/// A row of bars.
#[derive(Debug)]
pub struct Lane {
    /// Whose.
    pub name: String,
    /// Where it is.
    pub y: f64,
    /// Where its bars are.
    pub bars_y: f64,
    /// What happened.
    pub bars: Vec<Bar>,
}

/// One operation.
#[derive(Debug)]
pub struct Bar {
    /// Its left end.
    pub x: f64,
    /// How wide it is.
    pub width: f64,
    /// `ok`, `fail`, `info`: its colour.
    pub class: &'static str,
    /// What it was.
    pub label: String,
    /// Where the label stands.
    pub label_x: f64,
    /// How high; none where there is no room for it.
    pub label_y: Option<f64>,
    /// `start` or `end`: to which side the label goes.
    pub anchor: &'static str,
    /// The same with its times.
    pub title: String,
}

/// A fault in force.
#[derive(Debug)]
pub struct Band {
    /// Its left end.
    pub x: f64,
    /// How wide it is.
    pub width: f64,
    /// Which.
    pub label: String,
}

/// A moment.
#[derive(Debug)]
pub struct Tick {
    /// Where.
    pub x: f64,
    /// When.
    pub label: String,
}

/// A lane before it is laid out.
struct Row {
    name: String,
    spans: Vec<Span>,
}

struct Span {
    from: Nanos,
    /// None: to the end.
    until: Option<Nanos>,
    class: &'static str,
    label: String,
}

/// The values whose operations the drawings need.
pub fn wanted(results: &Results) -> Vec<Value> {
    let queue = &results.total_queue.data;
    let lost = queue.lost_values.iter().take(1).chain(&queue.last_lost);
    let mut wanted: Vec<Value> = lost.map(|lost| lost.value).collect();
    wanted.extend(queue.unexpected_values.iter().take(DRAWN_MAX));
    if let Some(duplicates) = &results.findings.duplicates {
        let examples = duplicates.data.examples.iter().take(DRAWN_MAX);
        wanted.extend(examples.map(|example| example.value));
    }
    if let Some(order) = &results.findings.order {
        let jumps = order.data.jumps.iter().take(DRAWN_MAX);
        wanted.extend(jumps.flat_map(|jump| [jump.late.value, jump.after.value]));
    }
    if let Some(fifo) = &results.findings.fifo {
        let overtaken = fifo.data.overtaken.iter().take(DRAWN_MAX);
        wanted.extend(overtaken.flat_map(|pair| [pair.value, pair.by]));
        let empties = fifo.data.falsely_empty.iter().take(DRAWN_MAX);
        wanted.extend(empties.map(|empty| empty.inside));
        wanted.extend(fifo.data.early_values.iter().take(DRAWN_MAX));
        wanted.extend(fifo.data.repeated_values.iter().take(DRAWN_MAX));
    }
    if let Some(stream) = &results.findings.stream {
        let data = &stream.data;
        let repeated = data.repeated_examples.iter().take(DRAWN_MAX);
        wanted.extend(repeated.map(|repeated| repeated.value));
        let differing = data.differing_examples.iter().take(DRAWN_MAX);
        wanted.extend(
            differing
                .flat_map(|pair| [pair.first.value, pair.other.value])
                .flatten(),
        );
        let vanished = data.vanished_examples.iter().take(DRAWN_MAX);
        wanted.extend(vanished.filter_map(|reading| reading.value));
    }
    wanted
}

/// Draws what was found.
pub struct Draw<'a> {
    /// The operations.
    pub pass: &'a Pass,
    /// The nodes that they point to.
    pub nodes: &'a [NodeName],
    /// What was in force.
    pub faults: &'a [FaultTimes],
}

impl Draw<'_> {
    /// The first and the last lost message.
    pub fn lost(&self, results: &Results) -> Vec<Drawing> {
        let queue = &results.total_queue.data;
        let first = queue.lost_values.first();
        let last = queue.last_lost.as_ref();
        let last = last.filter(|last| first.is_none_or(|first| first.value != last.value));
        let draw = |which: &str, lost: &LostValue| {
            let caption = format!(
                "The {which} lost: {}, confirmed by {} at {}, and never received",
                name(lost.value),
                lost.node,
                seconds(lost.confirmed_ns)
            );
            self.values(caption, &[lost.value])
        };
        let first = first.and_then(|lost| draw("first", lost));
        let last = last.and_then(|lost| draw("last", lost));
        first.into_iter().chain(last).collect()
    }

    /// Messages that nobody should have received.
    pub fn unexpected(&self, results: &Results) -> Vec<Drawing> {
        let values = &results.total_queue.data.unexpected_values;
        let drawings = values.iter().take(DRAWN_MAX).filter_map(|value| {
            let caption = format!("{} was received, though no queue took it", name(*value));
            self.values(caption, &[*value])
        });
        drawings.collect()
    }

    /// Messages that came more than once, which is allowed.
    pub fn duplicates(&self, duplicates: &Duplicates) -> Vec<Drawing> {
        let examples = duplicates.examples.iter().take(DRAWN_MAX);
        let drawings = examples.filter_map(|example| {
            let caption = format!("{} was received more than once", name(example.value));
            self.values(caption, &[example.value])
        });
        drawings.collect()
    }

    /// Messages that a consumer received after one that comes later.
    pub fn order(&self, order: &Order) -> Vec<Drawing> {
        let jumps = order.jumps.iter().take(DRAWN_MAX);
        let drawings = jumps.filter_map(|jump| {
            let caption = format!(
                "{} was received at {}, after {}, which comes later",
                name(jump.late.value),
                seconds(jump.late.received_ns),
                name(jump.after.value)
            );
            self.values(caption, &[jump.late.value, jump.after.value])
        });
        drawings.collect()
    }

    /// Consumers of which more than one was active at once.
    pub fn exclusive(&self, exclusive: &Exclusive) -> Vec<Drawing> {
        let overlaps = exclusive.overlapping.iter().take(DRAWN_MAX);
        let drawings = overlaps.filter_map(|overlap| {
            let row = |turn: &Turn| Row {
                name: format!(
                    "{}'s consumer {}",
                    turn.node.as_ref().map_or("?", |node| node.0.as_str()),
                    turn.process
                ),
                spans: vec![Span {
                    from: turn.published_ns,
                    until: Some(turn.received_ns),
                    class: "fail",
                    label: format!("is given {}", name(turn.value)),
                }],
            };
            let caption =
                "Consumers were active by turns, faster than a queue hands over".to_owned();
            self.lay_out(caption, overlap.turns.iter().map(row).collect())
        });
        drawings.collect()
    }

    /// Two that held the lock at once.
    pub fn lock(&self, lock: &Lock) -> Vec<Drawing> {
        let overlaps = lock.overlapping.iter().take(DRAWN_MAX);
        let drawings = overlaps.filter_map(|overlap| {
            let row = |hold: &HoldTimes, class| Row {
                name: format!("{}'s client", node_of(hold)),
                spans: vec![Span {
                    from: hold.from_ns,
                    until: hold.until_ns,
                    class,
                    label: "holds the lock".to_owned(),
                }],
            };
            let caption = format!(
                "{}'s client held the lock when {}'s client got it as well, at {}",
                node_of(&overlap.held),
                node_of(&overlap.also),
                seconds(overlap.also.from_ns)
            );
            let rows = vec![row(&overlap.held, "ok"), row(&overlap.also, "fail")];
            self.lay_out(caption, rows)
        });
        drawings.collect()
    }

    /// What was not first in, first out.
    pub fn fifo(&self, fifo: &Fifo) -> Vec<Drawing> {
        let overtaken = fifo.overtaken.iter().take(DRAWN_MAX);
        let mut drawings: Vec<Drawing> =
            overtaken.filter_map(|pair| self.overtaking(pair)).collect();
        let empties = fifo.falsely_empty.iter().take(DRAWN_MAX);
        drawings.extend(empties.filter_map(|empty| self.false_empty(empty)));
        for (values, what) in [
            (&fifo.early_values, "was dequeued before it was enqueued"),
            (&fifo.repeated_values, "was dequeued more than once"),
        ] {
            let values = values.iter().take(DRAWN_MAX);
            drawings
                .extend(values.filter_map(|value| {
                    self.values(format!("{} {what}", name(*value)), &[*value])
                }));
        }
        drawings
    }

    /// What readers of a stream did not find the same, or once, or at all.
    pub fn stream(&self, stream: &Stream) -> Vec<Drawing> {
        let differing = stream.differing_examples.iter().take(DRAWN_MAX);
        let differing = differing.filter_map(|pair| {
            let offset = pair.first.offset;
            let caption = format!("Offset {offset} was not the same message to all readers");
            let values: Vec<Value> = [pair.first.value, pair.other.value]
                .into_iter()
                .flatten()
                .collect();
            self.values(caption, &values)
        });
        let repeated = stream.repeated_examples.iter().take(DRAWN_MAX);
        let repeated = repeated.filter_map(|repeated| {
            let caption = format!(
                "{} is stored at offset {} and at offset {}",
                name(repeated.value),
                repeated.first_offset,
                repeated.other_offset
            );
            self.values(caption, &[repeated.value])
        });
        let vanished = stream.vanished_examples.iter().take(DRAWN_MAX);
        let vanished = vanished.filter_map(|reading| {
            let value = reading.value?;
            let caption = format!(
                "{} was read at offset {}, which is not there at the end",
                name(value),
                reading.offset
            );
            self.values(caption, &[value])
        });
        differing.chain(repeated).chain(vanished).collect()
    }

    fn overtaking(&self, pair: &Overtaking) -> Option<Drawing> {
        let caption = format!(
            "{} was enqueued first, and {} was dequeued before it",
            name(pair.value),
            name(pair.by)
        );
        self.values(caption, &[pair.value, pair.by])
    }

    fn false_empty(&self, empty: &FalseEmpty) -> Option<Drawing> {
        let caption = format!(
            "A get found nothing, and {} was in the queue",
            name(empty.inside)
        );
        let mut rows = vec![self.row(empty.inside)];
        rows.push(Row {
            name: "a client".to_owned(),
            spans: vec![Span {
                from: empty.from_ns,
                until: Some(empty.until_ns),
                class: "fail",
                label: "get: nothing there".to_owned(),
            }],
        });
        self.lay_out(caption, rows)
    }

    fn values(&self, caption: String, values: &[Value]) -> Option<Drawing> {
        self.lay_out(
            caption,
            values.iter().map(|value| self.row(*value)).collect(),
        )
    }

    fn row(&self, value: Value) -> Row {
        let operations = self.pass.operations.get(&value);
        Row {
            name: name(value),
            spans: operations
                .into_iter()
                .flatten()
                .map(|operation| self.span(operation))
                .collect(),
        }
    }

    fn span(&self, operation: &Operation) -> Span {
        let node = self
            .nodes
            .get(operation.node)
            .map_or("?", |node| node.0.as_str());
        let again = match operation.attempt {
            0 => "",
            _ => " again",
        };
        let outcome = match operation.phase {
            Phase::Ok => "",
            Phase::Fail => ": refused",
            Phase::Info | Phase::Invoke => ": nobody knows",
        };
        let what = match operation.action {
            Action::Publish if operation.phase == Phase::Ok => {
                format!("published{again} to {node}, confirmed")
            }
            Action::Publish => format!("published{again} to {node}"),
            Action::Deliver => format!("received from {node}"),
            Action::Drain => format!("drained from {node}"),
            Action::Get => format!("got from {node}"),
            Action::Acquire => format!("acquired at {node}"),
            Action::Release => format!("released at {node}"),
            Action::Ack => format!("acknowledged to {node}"),
            Action::Subscribe => format!("subscribed at {node}"),
            Action::Cancel => format!("cancelled at {node}"),
            Action::Create => format!("created at {node}"),
            Action::Delete => format!("deleted at {node}"),
            Action::Observe => format!("looked for at {node}"),
        };
        let mark = if operation.redelivered {
            ", redelivered"
        } else {
            ""
        };
        Span {
            from: operation.from,
            until: operation.until,
            class: match operation.phase {
                Phase::Ok => "ok",
                Phase::Fail => "fail",
                Phase::Info | Phase::Invoke => "info",
            },
            label: format!(
                "{what}{outcome}{mark} ({})",
                exact(operation.until.unwrap_or(operation.from))
            ),
        }
    }

    fn lay_out(&self, caption: String, rows: Vec<Row>) -> Option<Drawing> {
        let spans = || rows.iter().flat_map(|row| &row.spans);
        let first = spans().map(|span| span.from).min()?;
        let last = spans()
            .map(|span| span.until.unwrap_or(span.from))
            .max()?
            .max(first.saturating_add(1_000_000));
        let axis = Axis::over(first, last);
        let mut height = HEAD_HEIGHT;
        let mut lanes = Vec::new();
        for row in &rows {
            let mut bars: Vec<Bar> = row.spans.iter().map(|span| axis.bar(span)).collect();
            let tiers = place_labels(&mut bars, height);
            let bars_y = height + TIER_HEIGHT * tiers as f64 + 10.0;
            lanes.push(Lane {
                name: row.name.clone(),
                y: height,
                bars_y,
                bars,
            });
            height += LANE_HEIGHT + TIER_HEIGHT * tiers as f64;
        }
        Some(Drawing {
            caption,
            span: (first, last),
            lanes,
            bands: axis.bands(self.faults),
            ticks: axis.ticks(),
            width: LABEL_WIDTH + AXIS_WIDTH,
            height,
        })
    }
}

/// Sets each label above the bars of its lane, no two over each other; how many tiers that takes.
fn place_labels(bars: &mut [Bar], top: f64) -> usize {
    let mut tiers: Vec<Vec<(f64, f64)>> = Vec::new();
    for bar in bars {
        let width = LETTER_WIDTH * bar.label.chars().count() as f64;
        let (from, until) = match bar.anchor {
            "end" => (bar.label_x - width, bar.label_x),
            _ => (bar.label_x, bar.label_x + width),
        };
        let is_free = |tier: &Vec<(f64, f64)>| tier.iter().all(|at| at.1 <= from || until <= at.0);
        let tier = tiers.iter().position(is_free).unwrap_or(tiers.len());
        if tier == TIERS_MAX {
            continue;
        }
        if tier == tiers.len() {
            tiers.push(Vec::new());
        }
        tiers[tier].push((from, until));
        bar.label_y = Some(top + TIER_HEIGHT * (tier + 1) as f64 + 3.0);
    }
    tiers.len()
}

/// From times to places.
struct Axis {
    from: f64,
    length: f64,
}

impl Axis {
    /// With some room to both sides.
    fn over(first: Nanos, last: Nanos) -> Self {
        let (first, last) = (first as f64 / 1e9, last as f64 / 1e9);
        let room = (last - first) * 0.06;
        Self {
            from: first - room,
            length: (last - first) + 2.0 * room,
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        let share = ((seconds - self.from) / self.length).clamp(0.0, 1.0);
        rounded(LABEL_WIDTH + AXIS_WIDTH * share)
    }

    fn bar(&self, span: &Span) -> Bar {
        let x = self.x(span.from as f64 / 1e9);
        let end = span
            .until
            .map_or(LABEL_WIDTH + AXIS_WIDTH, |until| self.x(until as f64 / 1e9));
        let until = span.until.map_or("the end".to_owned(), exact);
        let is_right = x > LABEL_WIDTH + AXIS_WIDTH * 0.6;
        let width = rounded((end - x).max(BAR_WIDTH_MIN));
        Bar {
            x,
            width,
            class: span.class,
            label: span.label.clone(),
            label_x: if is_right { x + width } else { x },
            label_y: None,
            anchor: if is_right { "end" } else { "start" },
            title: format!("{}: {} to {until}", span.label, exact(span.from)),
        }
    }

    fn bands(&self, faults: &[FaultTimes]) -> Vec<Band> {
        let bands = faults.iter().filter_map(|fault| {
            let until = fault.healed.unwrap_or(f64::MAX);
            let (from, end) = (fault.first?, self.from + self.length);
            if until < self.from || from > end {
                return None;
            }
            let (x, right) = (self.x(from), self.x(until));
            Some(Band {
                x,
                width: rounded((right - x).max(1.0)),
                label: format!("fault {}", fault.number),
            })
        });
        bands.take(DRAWN_MAX).collect()
    }

    /// At round moments, five or so.
    fn ticks(&self) -> Vec<Tick> {
        let raw = self.length / 5.0;
        let magnitude = 10_f64.powf(raw.log10().floor());
        let factors = [1.0, 2.0, 5.0, 10.0];
        let factor = factors.into_iter().find(|factor| raw <= factor * magnitude);
        let step = factor.unwrap_or(10.0) * magnitude;
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0);
        let first = (self.from / step).ceil();
        let ticks = (0..10).map(|number| (first + f64::from(number)) * step);
        let inside = ticks.take_while(|at| *at <= self.from + self.length);
        inside
            .map(|at| Tick {
                x: self.x(at),
                label: format!("{at:.*} s", decimals as usize),
            })
            .collect()
    }
}

fn rounded(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

fn exact(time: Nanos) -> String {
    format!("{:.4} s", time as f64 / 1e9)
}

fn node_of(hold: &HoldTimes) -> &str {
    hold.node.as_ref().map_or("?", |node| node.0.as_str())
}

fn name(value: Value) -> String {
    format!("message {} of producer {}", value.sequence, value.producer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn bars_lie_in_the_drawing_and_in_the_order_of_time() {
        let axis = Axis::over(1000 * MS, 1100 * MS);
        let bar = |from, until: Option<Nanos>| {
            axis.bar(&Span {
                from: from * MS,
                until: until.map(|until| until * MS),
                class: "ok",
                label: "x".into(),
            })
        };
        let (early, late, open) = (
            bar(1000, Some(1001)),
            bar(1090, Some(1100)),
            bar(1050, None),
        );
        assert!(LABEL_WIDTH < early.x && early.x < late.x);
        assert!(late.x + late.width < LABEL_WIDTH + AXIS_WIDTH);
        assert_eq!(open.x + open.width, LABEL_WIDTH + AXIS_WIDTH);
        assert!(early.width >= BAR_WIDTH_MIN);
        let ticks: Vec<String> = axis.ticks().into_iter().map(|tick| tick.label).collect();
        assert_eq!(ticks, ["1.00 s", "1.05 s", "1.10 s"]);
    }

    #[test]
    fn labels_do_not_lie_over_each_other() {
        let axis = Axis::over(0, 1000 * MS);
        let bar = |from: Nanos| {
            axis.bar(&Span {
                from: from * MS,
                until: Some((from + 10) * MS),
                class: "ok",
                label: "published to n1, confirmed".into(),
            })
        };
        let mut bars = [0, 50, 350, 950].map(bar);
        assert_eq!(place_labels(&mut bars, 0.0), 2);
        let heights = bars.each_ref().map(|bar| bar.label_y.unwrap());
        assert!(heights[0] < heights[1] && heights[2] == heights[0] && heights[3] == heights[0]);
        let mut many = [0; 20].map(bar);
        assert_eq!(place_labels(&mut many, 0.0), TIERS_MAX);
        assert!(many[TIERS_MAX].label_y.is_none());
    }

    #[test]
    fn ticks_end_whatever_the_length() {
        for (first, last) in [(0, 1), (0, Nanos::MAX), (Nanos::MAX - 1, Nanos::MAX)] {
            assert!(Axis::over(first, last).ticks().len() <= 10);
        }
    }
}
