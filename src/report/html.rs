//! `report.html`: one page with everything in it, in the order of a reader's questions.
//!
//! All text in it is data: the template escapes what it shows, the script gets its data as JSON
//! without markup, and a Content-Security-Policy lets no other script run. What is long is cut, so that
//! the page of any run stays below 8 MB.

use std::path::Path;

use anyhow::Context;
use askama::Template;
use serde::Serialize;

use super::cluster::{Timeline, timeline};
use super::drawing::{self, Draw, Drawing};
use super::environment::{self, Shown};
use super::faults::{self, Section};
use super::logs::Logs;
use super::pass::Pass;
use super::series::Columns;
use super::stories::{self, Story};
use super::terminal::{await_line, seconds, verdict_text, word};
use super::{escape, script};
use crate::check::judge::{EVENTS_FILE, read_events};
use crate::check::results::{LogPattern, LostValue, Part, Results};
use crate::event::{Event, Record};
use crate::inventory::NodeName;
use crate::manifest::Manifest;

/// Characters of a text that should be short.
const TEXT_MAX: usize = 2000;
/// Characters of the scenario and the plan.
const PLAN_MAX: usize = 60_000;
/// Rows of a table.
const ROWS_MAX: usize = 200;
/// Decisions of brokers that are drawn.
const MARKS_MAX: usize = 400;
/// Lost messages told one by one.
const LOST_MAX: usize = 500;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    policy: String,
    plotly: &'a str,
    own: &'static str,
    style: &'static str,
    data: String,
    manifest: &'a Manifest,
    results: &'a Results,
    word: &'static str,
    sentence: String,
    command: String,
    versions: String,
    parts: Vec<Part<'a>>,
    lost: String,
    stories: Vec<Story>,
    lost_values: &'a [LostValue],
    drawings: Vec<Drawn>,
    faults: Vec<Section>,
    faults_left_out: usize,
    awaits: Vec<(String, String)>,
    notes: Vec<Note>,
    shown: Vec<Shown>,
    files_left_out: usize,
    logs_left_out: u64,
    scenario: String,
    plan: String,
    remarks: Vec<String>,
}

/// Something that jtest noted while the run was on.
struct Note {
    at: String,
    node: String,
    text: String,
}

/// What the page's script draws.
#[derive(Serialize)]
struct Data<'a> {
    nodes: Vec<String>,
    columns: Columns,
    #[serde(flatten)]
    timeline: &'a Timeline,
    marks: Vec<Mark>,
    logs: Logs,
}

/// Something that a broker decided: when, the position of its node, and its words.
#[derive(Serialize)]
struct Mark(f64, usize, String);

/// The page.
pub fn text(directory: &Path, manifest: &Manifest, results: &Results) -> anyhow::Result<String> {
    let nodes: Vec<NodeName> = manifest
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .collect();
    let mut remarks = Vec::new();
    let events = read_events(&directory.join(EVENTS_FILE)).unwrap_or_else(|error| {
        remarks.push(error.to_string());
        Vec::new()
    });
    let wanted = drawing::wanted(results).into_iter().collect();
    let pass = Pass::read(directory, manifest, wanted);
    remarks.extend(pass.error.clone());
    let coverage = &results.coverage.data;
    let timeline = timeline(&events, coverage, &nodes);
    let logs = Logs::collect(directory, manifest, &events, &coverage.faults);
    if logs.lines.is_empty() {
        remarks.push("No log of a broker was found in nodes/.".to_owned());
    }
    let availability = results.findings.availability.as_ref();
    let availability = availability.map(|finding| &finding.data);
    let (faults, faults_left_out) =
        faults::sections(&coverage.faults, &events, &nodes, availability);
    let (shown, files_left_out) = environment::shown(directory, manifest);
    let draw = Draw {
        pass: &pass,
        nodes: &nodes,
        faults: &timeline.faults,
    };
    let drawings = drawings(&draw, results, &events);
    let logs_left_out = logs.left_out;
    let data = Data {
        nodes: nodes.iter().map(|node| cut(&node.0, 80)).collect(),
        columns: pass.series.columns(),
        timeline: &timeline,
        marks: marks(results, &nodes),
        logs,
    };
    let plotly = script::plotly();
    let queue = &results.total_queue.data;
    let page = Page {
        policy: script::policy(&[&plotly, script::OWN]),
        plotly: &plotly,
        own: script::OWN,
        style: include_str!("../../templates/report.css"),
        data: escape::json(&data).context("write the data of its plots")?,
        manifest,
        results,
        word: word(results.verdict),
        sentence: cut(&verdict_text(results), TEXT_MAX),
        command: cut(&command(manifest), TEXT_MAX),
        versions: brokers(manifest, &shown),
        parts: results.parts(),
        lost: queue
            .lost
            .map_or_else(|| "not known".to_owned(), stories::grouped),
        stories: stories::stories(results, &events),
        lost_values: &queue.lost_values[..queue.lost_values.len().min(LOST_MAX)],
        drawings,
        faults,
        faults_left_out,
        awaits: awaits(results),
        notes: notes(&events),
        shown,
        files_left_out,
        logs_left_out,
        scenario: cut(&serde_json::to_string_pretty(&manifest.scenario)?, PLAN_MAX),
        plan: cut(&serde_json::to_string_pretty(&manifest.schedule)?, PLAN_MAX),
        remarks,
    };
    page.render().context("fill the template")
}

/// What the brokers decided, by their logs; evenly thinned where that is much.
fn marks(results: &Results, nodes: &[NodeName]) -> Vec<Mark> {
    let decided = results.logs.lines.iter().filter(|line| match line.pattern {
        LogPattern::AutohealDecision
        | LogPattern::Promotion
        | LogPattern::Pause
        | LogPattern::PartialPartition
        | LogPattern::Election => true,
        LogPattern::Autoheal
        | LogPattern::Mirror
        | LogPattern::Partition
        | LogPattern::NodeDown
        | LogPattern::NodeUp
        | LogPattern::Stop
        | LogPattern::Crash => false,
    });
    let decided: Vec<_> = decided.collect();
    let step = decided.len().div_ceil(MARKS_MAX).max(1);
    let marks = decided.into_iter().step_by(step).filter_map(|line| {
        let node = nodes.iter().position(|node| *node == line.node)?;
        let at = (line.time_ns as f64 / 1e6).round() / 1e3;
        Some(Mark(at, node, cut(&line.text, 160)))
    });
    marks.collect()
}

/// Drawings under a title, each with what went on meanwhile.
type Drawn = (&'static str, Vec<(Drawing, Vec<String>)>);

fn drawings(draw: &Draw<'_>, results: &Results, events: &[Record]) -> Vec<Drawn> {
    let lock = results.findings.lock.as_ref();
    let fifo = results.findings.fifo.as_ref();
    let order = results.findings.order.as_ref();
    let exclusive = results.findings.exclusive.as_ref();
    let stream = results.findings.stream.as_ref();
    let found = [
        (
            "Messages that nobody should have received",
            draw.unexpected(results),
        ),
        (
            "Messages that were received more than once",
            results
                .findings
                .duplicates
                .as_ref()
                .map_or_else(Vec::new, |found| draw.duplicates(&found.data)),
        ),
        (
            "The lock",
            lock.map_or_else(Vec::new, |lock| draw.lock(&lock.data)),
        ),
        (
            "The order",
            fifo.map_or_else(Vec::new, |fifo| draw.fifo(&fifo.data)),
        ),
        (
            "The order, as consumers saw it",
            order.map_or_else(Vec::new, |order| draw.order(&order.data)),
        ),
        (
            "The stream",
            stream.map_or_else(Vec::new, |found| draw.stream(&found.data)),
        ),
        (
            "Consumers that were active at once",
            exclusive.map_or_else(Vec::new, |found| draw.exclusive(&found.data)),
        ),
    ];
    let explained = found.map(|(title, drawings)| {
        let drawings = drawings.into_iter().map(|drawing| {
            let told = stories::meanwhile(drawing.span, results, events);
            (
                drawing,
                told.iter().map(|told| cut(told, TEXT_MAX)).collect(),
            )
        });
        (title, drawings.collect())
    });
    // What went on during a loss is said above it.
    let lost = draw.lost(results).into_iter();
    let lost = lost.map(|drawing| (drawing, Vec::new())).collect();
    let mut all: Vec<Drawn> = vec![("Lost messages", lost)];
    all.extend(explained);
    all.retain(|(_, drawings)| !drawings.is_empty());
    all
}

/// The command line that gives the same run again: with the seed, also where none was given.
fn command(manifest: &Manifest) -> String {
    let words = manifest.command.iter().map(String::as_str);
    let mut command = shlex::try_join(words).unwrap_or_else(|_| manifest.command.join(" "));
    let has_seed = manifest
        .command
        .iter()
        .any(|word| word == "--seed" || word.starts_with("--seed="));
    if !has_seed {
        command += &format!(" --seed {}", manifest.seed);
    }
    command
}

/// What the brokers are: as they said at the end, else as their packages say.
fn brokers(manifest: &Manifest, shown: &[Shown]) -> String {
    let said = environment::versions(shown);
    if !said.is_empty() {
        return said.join(", ");
    }
    let facts = manifest.nodes.iter().filter_map(|node| node.facts.as_ref());
    let mut packages: Vec<String> = facts
        .filter_map(|facts| facts.rabbitmq.clone())
        .map(|version| format!("RabbitMQ {}", cut(&version, 80)))
        .collect();
    packages.dedup();
    packages.truncate(8);
    match packages.is_empty() {
        true => "not known".to_owned(),
        false => packages.join(", "),
    }
}

/// What was waited for, and what was seen last.
fn awaits(results: &Results) -> Vec<(String, String)> {
    let awaits = results.coverage.data.awaits.iter().take(ROWS_MAX);
    let rows = awaits.map(|awaited| {
        let seen = awaited.evidence.join("; ");
        (await_line(awaited), cut(&seen, TEXT_MAX))
    });
    rows.collect()
}

/// What jtest noted and did besides, from the load on.
fn notes(events: &[Record]) -> Vec<Note> {
    let notes = events.iter().filter_map(|record| {
        let (node, text) = match &record.event {
            Event::Note { node, text } => (node.as_ref(), text.clone()),
            Event::Intervened { node, what } => (Some(node), what.clone()),
            Event::Interrupted { by } => (None, format!("interrupted by {by}")),
            Event::StageEnded {
                stage,
                error: Some(error),
            } => (None, format!("{stage} failed: {error}")),
            _ => return None,
        };
        Some(Note {
            at: seconds(record.time),
            node: node.map_or_else(String::new, |node| node.0.clone()),
            text: cut(&text, 500),
        })
    });
    notes.take(ROWS_MAX).collect()
}

fn cut(text: &str, characters: usize) -> String {
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(characters).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}
