//! The pages that are made here. All text in them is data and escaped by the templates.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use askama::Template;

use super::path::{file_link, run_link};
use crate::diagnostic::visible;
use crate::history::operation::Nanos;
use crate::runs::{Filter, RunSummary};

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("../../templates/serve.css");

/// Files listed of one run.
pub const FILES_MAX: usize = 2_000;

#[derive(Template)]
#[template(path = "runs.html")]
struct ListPage<'a> {
    directory: String,
    rows: Vec<Row<'a>>,
    scenario: &'a str,
    verdicts: Vec<(&'static str, bool)>,
    left_out: usize,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    row: Row<'a>,
    has_report: bool,
    files: Vec<FileRow>,
    is_cut: bool,
    problem: Option<String>,
}

/// A run as the pages show it.
struct Row<'a> {
    run: &'a RunSummary,
    link: String,
    began: String,
    outcome: &'static str,
    versions: String,
    confirmed: String,
    lost: String,
    longest_gap: String,
}

struct FileRow {
    name: String,
    link: String,
    size: String,
}

/// Runs shown on one page; the filter finds the others.
const RUNS_MAX: usize = 1_000;

/// The list of the runs.
pub fn list(directory: &str, runs: &[RunSummary], filter: &Filter) -> askama::Result<String> {
    let wanted = filter.verdict.as_deref();
    ListPage {
        directory: visible(directory),
        rows: runs.iter().take(RUNS_MAX).map(row).collect(),
        scenario: filter.scenario.as_deref().unwrap_or_default(),
        verdicts: Filter::VERDICTS
            .map(|word| (word, wanted == Some(word)))
            .to_vec(),
        left_out: runs.len().saturating_sub(RUNS_MAX),
    }
    .render()
}

/// The page of a run, with all its files or why they cannot be listed.
pub fn run(
    run: &RunSummary,
    files: Result<Vec<(Vec<OsString>, u64)>, String>,
) -> askama::Result<String> {
    let (files, problem) = match files {
        Ok(files) => (files, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    RunPage {
        row: row(run),
        has_report: files.iter().any(|(path, _)| *path == [REPORT]),
        is_cut: files.len() == FILES_MAX,
        files: files
            .iter()
            .map(|(path, bytes)| file_row(path, *bytes))
            .collect(),
        problem,
    }
    .render()
}

/// The report in a run directory.
pub const REPORT: &str = "report.html";

fn row(run: &RunSummary) -> Row<'_> {
    let known = |count: Option<u64>| count.map(|count| count.to_string());
    let versions: Vec<_> = run.rabbitmq_versions.iter().map(String::as_str).collect();
    Row {
        run,
        link: run_link(&run.run),
        began: to_the_second(&run.started),
        outcome: run.outcome(),
        versions: versions.join(", "),
        confirmed: known(run.confirmed).unwrap_or_default(),
        longest_gap: run.longest_gap_ns.map(seconds).unwrap_or_default(),
        lost: match (run.lost, run.verdict) {
            (None, Some(_)) => "not known".to_owned(),
            (lost, _) => known(lost).unwrap_or_default(),
        },
    }
}

fn seconds(nanos: Nanos) -> String {
    format!("{:.1} s", nanos as f64 / 1e9)
}

/// Of a time in RFC 3339 and UTC; anything else stays as it is.
fn to_the_second(time: &str) -> String {
    match time.get(..19) {
        Some(seconds) if time.ends_with('Z') => seconds.replacen('T', " ", 1),
        _ => time.to_owned(),
    }
}

fn file_row(path: &[OsString], bytes: u64) -> FileRow {
    let names = path
        .iter()
        .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
    FileRow {
        name: visible(&names.collect::<Vec<_>>().join("/")),
        link: file_link(path),
        size: size(bytes),
    }
}

/// Bytes, as people tell them.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let unit = UNITS.into_iter().find(|(_, size)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, size)| format!("{:.1} {unit}", bytes as f64 / size as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (time, text) in [
            ("2026-11-26T01:50:47.076413502Z", "2026-11-26 01:50:47"),
            ("2026-11-26T01:50:47Z", "2026-11-26 01:50:47"),
            ("2026-11-26T01:50:47+01:00", "2026-11-26T01:50:47+01:00"),
            ("", ""),
        ] {
            assert_eq!(to_the_second(time), text);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (5_000_000_000, "5.0 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
