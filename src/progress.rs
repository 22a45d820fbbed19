//! The terminal while a run is on: plain lines with times, and, where it is a terminal,
//! a status below them that tells stage, elapsed time, rate, outcomes and the fault in force.
//!
//! Everything shown comes from events. Text that came from hosts is freed of control
//! characters first, so that no host can drive the terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, Record, Show};
use crate::history::operation::Nanos;
use crate::schedule::FaultId;

/// How often the status below the lines is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// How often a plain terminal gets a line of counts.
const PLAIN_PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// The way of showing that fits standard error.
pub fn for_standard_error() -> Box<dyn Show> {
    if io::stderr().is_terminal() {
        Box::new(Live::new())
    } else {
        Box::new(Plain { counted: None })
    }
}

/// What one event says in a line; `None` for what only moves the status.
fn line(record: &Record) -> Option<String> {
    let text = match &record.event {
        Event::StageBegan { stage } => format!("{stage}"),
        Event::StageEnded { stage, error } => format!("{stage} failed: {}", error.as_ref()?),
        Event::Intervened { node, what } => format!("  {node}: {what}"),
        Event::Note { node, text } => match node {
            Some(node) => format!("  {node}: {text}"),
            None => format!("  {text}"),
        },
        Event::FaultAsked {
            fault,
            kind,
            description,
            ..
        } => format!("  fault {}: {kind} {description}", fault.0),
        Event::FaultInjected {
            fault,
            first,
            last,
            spread_us,
        } => {
            let spread = spread_us.map_or_else(
                || format!("within {:.1} ms", (last - first) as f64 / 1e6),
                |us| format!("spread {:.1} ms", us as f64 / 1e3),
            );
            format!("  fault {}: injected, {spread}", fault.0)
        }
        Event::FaultProven { fault, proof } => format!(
            "  fault {}: {}",
            fault.0,
            proof_text(proof.proven, "proven", "NOT PROVEN", &proof.evidence)
        ),
        Event::FaultIdle { fault, evidence } => format!(
            "  fault {}: nothing to do: {}",
            fault.0,
            evidence.join("; ")
        ),
        Event::FaultHealed { fault, proof, .. } => format!(
            "  fault {}: {}",
            fault.0,
            proof_text(
                proof.proven,
                "healed",
                "heal asked, NOT PROVEN",
                &proof.evidence
            )
        ),
        Event::FaultFailed { fault, error } => format!("  fault {}: failed: {error}", fault.0),
        Event::AwaitBegan {
            description,
            within,
            ..
        } => format!("  waiting up to {} s for {description}", within.as_secs()),
        Event::AwaitEnded { proof, .. } => format!(
            "  {}",
            proof_text(
                proof.proven,
                "it came",
                "it DID NOT COME, the schedule ends here",
                &proof.evidence
            )
        ),
        Event::Drained { proof } => format!(
            "  drain {}",
            proof_text(
                proof.complete,
                "proven complete",
                "NOT PROVEN COMPLETE",
                &proof.evidence
            )
        ),
        Event::Interrupted { by } => {
            format!("{by}: healing, collecting, judging (once more: heal and go)")
        }
        Event::ClusterView { .. } | Event::Progress { .. } => return None,
    };
    Some(format!("{} {}", stamp(record.time), printable(&text)))
}

fn proof_text(proven: bool, yes: &str, no: &str, evidence: &[String]) -> String {
    let word = if proven { yes } else { no };
    evidence
        .first()
        .map_or_else(|| word.to_owned(), |first| format!("{word}: {first}"))
}

fn stamp(time: Nanos) -> String {
    format!("[{:>7.1}s]", time as f64 / 1e9)
}

/// Control characters, which could drive the terminal, become visible.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The counts so far and the rate since the last counts.
#[derive(Debug, Default, Clone)]
struct Counts {
    time: Nanos,
    attempts: u64,
    ok: u64,
    fail: u64,
    info: u64,
    received: u64,
    rate: f64,
}

impl Counts {
    /// `None` if the event has no counts.
    fn after(&self, record: &Record) -> Option<Self> {
        let Event::Progress {
            attempts,
            ok,
            fail,
            info,
            received,
        } = record.event
        else {
            return None;
        };
        let seconds = (record.time - self.time) as f64 / 1e9;
        let rate = if seconds > 0.0 {
            ok.saturating_sub(self.ok) as f64 / seconds
        } else {
            self.rate
        };
        Some(Self {
            time: record.time,
            attempts,
            ok,
            fail,
            info,
            received,
            rate,
        })
    }

    fn text(&self) -> String {
        format!(
            "{} attempts, {} ok ({:.0}/s), {} fail, {} info, {} received",
            self.attempts, self.ok, self.rate, self.fail, self.info, self.received
        )
    }
}

/// Lines for a file or a pipe.
struct Plain {
    counted: Option<Counts>,
}

impl Show for Plain {
    fn show(&mut self, record: &Record) {
        let mut out = io::stderr().lock();
        if let Some(line) = line(record) {
            // A closed standard error must not stop a run.
            let _ = writeln!(out, "{line}");
        }
        let since = self.counted.clone().unwrap_or_default();
        if let Some(counts) = since.after(record) {
            let every = PLAIN_PROGRESS_EVERY.as_nanos() as Nanos;
            if self.counted.is_none() || counts.time - since.time >= every {
                let _ = writeln!(out, "{}   {}", stamp(counts.time), counts.text());
                self.counted = Some(counts);
            }
        }
    }
}

/// Lines above, a live status below.
struct Live {
    bars: MultiProgress,
    stage: ProgressBar,
    load: ProgressBar,
    fault: ProgressBar,
    counts: Counts,
    in_force: BTreeMap<FaultId, (Instant, String)>,
}

impl Live {
    fn new() -> Self {
        let bars = MultiProgress::new();
        let bar = |template: &str| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        };
        let stage = bar("{spinner} {msg} {elapsed_precise}");
        let load = bar("  {wide_msg}");
        let fault = bar("  {wide_msg}");
        stage.enable_steady_tick(TICK);
        Self {
            bars,
            stage,
            load,
            fault,
            counts: Counts::default(),
            in_force: BTreeMap::new(),
        }
    }

    fn show_fault(&self) {
        let all: Vec<String> = self
            .in_force
            .values()
            .map(|(since, what)| format!("{what} ({} s)", since.elapsed().as_secs()))
            .collect();
        self.fault.set_message(match all.as_slice() {
            [] => String::new(),
            all => format!("in force: {}", all.join(", ")),
        });
    }
}

impl Show for Live {
    fn show(&mut self, record: &Record) {
        if let Some(line) = line(record) {
            let _ = self.bars.println(line);
        }
        match &record.event {
            Event::StageBegan { stage } => {
                self.stage.reset_elapsed();
                self.stage.set_message(stage.to_string());
                self.load.set_message("");
            }
            Event::FaultAsked {
                fault,
                kind,
                description,
                ..
            } => {
                let what = printable(&format!("{kind} {description}"));
                self.in_force.insert(*fault, (Instant::now(), what));
            }
            Event::FaultHealed { fault, .. } | Event::FaultFailed { fault, .. } => {
                self.in_force.remove(fault);
            }
            Event::Progress { .. } => {
                if let Some(counts) = self.counts.after(record) {
                    self.load.set_message(counts.text());
                    self.counts = counts;
                }
            }
            Event::StageEnded { .. }
            | Event::Note { .. }
            | Event::Intervened { .. }
            | Event::FaultInjected { .. }
            | Event::FaultProven { .. }
            | Event::FaultIdle { .. }
            | Event::AwaitBegan { .. }
            | Event::AwaitEnded { .. }
            | Event::ClusterView { .. }
            | Event::Drained { .. }
            | Event::Interrupted { .. } => {}
        }
        self.show_fault();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stage.finish_and_clear();
        self.load.finish_and_clear();
        self.fault.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Proof, Stage};
    use crate::inventory::NodeName;

    fn check(event: Event, expected: Option<&str>) {
        let record = Record {
            time: 12_345_678_901,
            event,
        };
        assert_eq!(line(&record).as_deref(), expected);
    }

    #[test]
    fn events_as_lines() {
        check(
            Event::StageBegan {
                stage: Stage::Deploy,
            },
            Some("[   12.3s] deploy"),
        );
        check(
            Event::FaultProven {
                fault: FaultId(2),
                proof: Proof {
                    proven: false,
                    evidence: vec!["no packet was dropped".into()],
                },
            },
            Some("[   12.3s]   fault 2: NOT PROVEN: no packet was dropped"),
        );
        check(
            Event::Note {
                node: Some(NodeName("n1".into())),
                text: "evil \u{1b}[2J\ntext".into(),
            },
            Some("[   12.3s]   n1: evil \u{fffd}[2J\u{fffd}text"),
        );
        check(
            Event::StageEnded {
                stage: Stage::Deploy,
                error: None,
            },
            None,
        );
    }

    #[test]
    fn the_rate_counts_confirms_between_two_counts() {
        let progress = |time, ok| Record {
            time,
            event: Event::Progress {
                attempts: ok,
                ok,
                fail: 0,
                info: 0,
                received: 0,
            },
        };
        let first = Counts::default()
            .after(&progress(1_000_000_000, 100))
            .unwrap();
        let second = first.after(&progress(3_000_000_000, 500)).unwrap();
        assert_eq!(second.rate, 200.0);
        assert!(
            second.text().contains("500 ok (200/s)"),
            "{}",
            second.text()
        );
    }
}
