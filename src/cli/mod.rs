//! The command line: one file per verb. What was typed becomes a resolved plan once, here.
//!
//! Exit codes, as Jepsen's: 0 valid (or done), 1 invalid (or not in order), 2 unknown, 254
//! bad usage or input, 255 crashed.

mod doctor;
mod heal;
pub mod input;
mod netns;
mod scenarios;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use self::input::UsageError;
use crate::inventory::HostKeyPolicy;

/// Finds out whether a RabbitMQ cluster loses confirmed messages when the network splits.
#[derive(Debug, Parser)]
#[command(
    name = "jtest",
    version,
    after_help = "Exit codes: 0 valid or done, 1 invalid or not in order, 2 unknown, 254 bad usage or input, 255 crashed."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check all hosts: can jtest reach them, have they what it needs, was anything left on them?
    Doctor(doctor::DoctorArgs),
    /// Undo everything on all hosts, whoever did it and whatever state they are in
    Heal(heal::HealArgs),
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
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::NotInOrder => Self::from(1),
        }
    }
}

/// Runs what was typed and maps its end to the exit code.
pub fn main() -> ExitCode {
    let verb = match Arguments::try_parse() {
        Ok(arguments) => arguments.verb,
        Err(error) => return not_parsed(&error),
    };
    let ended = match verb {
        Verb::Doctor(arguments) => arguments.run(),
        Verb::Heal(arguments) => arguments.run(),
        Verb::Scenarios(arguments) => arguments.run(),
    };
    match ended {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(if error.is::<UsageError>() { 254 } else { 255 })
        }
    }
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
