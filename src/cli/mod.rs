//! The command line: one file per verb. What was typed becomes a resolved plan once, here.
//!
//! Exit codes, as Jepsen's: 0 valid (or done), 1 invalid (or not in order), 2 unknown, 254
//! bad usage or input, 255 crashed.

mod check;
mod deploy;
mod doctor;
mod heal;
pub mod input;
mod netns;
mod run;
mod scenario;
mod scenarios;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use self::input::UsageError;
use crate::check::Verdict;
use crate::inventory::HostKeyPolicy;
use crate::run::Refusal;

/// Finds out whether a RabbitMQ cluster loses confirmed messages when the network splits.
#[derive(Debug, Parser)]
#[command(
    name = "jtest",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Exit codes: 0 valid or done, 1 invalid or not in order, 2 unknown, 254 bad usage or input, 255 crashed."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: Option<run::RunArgs>,
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
    /// Judge what a run left once more, without a network
    Check(check::CheckArgs),
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_parsed(&error),
    };
    let ended = match (arguments.verb, arguments.run) {
        (Some(Verb::Run(arguments)), _) | (None, Some(arguments)) => arguments.run(),
        (Some(Verb::Doctor(arguments)), _) => arguments.run(),
        (Some(Verb::Deploy(arguments)), _) => arguments.run(),
        (Some(Verb::Teardown(arguments)), _) => arguments.run(),
        (Some(Verb::Heal(arguments)), _) => arguments.run(),
        (Some(Verb::Check(arguments)), _) => arguments.run(),
        (Some(Verb::Scenarios(arguments)), _) => arguments.run(),
        (None, None) => return not_parsed(&nothing_typed()),
    };
    match ended {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("{error:#}");
            let is_usage = error.is::<UsageError>() || error.is::<Refusal>();
            ExitCode::from(if is_usage { 254 } else { 255 })
        }
    }
}

fn nothing_typed() -> clap::Error {
    Arguments::command().error(
        ErrorKind::MissingRequiredArgument,
        "name the hosts: jtest --inventory FILE",
    )
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
