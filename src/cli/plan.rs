//! `jtest plan`: what a scenario would do with a seed, without touching a host.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::input::{self, UsageError};
use super::output::OutputArgs;
use super::{Outcome, scenario};
use crate::inventory::NodeName;
use crate::scenario::Scenario;
use crate::schedule::{self, Plan};

/// Nodes of a plan that names no inventory: n1, n2 and so on.
const NODES_MAX: i64 = 99;
const NODES_DEFAULT: usize = 5;

/// Show what a scenario would do.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    scenario: scenario::ScenarioArgs,
    /// Everything random comes from it; a random one is chosen, and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The hosts, in Ansible's YAML form; only their names are looked at
    #[arg(long, short, value_name = "FILE", conflicts_with = "nodes")]
    inventory: Option<PathBuf>,
    /// How many nodes there are, named n1, n2 and so on, where no inventory is given; without it as many as the scenario is written for, or 5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=NODES_MAX))]
    nodes: Option<u8>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Planned<'p> {
    scenario: &'p str,
    seed: u64,
    nodes: &'p [NodeName],
    schedule: &'p Plan,
}

impl PlanArgs {
    /// Runs the verb.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let scenario = self.scenario.read()?;
        let nodes = self.node_names(&scenario)?;
        let seed = self.seed.unwrap_or_else(rand::random);
        let plan = schedule::plan(&scenario, &nodes, seed)
            .map_err(|misfits| UsageError(misfits.to_string()))?;
        let planned = || Planned {
            scenario: &scenario.name,
            seed,
            nodes: &nodes,
            schedule: &plan,
        };
        let text = || shown(&scenario.name, seed, &nodes, &plan);
        self.output.print(text, planned)?;
        Ok(Outcome::Done)
    }

    fn node_names(&self, scenario: &Scenario) -> Result<Vec<NodeName>, UsageError> {
        let Some(path) = &self.inventory else {
            let count = self.nodes.map(usize::from).or(scenario.cluster.nodes);
            let count = count.unwrap_or(NODES_DEFAULT);
            return Ok((1..=count).map(|n| NodeName(format!("n{n}"))).collect());
        };
        let (inventory, warnings) = input::read_inventory(path)?;
        if !warnings.is_empty() {
            eprintln!("{warnings}\n");
        }
        let nodes = inventory.nodes.into_iter();
        Ok(nodes.map(|node| node.name).collect())
    }
}

fn shown(scenario: &str, seed: u64, nodes: &[NodeName], plan: &Plan) -> String {
    let mut text = format!(
        "{scenario} with seed {seed} on {}\n",
        schedule::words(nodes)
    );
    if plan.steps.is_empty() {
        text.push_str("\nThere are no faults in it.\n");
        return text;
    }
    text.push_str(&format!(
        "\n{}\n{}",
        schedule::table(plan),
        schedule::timeline(plan)
    ));
    text.push_str("\n# in force   | over when it is done");
    if !plan.awaits().is_empty() {
        text.push_str(
            "   = in force until a condition comes   . awaits\n\
             < at the latest: a condition counts with all the time that it may take",
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;
    use clap::Parser;

    use crate::scenario::{BUILTINS, DEFAULT, builtin};

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        plan: PlanArgs,
    }

    #[test]
    fn every_scenario_is_planned_on_as_many_nodes_as_it_is_written_for() {
        for scenario in BUILTINS {
            let typed = |more: &[&str]| {
                let line = [&["plan", "--scenario", scenario.name], more].concat();
                let Typed { plan } = Typed::try_parse_from(line).unwrap();
                let scenario = plan.scenario.read().unwrap();
                let nodes = plan.node_names(&scenario).unwrap();
                schedule::plan(&scenario, &nodes, 1).map(|_| nodes.len())
            };
            let expected = match scenario.name {
                "pato-2015" | "pato-on-three" => 3,
                _ => 5,
            };
            assert_eq!(typed(&[]), Ok(expected), "{}", scenario.name);
            if expected == 3 {
                let refused = typed(&["--nodes", "5"]).unwrap_err().to_string();
                assert!(
                    refused.contains("written for 3 nodes, not for 5"),
                    "{refused}"
                );
            }
        }
    }

    #[test]
    fn the_default_scenario_is_shown() {
        let (scenario, _) = builtin(DEFAULT).unwrap().parse(&[]).unwrap();
        let nodes: Vec<_> = (1..=5).map(|n| NodeName(format!("n{n}"))).collect();
        let plan = schedule::plan(&scenario, &nodes, 7).unwrap();
        let planned = Planned {
            scenario: &scenario.name,
            seed: 7,
            nodes: &nodes,
            schedule: &plan,
        };
        assert_documented("plan", &planned);
        insta::assert_snapshot!(shown(&scenario.name, 7, &nodes, &plan), @r"
        partitions with seed 7 on n1 n2 n3 n4 n5

                       from      until     lasts  what
        fault 1         10s        40s       30s  partition n1 n4 | n2 n3 n5
        fault 2       1m10s      1m40s       30s  partition leader and the first 1 of n5
                                                    n3 n1 n4 n2 | the others
        fault 3       2m10s      2m40s       30s  partition n1 n3 | n2 n4 n5
        end           2m40s                       of the last step

                                  0s                  1m                  2m
        1 partition                  ##########
        2 partition                                      ##########
        3 partition                                                          ##########

        # in force   | over when it is done
        ");
    }
}
