//! `report.html`: one self-contained page. All text in it is data and escaped by the template.

use askama::Template;

use super::terminal::{await_line, loss, seconds, verdict_text, word};
use crate::check::results::Results;
use crate::manifest::Manifest;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    manifest: &'a Manifest,
    results: &'a Results,
    word: &'static str,
    sentence: String,
    command: String,
    lost: String,
    losses: Vec<String>,
    faults: Vec<FaultRow>,
    awaits: Vec<(String, String)>,
}

struct FaultRow {
    number: u32,
    description: String,
    injected: String,
    healed: String,
    spread: String,
    proof: &'static str,
    said: Vec<String>,
}

/// The page.
pub fn text(manifest: &Manifest, results: &Results) -> askama::Result<String> {
    let queue = &results.total_queue.data;
    Page {
        manifest,
        results,
        word: word(results.verdict),
        sentence: verdict_text(results),
        command: manifest.command.join(" "),
        lost: queue
            .lost
            .map_or_else(|| "not known".to_owned(), |lost| lost.to_string()),
        losses: queue.losses.iter().map(loss).collect(),
        faults: faults(results),
        awaits: awaits(results),
    }
    .render()
}

fn faults(results: &Results) -> Vec<FaultRow> {
    let rows = results.coverage.data.faults.iter().map(|fault| FaultRow {
        number: fault.fault.0,
        description: fault.description.clone().unwrap_or_default(),
        injected: fault.injected_first_ns.map(seconds).unwrap_or_default(),
        healed: fault.healed_ns.map(seconds).unwrap_or_default(),
        spread: fault
            .spread_us
            .map(|us| format!("{:.1} ms", us as f64 / 1e3))
            .unwrap_or_default(),
        proof: match (fault.proven, fault.heal_proven) {
            _ if fault.idle => "nothing to do",
            (true, true) => "proven, and proven undone",
            (true, false) => "proven, not proven undone",
            (false, _) => "not proven",
        },
        said: fault
            .evidence
            .iter()
            .chain(&fault.errors)
            .cloned()
            .collect(),
    });
    rows.collect()
}

/// What was waited for, and what was seen last.
fn awaits(results: &Results) -> Vec<(String, String)> {
    let awaits = results.coverage.data.awaits.iter();
    let rows = awaits.map(|awaited| (await_line(awaited), awaited.evidence.join("; ")));
    rows.collect()
}
