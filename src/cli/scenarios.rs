//! `jtest scenarios`: the built-in scenarios, all or one.

use crate::cli::Outcome;
use crate::cli::input::UsageError;
use crate::diagnostic::{did_you_mean, quoted};
use crate::scenario::{BUILTINS, DEFAULT, builtin};

/// What was typed after `jtest scenarios`.
#[derive(Debug, clap::Args)]
pub struct ScenariosArgs {
    /// Print this one's YAML, to read it or to begin another from it
    name: Option<String>,
}

impl ScenariosArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let text = match self.name {
            Some(name) => one(&name)?.to_owned(),
            None => list(),
        };
        super::print(&text)?;
        Ok(Outcome::Done)
    }
}

fn one(name: &str) -> Result<&'static str, UsageError> {
    builtin(name).map(|known| known.yaml).ok_or_else(|| {
        UsageError(format!(
            "error: there is no built-in scenario {}\n  = help: {}",
            quoted(name),
            did_you_mean(name, BUILTINS.iter().map(|known| known.name))
        ))
    })
}

fn list() -> String {
    let width = BUILTINS.iter().map(|known| known.name.len()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for known in BUILTINS {
        let description = match known.parse(&[]) {
            Ok((scenario, _)) => scenario.description,
            Err(mistakes) => mistakes.to_string(),
        };
        let default = if known.name == DEFAULT {
            " (default)"
        } else {
            ""
        };
        text.push_str(&format!("{:width$}  {description}{default}\n", known.name));
    }
    text.push_str(
        "\nPrint one with `jtest scenarios NAME`; run one with `--scenario NAME`, or a file of \
         your own with `--scenario FILE.yaml`.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{list, one};
    use crate::scenario::BUILTINS;

    #[test]
    fn lists_all_and_prints_one() {
        let text = list();
        for known in BUILTINS {
            assert!(text.lines().any(|line| line.starts_with(known.name)));
            assert_eq!(one(known.name), Ok(known.yaml));
        }
        assert_eq!(text.matches("(default)").count(), 1);
    }

    #[test]
    fn a_misspelt_name_gets_the_right_one() {
        let told = one("partition").unwrap_err().to_string();
        assert!(told.ends_with("did you mean `partitions`?"), "{told}");
    }
}
