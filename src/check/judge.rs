//! From a run directory to results, without a network.
//!
//! The run itself and `jtest check` both come through here, so the same directory gives the
//! same bytes. What happens after the collecting (the check, the report) is not looked at:
//! it is not part of the evidence.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::losses::Losses;
use super::results::{EVIDENCE, Evidence, Finding, Results, TotalQueue};
use super::table::{Checks, Known, Seen};
use super::total_queue::{self, NotAHistory, Tally};
use super::window::FaultTimes;
use super::{Verdict, coverage, logs};
use crate::diagnostic::on_one_line;
use crate::event::{Event, Record, Stage};
use crate::history::operation::{Entry, Nanos};
use crate::history::reader::{HistoryError, Reader};
use crate::manifest::{FORMAT_VERSION, Manifest, ManifestError};
use crate::run_dir;
use crate::scenario::{Weight, WorkloadKind};

/// Its name in a run directory.
pub const HISTORY_FILE: &str = "history.arrow";
/// Its name in a run directory.
pub const EVENTS_FILE: &str = "events.jsonl";
/// Its name in a run directory.
pub const RESULTS_FILE: &str = "results.json";

/// Longest line of `events.jsonl`.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Why a run directory cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// `run.json`.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// `history.arrow`.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// `history.arrow` holds what no run records.
    #[error("{} is not a history: {error}", .path.display())]
    NotAHistory {
        /// The file.
        path: PathBuf,
        /// What is impossible.
        error: NotAHistory,
    },
    /// The history is of another run than `run.json`.
    #[error("{} is of run {found}, run.json of run {expected}; put back the file that belongs to it", .path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The history's run.
        found: String,
        /// The manifest's run.
        expected: String,
    },
    /// The history's nodes are not those of `run.json`.
    #[error("{} has other nodes than run.json; put back the file that belongs to it", .path.display())]
    OtherNodes {
        /// The file.
        path: PathBuf,
    },
    /// `events.jsonl`.
    #[error("cannot read {}: {error}; it must stay as the run left it", .path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// The reason, with the line.
        error: io::Error,
    },
}

/// Judges a run directory.
pub fn judge(directory: &Path) -> Result<Results, JudgeError> {
    let manifest = Manifest::read(directory)?;
    let events = read_events(&directory.join(EVENTS_FILE))?;
    let history = directory.join(HISTORY_FILE);

    let mut faults = coverage::faults(&manifest.schedule, &events);
    let names = node_names(&manifest);
    let times = FaultTimes::of(&faults);
    let known = Known {
        scenario: &manifest.scenario,
        nodes: &names,
        faults: &times,
        events: &events,
    };
    let mut checks = Checks::begin(&known);
    let (tally, history_complete) = tally(&history, &manifest, |entry| {
        coverage::count(&mut faults, entry);
        checks.add(entry);
    })?;
    let damage = damage(&history, &events, &tally)?;
    let evidence = evidence(&events, history_complete, damage);
    let coverage = coverage::check(&manifest.schedule, &events, faults);
    let mut sums = tally.sums(&names);
    let is_damaged = !evidence.data.damage.is_empty();
    let is_complete = evidence.data.history_complete && evidence.data.drain_complete && !is_damaged;
    if is_complete {
        find_losses(&history, &known, &tally, &mut sums)?;
    }
    if checks.look_again() {
        each_entry(&history, |entry| checks.add_again(entry))?;
    }
    let findings = checks.findings(&Seen {
        known,
        is_complete: evidence.verdict == Verdict::Valid,
    });
    let reported = manifest.scenario.checks.iter();
    let reported = reported.filter(|(_, weight)| **weight == Weight::Reported);
    let reported = reported.map(|(checker, _)| *checker).collect();
    let sends = manifest.scenario.workload.kind.sends();
    let logs = logs::collect(directory, &manifest, &events, &coverage.data);
    let mut results = Results {
        format_version: FORMAT_VERSION,
        verdict: Verdict::Valid,
        reasons: Vec::new(),
        reported,
        scenario: manifest.scenario.name,
        run_id: manifest.run_id,
        seed: manifest.seed,
        started: manifest.started,
        total_queue: total_queue::finding(sums, sends),
        findings,
        coverage,
        evidence,
        logs,
    };
    let mut parts = results.parts();
    parts.retain(|part| part.decides);
    let verdict = parts
        .iter()
        .fold(Verdict::Valid, |verdict, part| verdict.and(part.verdict));
    parts.retain(|part| part.verdict != Verdict::Valid);
    if verdict == Verdict::Unknown && has_no_load(&results) {
        parts.sort_by_key(|part| part.name != EVIDENCE);
    }
    let reasons = parts.iter().map(|part| part.summary.to_owned()).collect();
    results.verdict = if is_damaged {
        Verdict::Unknown
    } else {
        verdict
    };
    results.reasons = reasons;
    Ok(results)
}

/// Whether the load failed or never began, and nothing was confirmed: what the other findings miss follows from that.
fn has_no_load(results: &Results) -> bool {
    let until_load = [Stage::Connect, Stage::Preflight, Stage::Deploy, Stage::Load];
    let failed = &results.evidence.data.failed_stages;
    let has_failed = |stage: &Stage| failed.contains_key(&stage.to_string());
    results.total_queue.data.confirmed == 0 && until_load.iter().any(has_failed)
}

/// The results as they stand in `results.json`.
pub fn to_json(results: &Results) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(results)?;
    text.push(b'\n');
    Ok(text)
}

fn node_names(manifest: &Manifest) -> Vec<crate::inventory::NodeName> {
    manifest
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .collect()
}

fn tally(
    path: &Path,
    manifest: &Manifest,
    mut also: impl FnMut(&Entry),
) -> Result<(Tally, bool), JudgeError> {
    let mut tally = Tally::default();
    let mut odd = None;
    let reader = each_entry(path, |entry| {
        if odd.is_none() {
            odd = tally.add(entry).err();
        }
        if odd.is_none() {
            also(entry);
        }
    })?;
    if let Some(error) = odd {
        let path = path.to_owned();
        return Err(JudgeError::NotAHistory { path, error });
    }
    if reader.run_id() != manifest.run_id {
        return Err(JudgeError::OtherRun {
            path: path.to_owned(),
            found: reader.run_id().to_owned(),
            expected: manifest.run_id.clone(),
        });
    }
    if reader.nodes() != node_names(manifest) {
        let path = path.to_owned();
        return Err(JudgeError::OtherNodes { path });
    }
    Ok((tally, reader.is_complete()))
}

fn find_losses(
    path: &Path,
    known: &Known<'_>,
    tally: &Tally,
    sums: &mut TotalQueue,
) -> Result<(), JudgeError> {
    let expired = expired_until(known);
    let mut losses = Losses::new(tally, known.nodes, known.faults, expired);
    if sums.confirmed_not_received > 0 {
        each_entry(path, |entry| losses.add(entry))?;
    }
    losses.finish(sums);
    Ok(())
}

/// Of a queue that lets messages go after a time: what was published until then may have gone before the
/// drain's end.
fn expired_until(known: &Known<'_>) -> Option<Nanos> {
    let ttl = known.scenario.queue.limits.message_ttl_ms?;
    if known.scenario.workload.kind != WorkloadKind::Transient {
        return None;
    }
    let mut events = known.events.iter().rev();
    let drained = events.find(|record| matches!(record.event, Event::Drained { .. }))?;
    Some(
        drained
            .time
            .saturating_sub(Nanos::from(ttl).saturating_mul(1_000_000)),
    )
}

fn each_entry(path: &Path, mut take: impl FnMut(&Entry)) -> Result<Reader, HistoryError> {
    let mut reader = Reader::open(path)?;
    while let Some(batch) = reader.next_batch()? {
        batch.entries().for_each(|entry| take(&entry));
    }
    Ok(reader)
}

/// Every event of the file; a torn last line, which a killed run leaves, is left out.
pub fn read_events(path: &Path) -> Result<Vec<Record>, JudgeError> {
    let failed = |error| JudgeError::Events {
        path: path.to_owned(),
        error,
    };
    let mut file = BufReader::new(run_dir::open(path).map_err(failed)?);
    let mut events = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = io::Read::take(&mut file, EVENT_BYTES_MAX as u64);
        bounded.read_until(b'\n', &mut line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            if line.len() < EVENT_BYTES_MAX {
                return Ok(events);
            }
            let error = io::Error::other(format!("line {} is too long", events.len() + 1));
            return Err(failed(error));
        }
        let record = serde_json::from_slice(&line).map_err(|error| {
            failed(io::Error::other(format!(
                "line {}: {error}",
                events.len() + 1
            )))
        })?;
        events.push(record);
    }
}

/// What shows that the history is not as the run left it.
fn damage(path: &Path, events: &[Record], tally: &Tally) -> Result<Vec<String>, JudgeError> {
    let mut damage = Vec::new();
    let written = events.iter().rev().find_map(|record| match &record.event {
        Event::HistoryEnded { bytes, sha1 } => Some((*bytes, sha1)),
        _ => None,
    });
    if let Some((bytes, sha1)) = written {
        let found = run_dir::digest(path).map_err(|error| HistoryError::Io {
            path: path.to_owned(),
            error,
        })?;
        if (found.0, &found.1) != (bytes, sha1) {
            damage.push(format!(
                "{HISTORY_FILE} is not as the run left it: {} bytes with SHA-1 {}, and were {bytes} with {sha1}",
                found.0, found.1
            ));
        }
    }
    if let contradictions @ 1.. = tally.contradictions() {
        damage.push(format!(
            "{contradictions} publishes of the history begin or end that cannot have: it was changed"
        ));
    }
    Ok(damage)
}

fn evidence(events: &[Record], history_complete: bool, damage: Vec<String>) -> Finding<Evidence> {
    let mut data = Evidence {
        history_complete,
        damage,
        ..Evidence::default()
    };
    let mut under_way = None;
    let mut loaded = false;
    for record in events {
        match &record.event {
            Event::StageBegan { stage } if is_evidence(*stage) => under_way = Some(*stage),
            Event::StageEnded { stage, error } if is_evidence(*stage) => {
                under_way = None;
                loaded |= *stage == Stage::Load;
                if let Some(error) = error {
                    data.failed_stages.insert(stage.to_string(), error.clone());
                }
            }
            Event::Drained { proof } => {
                data.drain_complete = proof.complete;
                data.drain_evidence.clone_from(&proof.evidence);
            }
            Event::Intervened { node, what } => data.interventions.push(format!("{node}: {what}")),
            _ => {}
        }
    }
    if let Some(stage) = under_way {
        let error = "the run ended in the middle of it".to_owned();
        data.failed_stages.insert(stage.to_string(), error);
    } else if !loaded && data.failed_stages.is_empty() {
        let error = "it never began".to_owned();
        data.failed_stages.insert(Stage::Load.to_string(), error);
    }
    finding_of(data)
}

/// Stages whose failure leaves the evidence incomplete. Collecting is not one of them: the
/// logs explain a verdict, they do not make it.
fn is_evidence(stage: Stage) -> bool {
    match stage {
        Stage::Connect
        | Stage::Preflight
        | Stage::Deploy
        | Stage::Load
        | Stage::Recover
        | Stage::Drain => true,
        Stage::Heal | Stage::Collect | Stage::Check | Stage::Report => false,
    }
}

fn finding_of(data: Evidence) -> Finding<Evidence> {
    let mut missing: Vec<String> = data
        .failed_stages
        .iter()
        .map(|(stage, error)| format!("{stage}: {}", on_one_line(error)))
        .collect();
    missing.extend(data.damage.iter().cloned());
    if !data.history_complete {
        missing.push("the history has no end".to_owned());
    }
    if !data.drain_complete {
        missing.push("the drain is not proven complete".to_owned());
    }
    let (verdict, summary) = if missing.is_empty() {
        let summary = "history and drain are complete".to_owned();
        (Verdict::Valid, summary)
    } else {
        let summary = format!("evidence is missing: {}", missing.join("; "));
        (Verdict::Unknown, summary)
    };
    Finding {
        verdict,
        summary,
        data,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
