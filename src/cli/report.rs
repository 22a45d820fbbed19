//! `jtest report`: writes what people and machines read of a run once more.

use std::path::PathBuf;

use super::input::UsageError;
use super::{Outcome, print};
use crate::check::judge::judge;
use crate::report::{self, REPORT_FILE};

/// What was typed after `jtest report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// What a run left: `runs/latest`, or `runs/SCENARIO/TIME`
    run_dir: PathBuf,
}

impl ReportArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let directory = &self.run_dir;
        let results = judge(directory).map_err(|error| UsageError(error.to_string()))?;
        report::write(directory, &results)?;
        print(&format!("{}\n", directory.join(REPORT_FILE).display()))?;
        Ok(Outcome::Done)
    }
}
