//! `jtest runs`: the runs there are, two of them side by side, and old ones removed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Outcome;
use super::input::UsageError;
use super::output::OutputArgs;
use crate::diagnostic::{quoted, visible};
use crate::report::terminal::seconds;
use crate::runs::diff::{Comparison, Row, diff};
use crate::runs::dir::Dir;
use crate::runs::gc::{self, Action, Decision, Policy};
use crate::runs::{Filter, LATEST, RunSummary, Runs};
use crate::yaml::parse_duration;

/// Characters of a value in the comparison.
const VALUE_CHARS: usize = 26;

/// What was typed after `jtest runs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunsArgs {
    #[command(subcommand)]
    verb: Option<RunsVerb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum RunsVerb {
    /// Put two runs side by side: what was set otherwise, and what came of it
    Diff(DiffArgs),
    /// Remove old runs; without --yes only tell which
    Gc(GcArgs),
}

/// Where the runs are.
#[derive(Debug, clap::Args)]
pub struct RunsDirArgs {
    /// The directory that the runs are in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    directory: RunsDirArgs,
    /// Only scenarios with this in their name
    #[arg(long, short, value_name = "TEXT")]
    scenario: Option<String>,
    /// Only runs with this verdict, or in this state
    #[arg(long, value_name = "VERDICT", value_parser = PossibleValuesParser::new(Filter::VERDICTS))]
    verdict: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// One run: SCENARIO/TIME, TIME, `latest`, or the path of a run directory
    a: String,
    /// The other
    b: String,
    #[command(flatten)]
    directory: RunsDirArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true)))]
struct GcArgs {
    /// Keep the newest N runs of each scenario
    #[arg(long, value_name = "N", group = "which")]
    keep_last: Option<usize>,
    /// Keep all that are not older than this: `30d`, `12h`
    #[arg(long, value_name = "TIME", value_parser = age, group = "which")]
    older_than: Option<Duration>,
    /// Keep those whose verdict is invalid
    #[arg(long)]
    keep_invalid: bool,
    /// Remove them; without it, nothing is removed
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    directory: RunsDirArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Listed<'r> {
    runs: &'r [RunSummary],
}

#[derive(Serialize)]
struct Collected<'d> {
    runs: &'d [Decision],
    bytes: u64,
}

impl RunsDirArgs {
    /// Opens the directory.
    pub fn open(&self) -> Result<Runs, UsageError> {
        Runs::open(&self.runs).map_err(|error| {
            UsageError(format!(
                "error: the runs directory {} cannot be opened: {error}\n  = help: a run makes it; --runs DIR names another",
                visible(&self.runs.to_string_lossy())
            ))
        })
    }
}

impl RunsArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self.verb {
            None => self.list.run(),
            Some(RunsVerb::Diff(arguments)) => arguments.run(),
            Some(RunsVerb::Gc(arguments)) => arguments.run(),
        }
    }
}

impl ListArgs {
    fn run(self) -> anyhow::Result<Outcome> {
        let filter = Filter {
            scenario: self.scenario,
            verdict: self.verdict,
        };
        let runs = self.directory.open()?.summaries(&filter)?;
        self.output
            .print(|| listed(&runs), || Listed { runs: &runs })?;
        Ok(Outcome::Done)
    }
}

fn listed(runs: &[RunSummary]) -> String {
    if runs.is_empty() {
        return "no runs\n".to_owned();
    }
    let versions = |run: &RunSummary| {
        // What the distribution adds to it is in the JSON.
        let versions = run.rabbitmq_versions.iter().map(|version| {
            let (version, _) = version.split_once('-').unwrap_or((version, ""));
            version
        });
        visible(&versions.collect::<Vec<_>>().join(","))
    };
    let scenario = runs
        .iter()
        .map(|run| visible(&run.scenario).chars().count());
    let version = runs.iter().map(|run| versions(run).chars().count());
    let (scenario, version) = (widest(scenario, "scenario"), widest(version, "version"));
    let time = |run: &RunSummary| run.run.rsplit_once('/').map_or(0, |(_, time)| time.len());
    let width = widest(runs.iter().map(time), "time");
    let mut text = format!(
        "{:<width$}  {:<scenario$}  {:<version$}  {:<8}  {:>7}  longest gap\n",
        "time", "scenario", "version", "verdict", "lost"
    );
    for run in runs {
        let (_, time) = run.run.rsplit_once('/').unwrap_or_default();
        let lost = run.lost.map(|count| count.to_string());
        // What cannot be known is not nothing.
        let lost = lost.or(run.verdict.map(|_| "?".to_owned()));
        let line = format!(
            "{time:<width$}  {:<scenario$}  {:<version$}  {:<8}  {:>7}  {:>11}",
            visible(&run.scenario),
            versions(run),
            run.outcome(),
            lost.unwrap_or_default(),
            run.longest_gap_ns.map(seconds).unwrap_or_default(),
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for run in runs {
        if let Some(problem) = &run.problem {
            text.push_str(&format!("{}: {}\n", visible(&run.run), visible(problem)));
        }
    }
    text
}

fn widest(widths: impl Iterator<Item = usize>, title: &str) -> usize {
    widths.max().unwrap_or_default().max(title.len())
}

impl DiffArgs {
    fn run(self) -> anyhow::Result<Outcome> {
        let (a, dir_a) = found(&self.directory, &self.a)?;
        let (b, dir_b) = found(&self.directory, &self.b)?;
        let compared = diff([(&a, &dir_a), (&b, &dir_b)]).map_err(UsageError)?;
        self.output
            .print(|| side_by_side(&compared), || &compared)?;
        Ok(Outcome::Done)
    }
}

/// A run by its path, its name, its time, or as the newest.
fn found(directory: &RunsDirArgs, word: &str) -> Result<(String, Dir), UsageError> {
    let is_a_path = Path::new(word).is_dir();
    let opened = match is_a_path {
        true => None,
        false => Some(directory.open()?),
    };
    let Some(runs) = opened else {
        let opened = Dir::open(word.as_ref());
        let opened = opened.map_err(|error| UsageError(format!("{}: {error}", visible(word))))?;
        return Ok((word.to_owned(), opened));
    };
    let names = runs
        .names()
        .map_err(|error| UsageError(error.to_string()))?;
    let is_meant = |name: &&crate::runs::RunName| {
        word == LATEST || name.time == word || name.to_string() == word
    };
    let mut meant = names.iter().filter(is_meant);
    let (first, second) = (meant.next(), meant.next().filter(|_| word != LATEST));
    match (first, second) {
        (Some(name), None) => {
            let opened = runs.directory(name);
            let opened = opened.map_err(|error| UsageError(format!("{name}: {error}")))?;
            Ok((name.to_string(), opened))
        }
        (Some(one), Some(other)) => Err(UsageError(format!(
            "error: {} is the time of several runs, such as {one} and {other}\n  = help: say SCENARIO/TIME",
            quoted(word)
        ))),
        (None, _) => Err(UsageError(format!(
            "error: there is no run {} in {}\n  = help: `jtest runs` lists them; a path of a run directory may be given as well",
            quoted(word),
            visible(&runs.path().to_string_lossy())
        ))),
    }
}

fn side_by_side(compared: &Comparison) -> String {
    let names = compared
        .setup
        .iter()
        .chain(&compared.results)
        .map(|row| row.name.chars().count());
    let width = widest(names, "");
    let line = |mark: char, name: &str, [a, b]: [&str; 2]| {
        let line = format!("{mark} {name:width$}  {a:<VALUE_CHARS$}  {b}");
        line.trim_end().to_owned() + "\n"
    };
    let [a, b] = compared.runs.each_ref().map(|run| visible(run));
    let mut text = format!("a  {a}\nb  {b}\n\n");
    let told = |row: &Row, mark: char| {
        let [a, b] = row
            .values
            .each_ref()
            .map(|value| value_text(&row.name, value));
        line(mark, &visible(&row.name), [&a, &b])
    };
    if compared.setup.is_empty() {
        text.push_str("The setup is the same.\n");
    } else {
        text.push_str("Set otherwise:\n");
        text.extend(compared.setup.iter().map(|row| told(row, ' ')));
    }
    if compared.setup_left_out > 0 {
        text.push_str(&format!("... and {} more\n", compared.setup_left_out));
    }
    text.push_str("\nWhat came of it (* differs):\n");
    let results = compared.results.iter();
    text.extend(results.map(|row| told(row, if row.differs() { '*' } else { ' ' })));
    text
}

fn value_text(name: &str, value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if name.ends_with("_ns") => number
            .as_i64()
            .map_or_else(|| number.to_string(), time_text),
        value => value.to_string(),
    };
    let text = visible(&text);
    match text.char_indices().nth(VALUE_CHARS) {
        Some(_) => text.chars().take(VALUE_CHARS - 1).chain(['…']).collect(),
        None => text,
    }
}

fn time_text(nanos: i64) -> String {
    match nanos {
        1..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => seconds(nanos),
    }
}

impl GcArgs {
    fn run(self) -> anyhow::Result<Outcome> {
        let runs = self.directory.open()?;
        let policy = Policy {
            keep_last: self.keep_last.unwrap_or_default(),
            older_than: self.older_than,
            keep_invalid: self.keep_invalid,
        };
        let mut decisions = gc::plan(&runs, &policy, Timestamp::now())?;
        if self.yes {
            gc::carry_out(&runs, &mut decisions);
        }
        let json = || Collected {
            runs: &decisions,
            bytes: removed_bytes(&decisions),
        };
        self.output.print(|| collected(&decisions), json)?;
        let is_failed = decisions
            .iter()
            .any(|decision| decision.action == Action::Failed);
        Ok(if is_failed {
            Outcome::NotInOrder
        } else {
            Outcome::Done
        })
    }
}

fn is_removed(decision: &&Decision) -> bool {
    matches!(decision.action, Action::Remove | Action::Removed)
}

fn removed_bytes(decisions: &[Decision]) -> u64 {
    decisions
        .iter()
        .filter(is_removed)
        .map(|decision| decision.bytes)
        .sum()
}

fn collected(decisions: &[Decision]) -> String {
    let width = widest(
        decisions
            .iter()
            .map(|decision| visible(&decision.run).chars().count()),
        "",
    );
    let mut text = String::new();
    for decision in decisions {
        let action = match decision.action {
            Action::Keep => "keep",
            Action::Remove => "remove",
            Action::Removed => "removed",
            Action::Failed => "FAILED",
        };
        let why = decision.why.as_deref().map(visible).unwrap_or_default();
        let line = format!(
            "{action:<7}  {:<width$}  {:>9}  {why}",
            visible(&decision.run),
            size(decision.bytes)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let count = decisions.iter().filter(is_removed).count();
    let bytes = size(removed_bytes(decisions));
    let is_plan = decisions
        .iter()
        .any(|decision| decision.action == Action::Remove);
    text.push_str(&match (count, is_plan) {
        (0, _) => "nothing to remove\n".to_owned(),
        (_, true) => format!("{count} runs with {bytes} would be removed; --yes removes them\n"),
        (_, false) => format!("{count} runs with {bytes} are removed\n"),
    });
    text
}

/// Bytes, as people tell them.
fn size(bytes: u64) -> String {
    crate::serve::size(bytes)
}

fn age(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time such as `12h` or `30d`".to_owned())
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
