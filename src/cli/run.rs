//! `jtest run`: test a cluster, from bare hosts to a verdict.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::input::UsageError;
use super::target::{self, TargetArgs};
use super::{Outcome, scenario};
use crate::diagnostic::visible;
use crate::report::terminal;
use crate::run::{self, RunPlan};
use crate::yaml::parse_duration;
use crate::{progress, schedule};

/// The hosts heal themselves this long after jtest was last heard of.
const LEASE_DEFAULT: &str = "60s";

/// Shorter ones run out between two renewals, longer ones leave a cut for too long.
const LEASE_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3600);

/// Test a cluster.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    scenario: scenario::ScenarioArgs,
    /// Everything random comes from it; a random one is chosen, and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where the run's directory is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// How long after jtest was last heard of the hosts undo every fault by themselves
    #[arg(long, value_name = "TIME", default_value = LEASE_DEFAULT)]
    lease: String,
}

impl RunArgs {
    /// Runs the verb.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        let scenario = self.scenario.read()?;
        let seed = self.seed.unwrap_or_else(rand::random);
        let names: Vec<_> = inventory
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .collect();
        let schedule = schedule::plan(&scenario, &names, seed)
            .map_err(|misfits| UsageError(misfits.to_string()))?;
        let plan = RunPlan {
            connect: self.target.options(),
            lease: lease(&self.lease)?,
            inventory,
            scenario,
            schedule,
            seed,
            runs: self.runs,
            command: std::env::args().collect(),
        };
        let end = target::block_on(run::run(plan, progress::for_standard_error()))??;
        for warning in &end.warnings {
            eprintln!("warning: {}", visible(warning));
        }
        let text = terminal::text(&end.results);
        super::print(&format!(
            "\n{text}\nEverything is in {}\n",
            end.directory.display()
        ))?;
        Ok(Outcome::Judged(end.results.verdict))
    }
}

fn lease(text: &str) -> Result<Duration, UsageError> {
    parse_duration(text)
        .filter(|lease| LEASE_RANGE.contains(lease))
        .ok_or_else(|| {
            UsageError(format!(
                "--lease {text} is not a time from 10s to 1h, such as `60s` or `5m`"
            ))
        })
}
