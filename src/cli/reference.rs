//! `jtest completions` and `jtest man`: what shells and `man` know of the command line, made from the same table
//! as `--help`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

use super::{Outcome, print};

/// What was typed after `jtest completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// What was typed after `jtest man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Where the pages are written; the directory is made
    directory: PathBuf,
}

impl CompletionsArgs {
    pub(super) fn run(self, command: Command) -> anyhow::Result<Outcome> {
        print(&completions(self.shell, command))?;
        Ok(Outcome::Done)
    }
}

fn completions(shell: Shell, mut command: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "jtest", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

impl ManArgs {
    pub(super) fn run(self, command: Command) -> anyhow::Result<Outcome> {
        std::fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(command, &self.directory))
            .with_context(|| format!("write man pages to {}", self.directory.display()))?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;

    /// Every verb there is, such as `fault partition`, below the command itself.
    fn verbs(command: &Command, at: &[&str]) -> Vec<String> {
        let subcommands = command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help");
        let each = subcommands.flat_map(|verb| {
            let path = [at, &[verb.get_name()]].concat();
            let mut all = verbs(verb, &path);
            all.push(path.join(" "));
            all
        });
        each.collect()
    }

    #[test]
    fn every_verb_has_its_man_page() {
        let directory = tempfile::tempdir().unwrap();
        let man = ManArgs {
            directory: directory.path().join("man"),
        };
        man.run(Arguments::command()).unwrap();
        let verbs = verbs(&Arguments::command(), &[]);
        assert!(
            verbs.iter().any(|verb| verb == "fault partition"),
            "{verbs:?}"
        );
        for verb in &verbs {
            let page = directory
                .path()
                .join("man")
                .join(format!("jtest-{}.1", verb.replace(' ', "-")));
            let text = std::fs::read_to_string(&page).expect(verb);
            assert!(
                text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
                "{verb}: {text}"
            );
        }
        let pages = std::fs::read_dir(directory.path().join("man"))
            .unwrap()
            .count();
        assert_eq!(pages, verbs.len() + 1);
    }

    #[test]
    fn bash_completes_every_verb() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("jtest.bash");
        std::fs::write(&script, completions(Shell::Bash, Arguments::command())).unwrap();
        for verb in verbs(&Arguments::command(), &[]) {
            let typed: Vec<_> = std::iter::once("jtest").chain(verb.split(' ')).collect();
            let words = typed.join(" ");
            let last = typed.len() - 1;
            let ask = format!(
                "source '{}'; COMP_WORDS=({words}); COMP_CWORD={last}; _jtest jtest '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                script.display(),
                typed[last],
                typed[last - 1]
            );
            let asked = process::Command::new("bash")
                .args(["--norc", "-c", &ask])
                .output()
                .unwrap();
            let answer = String::from_utf8(asked.stdout).unwrap();
            assert!(
                answer.lines().any(|word| word == typed[last]),
                "{verb}: {answer}"
            );
        }
    }

    #[test]
    fn other_shells_know_every_verb() {
        for shell in [Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = completions(shell, Arguments::command());
            for verb in verbs(&Arguments::command(), &[]) {
                let last = verb.rsplit(' ').next().unwrap();
                assert!(script.contains(last), "{shell}: {verb}");
            }
        }
    }
}
