//! The command line: one file per verb. What was typed becomes a resolved plan once, here.
//!
//! Exit codes, as Jepsen's: 0 valid (or done), 1 invalid (or not in order), 2 unknown, 254
//! bad usage or input, 255 crashed.

mod check;
mod deploy;
mod doctor;
mod export;
mod fault;
mod faults;
mod heal;
pub mod input;
mod log;
mod netns;
mod output;
mod plan;
mod reference;
mod report;
mod run;
mod runs;
mod scenario;
mod scenarios;
mod serve;
#[cfg(test)]
mod shape;
mod synth;
mod target;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use self::input::UsageError;
use crate::check::Verdict;
use crate::diagnostic::visible;
use crate::inventory::HostKeyPolicy;
use crate::run::Refusal;

/// Finds out whether a RabbitMQ cluster loses confirmed messages when the network splits.
#[derive(Debug, Parser)]
#[command(
    name = "jtest",
    version,
    override_usage = "jtest --inventory <FILE> [OPTIONS OF run]\n       jtest <COMMAND>",
    after_help = "Exit codes: 0 valid or done, 1 invalid or not in order, 2 unknown, 254 bad usage or input, 255 crashed."
)]
struct Arguments {
    #[command(flatten)]
    log: log::LogArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Test a cluster, from bare hosts to a verdict: the verb where none is given
    Run(run::RunArgs),
    /// Check all hosts: can jtest reach them, have they what it needs, was anything left on them?
    Doctor(doctor::DoctorArgs),
    /// Install and cluster RabbitMQ on the hosts, and prove that the cluster is ready
    Deploy(deploy::DeployArgs),
    /// Undo what deploy did
    Teardown(deploy::TeardownArgs),
    /// Undo every fault on the hosts, from any state
    Heal(heal::HealArgs),
    /// Do one fault by hand, or undo it
    Fault(fault::FaultArgs),
    /// List the faults there are
    Faults(faults::FaultsArgs),
    /// Judge what a run left once more, without a network
    Check(check::CheckArgs),
    /// Write the report of a run again: one page, and the file for CI systems
    Report(report::ReportArgs),
    /// Write the history of a run as JSON, CSV, Parquet or EDN, for other tools
    Export(export::ExportArgs),
    /// Write what a run would leave, from no cluster: a synthetic history, legal or with planted defects
    Synth(synth::SynthArgs),
    /// Show what a scenario would do with a seed, without touching a host
    Plan(plan::PlanArgs),
    /// List the built-in scenarios, or print one
    Scenarios(scenarios::ScenariosArgs),
    /// List the runs, compare two of them, or remove old ones
    Runs(runs::RunsArgs),
    /// Show the runs in a browser, on 127.0.0.1 alone
    Serve(serve::ServeArgs),
    /// Print what makes a shell complete jtest's command line
    Completions(reference::CompletionsArgs),
    /// Write the man pages, one for each verb
    Man(reference::ManArgs),
}

/// How a verb ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It did what was asked.
    Done,
    /// It looked, and something is not in order.
    NotInOrder,
    /// It judged.
    Judged(Verdict),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done | Outcome::Judged(Verdict::Valid) => Self::SUCCESS,
            Outcome::NotInOrder | Outcome::Judged(Verdict::Invalid) => Self::from(1),
            Outcome::Judged(Verdict::Unknown) => Self::from(2),
        }
    }
}

/// Runs what was typed and maps its end to the exit code.
pub fn main() -> ExitCode {
    let arguments = with_verb(std::env::args_os().collect());
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return not_parsed(&error),
    };
    match arguments.run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            complain(&format!("{error:#}"));
            let is_usage = error.is::<UsageError>() || error.is::<Refusal>();
            ExitCode::from(if is_usage { 254 } else { 255 })
        }
    }
}

impl Arguments {
    fn run(self) -> anyhow::Result<Outcome> {
        let log = self.log.log()?;
        if !matches!(self.verb, Verb::Run(_)) {
            log.begin()?;
        }
        match self.verb {
            Verb::Run(arguments) => arguments.run(log),
            Verb::Doctor(arguments) => arguments.run(),
            Verb::Deploy(arguments) => arguments.run(),
            Verb::Teardown(arguments) => arguments.run(),
            Verb::Heal(arguments) => arguments.run(),
            Verb::Fault(arguments) => arguments.run(),
            Verb::Faults(arguments) => arguments.run(),
            Verb::Check(arguments) => arguments.run(),
            Verb::Report(arguments) => arguments.run(),
            Verb::Export(arguments) => arguments.run(),
            Verb::Synth(arguments) => arguments.run(),
            Verb::Plan(arguments) => arguments.run(),
            Verb::Scenarios(arguments) => arguments.run(),
            Verb::Runs(arguments) => arguments.run(),
            Verb::Serve(arguments) => arguments.run(),
            Verb::Completions(arguments) => arguments.run(Arguments::command()),
            Verb::Man(arguments) => arguments.run(Arguments::command()),
        }
    }
}

/// Tells an error. What a host said in it cannot drive the terminal.
fn complain(error: &str) {
    let mut stderr = io::stderr().lock();
    let head = if error.starts_with("error") {
        ""
    } else {
        "error: "
    };
    for (number, line) in error.lines().enumerate() {
        let head = if number == 0 { head } else { "" };
        // The exit code tells it where standard error is closed.
        let _nobody_to_tell = writeln!(stderr, "{head}{}", visible(line));
    }
}

/// `jtest --inventory lab.yaml` is `jtest run --inventory lab.yaml`: where options come first,
/// other than those that jtest has without a verb, the verb is `run`.
fn with_verb(mut typed: Vec<OsString>) -> Vec<OsString> {
    let own = ["-h", "--help", "-V", "--version"];
    let mut words = typed.iter().skip(1).map(|word| word.to_str());
    let mut first = words.next();
    while let Some(Some(word)) = first {
        match word {
            "--log-level" | "--log-file" => drop(words.next()),
            _ if is_of_log(word) => {}
            _ => break,
        }
        first = words.next();
    }
    let first = first.flatten();
    if first.is_some_and(|first| first.starts_with('-') && !own.contains(&first)) {
        typed.insert(1, "run".into());
    }
    typed
}

/// Whether the word is an option of the log by itself, which says nothing of the verb.
fn is_of_log(word: &str) -> bool {
    let is_count = |letters: &str| !letters.is_empty() && letters.bytes().all(|byte| byte == b'v');
    word == "--verbose"
        || word.starts_with("--log-level=")
        || word.starts_with("--log-file=")
        || word.strip_prefix('-').is_some_and(is_count)
}

/// Help and version are what was asked for; the rest is bad usage.
fn not_parsed(error: &clap::Error) -> ExitCode {
    let _nobody_to_tell = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(254),
    }
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// `--host-keys strict|accept-new|off`.
fn host_keys_parser() -> impl TypedValueParser<Value = HostKeyPolicy> {
    PossibleValuesParser::new(["strict", "accept-new", "off"]).map(|word| match word.as_str() {
        "off" => HostKeyPolicy::Off,
        "accept-new" => HostKeyPolicy::AcceptNew,
        _ => HostKeyPolicy::Strict,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(line: &str) -> Result<Verb, ErrorKind> {
        let typed = with_verb(line.split(' ').map(OsString::from).collect());
        let parsed = Arguments::try_parse_from(typed);
        parsed
            .map(|arguments| arguments.verb)
            .map_err(|error| error.kind())
    }

    #[test]
    fn options_without_a_verb_are_a_run() {
        for line in [
            "jtest --inventory lab.yaml",
            "jtest -i lab.yaml --seed 3",
            "jtest --set workload.rate=3 --inventory=lab.yaml --scenario partitions",
            "jtest run -i lab.yaml",
            "jtest -vv -i lab.yaml",
            "jtest --log-level debug --log-file x -i lab.yaml",
        ] {
            assert!(matches!(verb(line), Ok(Verb::Run(_))), "{line}");
        }
        for line in [
            "jtest doctor -i lab.yaml",
            "jtest -v doctor -i lab.yaml",
            "jtest --log-level=debug --log-file doctor doctor -i lab.yaml",
            "jtest doctor -i lab.yaml -vv --log-file x",
        ] {
            assert!(matches!(verb(line), Ok(Verb::Doctor(_))), "{line}");
        }
        assert!(matches!(verb("jtest scenarios"), Ok(Verb::Scenarios(_))));
        for (line, kind) in [
            ("jtest --help", ErrorKind::DisplayHelp),
            ("jtest -V", ErrorKind::DisplayVersion),
            ("jtest", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("jtest --seed 3", ErrorKind::MissingRequiredArgument),
            ("jtest lab.yaml", ErrorKind::InvalidSubcommand),
            (
                "jtest heal -i x --log-level jtest=loud",
                ErrorKind::ValueValidation,
            ),
            (
                "jtest heal -i x --log-level info -v",
                ErrorKind::ArgumentConflict,
            ),
        ] {
            assert_eq!(verb(line).map(|_| ()), Err(kind), "{line}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
