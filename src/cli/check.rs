//! `jtest check`: judges a run directory again, without a network.

use std::path::PathBuf;

use anyhow::Context;

use super::Outcome;
use super::input::UsageError;
use super::output::OutputArgs;
use crate::check::judge::{RESULTS_FILE, judge, to_json};
use crate::report;
use crate::report::terminal;
use crate::run_dir;

/// What was typed after `jtest check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// What a run left: `runs/latest`, or `runs/SCENARIO/TIME`
    run_dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl CheckArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let directory = &self.run_dir;
        let results = judge(directory).map_err(|error| UsageError(error.to_string()))?;
        let path = directory.join(RESULTS_FILE);
        run_dir::write(&path, &to_json(&results)?)
            .with_context(|| format!("write {}", path.display()))?;
        report::write(directory, &results)?;
        self.output
            .print(|| terminal::text(&results), || &results)?;
        Ok(Outcome::Judged(results.verdict))
    }
}
