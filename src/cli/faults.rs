//! `jtest faults`: the table of faults, for people and for the documentation.

use std::fmt::Write as _;

use serde::Serialize;

use super::output::OutputArgs;
use super::{Outcome, print};
use crate::catalog::{Aim, KINDS, Kind, Lasting, Need, Parameter};

/// What was typed after `jtest faults`.
#[derive(Debug, clap::Args)]
pub struct FaultsArgs {
    /// As the page `docs/faults.md`
    #[arg(long, conflicts_with = "output")]
    markdown: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Listed {
    faults: Vec<Described>,
}

#[derive(Serialize)]
struct Described {
    name: &'static str,
    group: String,
    about: &'static str,
    aim: &'static str,
    lasts: &'static str,
    settings: Vec<DescribedSetting>,
    needs: Vec<Vec<&'static str>>,
    proof: &'static str,
    undo: &'static str,
}

#[derive(Serialize)]
struct DescribedSetting {
    name: &'static str,
    about: &'static str,
    takes: String,
    default: Option<&'static str>,
    is_required: bool,
}

impl FaultsArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        if self.markdown {
            print(&markdown())?;
        } else {
            self.output.print(list, listed)?;
        }
        Ok(Outcome::Done)
    }
}

fn listed() -> Listed {
    let described = |kind: &Kind| Described {
        name: kind.name,
        group: kind.group.to_string(),
        about: kind.about,
        aim: match kind.aim {
            Aim::Groups => "groups",
            Aim::Nodes => "on",
        },
        lasts: match kind.lasting {
            Lasting::Lasting => "until-undone",
            Lasting::Moment => "moment",
        },
        settings: kind.parameters.iter().map(described_setting).collect(),
        needs: needs(kind),
        proof: kind.proof,
        undo: kind.undo,
    };
    Listed {
        faults: KINDS.iter().map(described).collect(),
    }
}

fn described_setting(parameter: &Parameter) -> DescribedSetting {
    DescribedSetting {
        name: parameter.name,
        about: parameter.about,
        takes: parameter.takes.to_string(),
        default: parameter.default,
        is_required: parameter.is_required,
    }
}

/// Of each inner list a host must have at least one.
fn needs(kind: &Kind) -> Vec<Vec<&'static str>> {
    let names = |any: &&[Need]| any.iter().map(|need| need.name()).collect();
    kind.needs.iter().map(names).collect()
}

fn list() -> String {
    let width = KINDS.iter().map(|kind| kind.name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    let mut group = None;
    for kind in KINDS {
        if group != Some(kind.group) {
            group = Some(kind.group);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", kind.group);
        }
        let _ = writeln!(text, "  {:width$}  {}", kind.name, kind.about);
        for parameter in kind.parameters {
            let _ = writeln!(
                text,
                "  {:width$}    {}: {}",
                "",
                parameter.name,
                told(parameter)
            );
        }
    }
    text
}

fn told(parameter: &Parameter) -> String {
    let presence = match (parameter.is_required, parameter.default) {
        (true, _) => " (required)".to_owned(),
        (false, Some(default)) => format!(" (default {default})"),
        (false, None) => String::new(),
    };
    format!("{}; {}{presence}", parameter.about, parameter.takes)
}

fn markdown() -> String {
    let mut text = "# Faults\n\n\
        What jtest can do to hosts: in a scenario (`fault: NAME`, see [scenarios.md](scenarios.md)) and by\n\
        hand (`jtest fault inject NAME NODES`). This page is made by `jtest faults --markdown`.\n\n\
        Every fault is undone by the host itself when jtest is not heard of for the length of its lease. Which\n\
        hosts can have which is told by `jtest doctor`; a scenario that needs what a host has not is refused before\n\
        anything is touched.\n"
        .to_owned();
    text.push_str(TOGETHER);
    let mut group = None;
    for kind in KINDS {
        if group != Some(kind.group) {
            group = Some(kind.group);
            let _ = write!(text, "\n## {}\n", kind.group);
        }
        text.push_str(&section(kind));
    }
    text.push_str(UNSYNCED);
    text
}

/// How what was not synced is lost, and where it cannot be.
const UNSYNCED: &str = "
## Unsynced writes

A process that is killed loses nothing of what it has written: the kernel has it, synced or not, and writes it out.
What was written and not synced is lost with the kernel (`power-cycle`), or with the file system: `lose-unsynced`
tells ext4 to shut down at once and throw away what it has not written, and mounts it anew, which replays the journal
as after a loss of power. What the kernel wrote out by itself before, some seconds after it was written at the latest
for a file's name and half a minute for its contents, stays. Nothing has to be mounted under the broker beforehand, as
LazyFS or a target of the device mapper would have to be. Refused are a container, for what it mounts is in most cases
mounted outside of it, too, and would stay shut down there; a file system that holds more than the broker's data, or
another than ext4; one that is mounted twice; and one where another process has a file open.
";

/// How faults add up.
const TOGETHER: &str = "
Faults add up, on a host and of one kind. What several of them hold (a broker that is down or frozen, an alarm, a full
disk) stays so until the last of them is undone, and is then as it was before the first; of the faults of a clock
the newest is in force. A fault that needs what another one has taken away, such as an alarm of a broker that is
down, has nothing to do: that is told and recorded, and neither a failure nor a proof. Of the queueing disciplines
only one of a kind can be in force towards the same nodes: a second is refused.
";

fn section(kind: &Kind) -> String {
    let aim = match kind.aim {
        Aim::Groups => "`groups`: how the nodes are divided",
        Aim::Nodes => "`on`: which nodes",
    };
    let lasting = match kind.lasting {
        Lasting::Lasting => "until it is undone",
        Lasting::Moment => "it is over when it is done",
    };
    let needs = needs(kind).into_iter().map(|any| any.join(" or "));
    let mut text = format!(
        "\n### `{}`\n\n{}\n\n| | |\n| --- | --- |\n",
        kind.name, kind.about
    );
    let _ = writeln!(text, "| aimed at | {aim} |");
    let _ = writeln!(text, "| lasts | {lasting} |");
    for parameter in kind.parameters {
        let _ = writeln!(text, "| `{}` | {} |", parameter.name, told(parameter));
    }
    let _ = writeln!(text, "| needs | {} |", needs.collect::<Vec<_>>().join(", "));
    let _ = writeln!(text, "| proof | {} |", kind.proof);
    let _ = writeln!(text, "| undo | {} |", kind.undo);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;

    #[test]
    fn machines_get_the_table() {
        let listed = listed();
        assert_eq!(listed.faults.len(), KINDS.len());
        assert_documented("faults", &listed);
    }

    #[test]
    fn the_page_is_the_table() {
        assert!(
            include_str!("../../docs/faults.md") == markdown(),
            "docs/faults.md is not what the table says; make it again: jtest faults --markdown >docs/faults.md"
        );
    }

    #[test]
    fn the_list_names_every_fault() {
        let list = list();
        assert!(
            KINDS
                .iter()
                .all(|kind| list.contains(&format!("  {} ", kind.name)))
        );
    }
}
