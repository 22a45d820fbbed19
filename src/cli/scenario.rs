//! The scenario that a verb works with, as options: a built-in one or a file, and single
//! values of it set otherwise.

use std::path::Path;

use super::input::{self, UsageError};
use crate::diagnostic::{did_you_mean, quoted};
use crate::scenario::{self, BUILTINS, DEFAULT, Scenario, builtin};

/// Which scenario.
#[derive(Debug, clap::Args)]
pub struct ScenarioArgs {
    /// A built-in scenario (`jtest scenarios` lists them) or a YAML file
    #[arg(long, short, value_name = "NAME|FILE", default_value = DEFAULT)]
    scenario: String,
    /// Sets one value of the scenario, such as `workload.rate=200` or `schedule.0.duration=30s`
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl ScenarioArgs {
    /// The scenario as resolved, its warnings told.
    pub fn read(&self) -> Result<Scenario, UsageError> {
        let parsed = if scenario::is_path(&self.scenario) {
            let text = input::read_text(Path::new(&self.scenario), "scenario")?;
            scenario::parse(&self.scenario, &text, &self.set)
        } else {
            let known = builtin(&self.scenario).ok_or_else(|| self.unknown())?;
            known.parse(&self.set)
        };
        let (scenario, warnings) = parsed.map_err(|told| UsageError(told.to_string()))?;
        if !warnings.is_empty() {
            eprintln!("{warnings}\n");
        }
        Ok(scenario)
    }

    fn unknown(&self) -> UsageError {
        UsageError(format!(
            "error: there is no built-in scenario {}\n  = help: {}; a file's name ends in `.yaml` or has a `/`",
            quoted(&self.scenario),
            did_you_mean(&self.scenario, BUILTINS.iter().map(|known| known.name))
        ))
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => Ok((path.to_owned(), value.to_owned())),
        _ => Err("write it as PATH=VALUE, such as `workload.rate=200`".to_owned()),
    }
}
