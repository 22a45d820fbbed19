//! `jtest run`: test a cluster, from bare hosts to a verdict.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::input::UsageError;
use super::target::{self, TargetArgs};
use super::{Outcome, scenario};
use crate::diagnostic::visible;
use crate::report::terminal;
use crate::run::log::Log;
use crate::run::metrics::Listener;
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
    /// Write each event to standard output as a line of JSON, as events.jsonl has it, and all else to
    /// standard error
    #[arg(long)]
    json: bool,
    /// Serve metrics of the run for Prometheus at http://ADDRESS:PORT/metrics; a port alone is one of
    /// 127.0.0.1
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    metrics: Option<SocketAddr>,
}

impl RunArgs {
    /// Runs the verb.
    pub fn run(self, log: Log) -> anyhow::Result<Outcome> {
        // Before the inventory may move this process to another network.
        let metrics = self.metrics.map(listen).transpose()?;
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
            log,
        };
        let show = if self.json {
            progress::json_on_standard_output()
        } else {
            progress::on_standard_error(plan.outlook())
        };
        let show = show.context("start the thread that shows the run")?;
        let end = target::block_on(run::run(plan, show, metrics))??;
        for warning in &end.warnings {
            eprintln!("warning: {}", visible(warning));
        }
        let text = terminal::text(&end.results);
        let text = format!("\n{text}\nEverything is in {}\n", end.directory.display());
        if self.json {
            // The exit code tells it where standard error is closed.
            let _nobody_to_tell = io::stderr().write_all(text.as_bytes());
        } else {
            super::print(&text)?;
        }
        Ok(Outcome::Judged(end.results.verdict))
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let address = text.parse();
    address.map_err(|_| "write it as ADDRESS:PORT, such as `127.0.0.1:9464`".to_owned())
}

fn listen(address: SocketAddr) -> Result<Listener, UsageError> {
    if !address.ip().is_loopback() {
        eprintln!("warning: --metrics {address}: whoever reaches this address can read them");
    }
    Listener::bind(address).map_err(|error| {
        UsageError(format!(
            "--metrics {address}: {error}: name an address of this machine with a port that is free"
        ))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_served_where_nobody_else_reads_them_unless_an_address_is_named() {
        for (text, expected) in [
            ("9464", Some("127.0.0.1:9464")),
            ("[::1]:9464", Some("[::1]:9464")),
            ("0.0.0.0:80", Some("0.0.0.0:80")),
            ("localhost", None),
            ("localhost:80", None),
            ("70000", None),
        ] {
            let read = address(text).ok().map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
