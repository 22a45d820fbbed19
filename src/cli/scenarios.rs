//! `jtest scenarios`: the built-in scenarios, all or one.

use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::input::UsageError;
use crate::cli::output::OutputArgs;
use crate::diagnostic::{did_you_mean, quoted};
use crate::scenario::{BUILTINS, Builtin, DEFAULT, Scenario, builtin};

/// What was typed after `jtest scenarios`.
#[derive(Debug, clap::Args)]
pub struct ScenariosArgs {
    /// Print this one's YAML, to read it or to begin another from it
    name: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Listed {
    scenarios: Vec<Described>,
}

#[derive(Serialize)]
struct Described {
    name: &'static str,
    description: String,
    is_default: bool,
}

impl ScenariosArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self.name {
            Some(name) => {
                let known = one(&name)?;
                let resolved = resolved(known)?;
                self.output.print(|| known.yaml.to_owned(), || resolved)?;
            }
            None => {
                let listed = Listed {
                    scenarios: described()?,
                };
                self.output.print(|| list(&listed.scenarios), || &listed)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn one(name: &str) -> Result<&'static Builtin, UsageError> {
    builtin(name).ok_or_else(|| {
        UsageError(format!(
            "error: there is no built-in scenario {}\n  = help: {}",
            quoted(name),
            did_you_mean(name, BUILTINS.iter().map(|known| known.name))
        ))
    })
}

/// With every value, as `run.json` would have it.
fn resolved(known: &Builtin) -> Result<Scenario, UsageError> {
    let parsed = known.parse(&[]);
    let (scenario, _) = parsed.map_err(|mistakes| UsageError(mistakes.to_string()))?;
    Ok(scenario)
}

fn described() -> Result<Vec<Described>, UsageError> {
    let all = BUILTINS.iter().map(|known| {
        Ok(Described {
            name: known.name,
            description: resolved(known)?.description,
            is_default: known.name == DEFAULT,
        })
    });
    all.collect()
}

fn list(scenarios: &[Described]) -> String {
    let width = scenarios.iter().map(|known| known.name.len()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for known in scenarios {
        let default = if known.is_default { " (default)" } else { "" };
        text.push_str(&format!(
            "{:width$}  {}{default}\n",
            known.name, known.description
        ));
    }
    text.push_str(
        "\nPrint one with `jtest scenarios NAME`; run one with `--scenario NAME`, or a file of \
         your own with `--scenario FILE.yaml`.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;

    #[test]
    fn lists_all_and_prints_one() {
        let scenarios = described().unwrap();
        let text = list(&scenarios);
        for known in BUILTINS {
            assert!(text.lines().any(|line| line.starts_with(known.name)));
            assert_eq!(one(known.name).map(|known| known.yaml), Ok(known.yaml));
            assert_eq!(resolved(known).unwrap().name, known.name);
        }
        assert_eq!(text.matches("(default)").count(), 1);
        assert_documented("scenarios", &Listed { scenarios });
    }

    #[test]
    fn a_misspelt_name_gets_the_right_one() {
        let told = one("partition").err().unwrap().to_string();
        assert!(told.ends_with("did you mean `partitions`?"), "{told}");
    }
}
