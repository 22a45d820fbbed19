//! `jtest doctor`: has every host what jtest needs?
//!
//! Hosts are columns and checks are lines, so that what differs between hosts stands out;
//! what falls short follows below, with its remedy, once for all hosts that share it.

use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::output::OutputArgs;
use crate::cli::target::{self, TargetArgs};
use crate::diagnostic::visible;
use crate::fault::hold::heal_unheld;
use crate::inventory::Inventory;
use crate::node::doctor::{Cell, Checkup, Severity, Shortfall, check_names, examine_all};
use crate::remote::{ConnectOptions, connect_all};
use crate::run::setup::who;

/// Fits the terminals that are around.
const WIDTH: usize = 80;
/// With five hosts beside each other.
const CELL_WIDTH_MAX: usize = 12;

/// What was typed after `jtest doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// First undo what runs that are gone have left in force; hosts that somebody holds are left alone
    #[arg(long)]
    heal: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Examined<'c> {
    hosts: Vec<ExaminedHost<'c>>,
}

#[derive(Serialize)]
struct ExaminedHost<'c> {
    node: &'c str,
    is_ready: bool,
    checks: Vec<Checked<'c>>,
    shortfalls: Vec<Told<'c>>,
}

#[derive(Serialize)]
struct Checked<'c> {
    check: &'static str,
    found: &'c str,
    severity: Option<&'static str>,
}

#[derive(Serialize)]
struct Told<'c> {
    severity: &'static str,
    what: &'c str,
    remedy: &'c str,
}

impl DoctorArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        let options = self.target.options();
        let (healed, checkups) = target::block_on(async {
            let healed = if self.heal {
                heal(&inventory, &options).await
            } else {
                String::new()
            };
            (healed, examine_all(&inventory.nodes, &options).await)
        })?;
        eprint!("{healed}");
        self.output
            .print(|| render(&checkups), || examined(&checkups))?;
        if checkups.iter().all(Checkup::is_in_order) {
            Ok(Outcome::Done)
        } else {
            Ok(Outcome::NotInOrder)
        }
    }
}

/// Undoes what is left, and tells it, host by host. Hosts that cannot be reached are the checkup's matter.
async fn heal(inventory: &Inventory, options: &ConnectOptions) -> String {
    let connected = connect_all(&inventory.nodes, options).await;
    let hosts: Vec<_> = connected
        .into_iter()
        .filter_map(|(_, host)| host.ok())
        .collect();
    let healed = heal_unheld(&hosts, &who()).await;
    let mut text = String::new();
    for (node, result) in healed {
        let words = match result {
            Ok(report) if report.not_ours => "left alone: somebody holds it".to_owned(),
            Ok(report) if report.found.is_empty() => continue,
            Ok(report) => format!("undone: {}", report.found.join(", ")),
            Err(error) => format!("not healed: {error}"),
        };
        text.push_str(&format!("{node}: {}\n", visible(&words)));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn examined(checkups: &[Checkup]) -> Examined<'_> {
    Examined {
        hosts: checkups.iter().map(examined_host).collect(),
    }
}

fn examined_host(checkup: &Checkup) -> ExaminedHost<'_> {
    let checks = check_names().zip(&checkup.cells);
    ExaminedHost {
        node: &checkup.node.0,
        is_ready: checkup.is_in_order(),
        checks: checks.map(|(check, cell)| checked(check, cell)).collect(),
        shortfalls: checkup.shortfalls.iter().map(told).collect(),
    }
}

fn checked<'c>(check: &'static str, cell: &'c Cell) -> Checked<'c> {
    Checked {
        check,
        found: &cell.text,
        severity: cell.mark.map(severity),
    }
}

fn told(shortfall: &Shortfall) -> Told<'_> {
    Told {
        severity: severity(shortfall.severity),
        what: &shortfall.what,
        remedy: &shortfall.remedy,
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Needed => "needed",
        Severity::Limits => "limits",
    }
}

fn render(checkups: &[Checkup]) -> String {
    let mut text = String::new();
    let label = check_names().map(str::len).max().unwrap_or(0);
    let columns: Vec<Vec<String>> = checkups.iter().map(column).collect();
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut width = label;
        let fitting = rest
            .iter()
            .take_while(|column| {
                width += 2 + column_width(column);
                width <= WIDTH
            })
            .count();
        let (block, later) = rest.split_at(fitting.max(1));
        push_block(&mut text, label, block);
        text.push('\n');
        rest = later;
    }
    push_shortfalls(&mut text, checkups);
    let ready = checkups.iter().filter(|checkup| checkup.is_in_order());
    text.push_str(&format!(
        "{} of {} hosts are ready\n",
        ready.count(),
        checkups.len()
    ));
    text
}

/// A host's name and cells, as they are shown.
fn column(checkup: &Checkup) -> Vec<String> {
    let name = shortened(&checkup.node.0, CELL_WIDTH_MAX);
    let cells = checkup.cells.iter().map(|Cell { text, mark }| match mark {
        None => shortened(text, CELL_WIDTH_MAX),
        Some(severity) => {
            let text = shortened(text, CELL_WIDTH_MAX - 1);
            format!("{text}{}", sign(*severity))
        }
    });
    std::iter::once(name).chain(cells).collect()
}

fn column_width(column: &[String]) -> usize {
    column
        .iter()
        .map(|cell| cell.chars().count())
        .max()
        .unwrap_or(0)
}

fn sign(severity: Severity) -> char {
    match severity {
        Severity::Needed => '!',
        Severity::Limits => '*',
    }
}

fn push_block(text: &mut String, label: usize, block: &[Vec<String>]) {
    let widths: Vec<usize> = block.iter().map(|column| column_width(column)).collect();
    for (line, name) in std::iter::once("").chain(check_names()).enumerate() {
        let mut shown = format!("{name:label$}");
        for (column, width) in block.iter().zip(&widths) {
            let cell = column.get(line).map_or("", String::as_str);
            shown.push_str(&format!("  {cell:width$}"));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
}

fn push_shortfalls(text: &mut String, checkups: &[Checkup]) {
    let mut shared: Vec<(&Shortfall, Vec<&str>)> = Vec::new();
    for checkup in checkups {
        for shortfall in &checkup.shortfalls {
            match shared.iter_mut().find(|(known, _)| *known == shortfall) {
                Some((_, nodes)) => nodes.push(&checkup.node.0),
                None => shared.push((shortfall, vec![&checkup.node.0])),
            }
        }
    }
    for (severity, title) in [
        (Severity::Needed, "! has to be mended"),
        (Severity::Limits, "* worth knowing"),
    ] {
        let mut of_severity = shared
            .iter()
            .filter(|(shortfall, _)| shortfall.severity == severity)
            .peekable();
        if of_severity.peek().is_none() {
            continue;
        }
        text.push_str(&format!("{title}\n"));
        for (shortfall, nodes) in of_severity {
            let what = format!("{}: {}", nodes.join(" "), shortfall.what);
            push_wrapped(text, &what, "  ", "    ");
            push_wrapped(text, &shortfall.remedy, "    -> ", "       ");
        }
        text.push('\n');
    }
}

/// Adds words in lines of at most [`WIDTH`] characters; a longer word has a line of its own.
fn push_wrapped(text: &mut String, words: &str, first: &str, others: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = others.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(&line);
    text.push('\n');
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;
    use crate::inventory::NodeName;

    fn checkup(name: &str, system: &str, shortfalls: Vec<Shortfall>) -> Checkup {
        let cells = check_names().map(|check| match check {
            "system" => Cell {
                text: system.to_owned(),
                mark: shortfalls.first().map(|shortfall| shortfall.severity),
            },
            _ => Cell {
                text: "yes".to_owned(),
                mark: None,
            },
        });
        Checkup {
            node: NodeName(name.to_owned()),
            cells: cells.collect(),
            shortfalls,
        }
    }

    fn shortfall(severity: Severity) -> Shortfall {
        Shortfall {
            severity,
            what: "its system is one that nobody has ever seen, which takes a long sentence to say"
                .to_owned(),
            remedy:
                "take another host, and should there be none, then think about it again, slowly"
                    .to_owned(),
        }
    }

    #[test]
    fn hosts_stand_beside_each_other_and_share_their_shortfalls() {
        let checkups = [
            checkup("n1", "debian 12", vec![]),
            checkup("n2", "plan 9", vec![shortfall(Severity::Needed)]),
            checkup("n3", "plan 9", vec![shortfall(Severity::Needed)]),
            checkup(
                "rabbit-five.example.org",
                "a system with a name",
                vec![shortfall(Severity::Limits)],
            ),
        ];
        assert_documented("doctor", &examined(&checkups));
        insta::assert_snapshot!(render(&checkups), @r"
                   n1         n2       n3       rabbit-five…
        reachable  yes        yes      yes      yes
        login      yes        yes      yes      yes
        sudo       yes        yes      yes      yes
        system     debian 12  plan 9!  plan 9!  a system w…*
        kernel     yes        yes      yes      yes
        systemd    yes        yes      yes      yes
        iptables   yes        yes      yes      yes
        ip6tables  yes        yes      yes      yes
        ipset      yes        yes      yes      yes
        tc         yes        yes      yes      yes
        netem      yes        yes      yes      yes
        perl       yes        yes      yes      yes
        faults     yes        yes      yes      yes
        disk free  yes        yes      yes      yes
        memory     yes        yes      yes      yes
        clock      yes        yes      yes      yes
        peers      yes        yes      yes      yes
        firewall   yes        yes      yes      yes
        rabbitmq   yes        yes      yes      yes
        broker     yes        yes      yes      yes
        leftover   yes        yes      yes      yes

        ! has to be mended
          n2 n3: its system is one that nobody has ever seen, which takes a long
            sentence to say
            -> take another host, and should there be none, then think about it again,
               slowly

        * worth knowing
          rabbit-five.example.org: its system is one that nobody has ever seen, which
            takes a long sentence to say
            -> take another host, and should there be none, then think about it again,
               slowly

        2 of 4 hosts are ready
        ");
    }

    #[test]
    fn nine_hosts_fit_the_terminal() {
        let long = "xxxxxxxxxxxxxxxxxxxx";
        let checkups: Vec<Checkup> = (1..=9)
            .map(|n| {
                checkup(
                    &format!("{long}{n}"),
                    long,
                    vec![shortfall(Severity::Limits)],
                )
            })
            .collect();
        let text = render(&checkups[..5]);
        assert_eq!(text.matches("\nreachable").count(), 1, "{text}");
        let text = render(&checkups);
        assert_eq!(text.matches("\nreachable").count(), 2, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }
}
