//! What is logged, as options that every verb has.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use clap::ArgAction;
use tracing::Level;

use super::input::UsageError;
use crate::diagnostic::visible;
use crate::run::log::{Filter, Log};

/// Where Rust programs are told what to log.
const VARIABLE: &str = "RUST_LOG";

/// What is logged, and where to.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What is logged: off, error, warn, info, debug, trace, or a filter as in RUST_LOG, which this
    /// overrides
    #[arg(long, global = true, value_name = "LEVEL", conflicts_with = "verbose")]
    log_level: Option<Filter>,
    /// Log more: -v is debug, -vv trace
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log to the end of this file; without it a run logs to its directory alone, and all else to
    /// standard error where a level is given
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

impl LogArgs {
    /// The log that is meant.
    pub fn log(self) -> Result<Log, UsageError> {
        let file = self.log_file.as_deref().map(open).transpose()?;
        let filter = match self.verbose {
            0 => self.log_level.or_else(of_environment),
            1 => Some(Filter::level(Level::DEBUG)),
            _ => Some(Filter::level(Level::TRACE)),
        };
        Ok(Log::new(filter, file))
    }
}

fn open(path: &Path) -> Result<File, UsageError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|error| UsageError(format!("--log-file {}: {error}", path.display())))
}

/// A variable that was meant for another program must not keep jtest from healing hosts.
fn of_environment() -> Option<Filter> {
    let filter = std::env::var(VARIABLE).ok()?;
    if filter.is_empty() {
        return None;
    }
    match filter.parse() {
        Ok(filter) => Some(filter),
        Err(error) => {
            let filter = visible(&filter);
            eprintln!("warning: {VARIABLE}={filter} is not used: {error}");
            None
        }
    }
}
