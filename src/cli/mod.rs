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
mod netns;
mod plan;
mod report;
mod run;
mod scenario;
mod scenarios;
mod target;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

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
    /// Write the history of a run as JSON, CSV or EDN, for other tools
    Export(export::ExportArgs),
    /// Show what a scenario would do with a seed, without touching a host
    Plan(plan::PlanArgs),
    /// List the built-in scenarios, or print one
    Scenarios(scenarios::ScenariosArgs),
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
    let verb = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.verb,
        Err(error) => return not_parsed(&error),
    };
    let ended = match verb {
        Verb::Run(arguments) => arguments.run(),
        Verb::Doctor(arguments) => arguments.run(),
        Verb::Deploy(arguments) => arguments.run(),
        Verb::Teardown(arguments) => arguments.run(),
        Verb::Heal(arguments) => arguments.run(),
        Verb::Fault(arguments) => arguments.run(),
        Verb::Faults(arguments) => arguments.run(),
        Verb::Check(arguments) => arguments.run(),
        Verb::Report(arguments) => arguments.run(),
        Verb::Export(arguments) => arguments.run(),
        Verb::Plan(arguments) => arguments.run(),
        Verb::Scenarios(arguments) => arguments.run(),
    };
    match ended {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            complain(&format!("{error:#}"));
            let is_usage = error.is::<UsageError>() || error.is::<Refusal>();
            ExitCode::from(if is_usage { 254 } else { 255 })
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
    let first = typed.get(1).and_then(|first| first.to_str());
    if first.is_some_and(|first| first.starts_with('-') && !own.contains(&first)) {
        typed.insert(1, "run".into());
    }
    typed
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
    use clap::CommandFactory;

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
        ] {
            assert!(matches!(verb(line), Ok(Verb::Run(_))), "{line}");
        }
        assert!(matches!(
            verb("jtest doctor -i lab.yaml"),
            Ok(Verb::Doctor(_))
        ));
        assert!(matches!(verb("jtest scenarios"), Ok(Verb::Scenarios(_))));
        for (line, kind) in [
            ("jtest --help", ErrorKind::DisplayHelp),
            ("jtest -V", ErrorKind::DisplayVersion),
            ("jtest", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("jtest --seed 3", ErrorKind::MissingRequiredArgument),
            ("jtest lab.yaml", ErrorKind::InvalidSubcommand),
        ] {
            assert_eq!(verb(line).map(|_| ()), Err(kind), "{line}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
