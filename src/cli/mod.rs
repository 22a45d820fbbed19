//! The command line: one file per verb. What was typed becomes a resolved plan once, here.

pub mod input;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Finds out whether a RabbitMQ cluster loses confirmed messages when the network splits.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {}

impl Arguments {
    /// Runs the verb and maps its outcome to the exit code.
    pub fn run(self) -> ExitCode {
        match self.verb {
            None => ExitCode::from(254),
            Some(verb) => match verb {},
        }
    }
}
