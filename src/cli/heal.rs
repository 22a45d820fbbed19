//! `jtest heal`: undoes everything jtest ever did to the hosts' network, from any state.
//!
//! It needs nothing of the run that did it, and breaks that run's hold.

use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::output::OutputArgs;
use crate::cli::target::{self, TargetArgs};
use crate::fault::hold::{HealReport, heal_all};
use crate::inventory::{Inventory, NodeName};
use crate::remote::{ConnectOptions, RemoteError, connect_all};
use crate::run::setup::who;

/// What was typed after `jtest heal`.
#[derive(Debug, clap::Args)]
pub struct HealArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Told<'h> {
    hosts: Vec<ToldHost<'h>>,
}

#[derive(Serialize)]
struct ToldHost<'h> {
    node: &'h str,
    is_healed: bool,
    undone: &'h [String],
    resisting: &'h [String],
    held_by: Option<String>,
    firewall_as_before: Option<bool>,
    firewall_differences: &'h [String],
    error: Option<String>,
}

/// How it went, host by host.
type Healed = Vec<(NodeName, Result<HealReport, RemoteError>)>;

impl HealArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        let options = self.target.options();
        let healed = target::block_on(heal(&inventory, &options))?;
        self.output.print(|| render(&healed), || told(&healed))?;
        if healed.iter().all(|(_, result)| result.is_ok()) {
            Ok(Outcome::Done)
        } else {
            Ok(Outcome::NotInOrder)
        }
    }
}

/// A host that is out of reach does not keep the others from being healed.
async fn heal(inventory: &Inventory, options: &ConnectOptions) -> Healed {
    let mut hosts = Vec::new();
    let mut healed = Healed::new();
    for (node, connected) in connect_all(&inventory.nodes, options).await {
        match connected {
            Ok(host) => hosts.push(host),
            Err(error) => healed.push((node, Err(error))),
        }
    }
    healed.extend(heal_all(&hosts, &who()).await);
    let order = |node: &NodeName| inventory.nodes.iter().position(|other| other.name == *node);
    healed.sort_by_key(|(node, _)| order(node));
    healed
}

fn told(healed: &Healed) -> Told<'_> {
    let hosts = healed.iter().map(|(node, result)| {
        let report = result.as_ref().ok();
        ToldHost {
            node: &node.0,
            is_healed: report.is_some(),
            undone: report.map_or(&[], |report| &report.found),
            resisting: report.map_or(&[], |report| &report.resisting),
            held_by: report.and_then(|report| Some(report.holder.as_ref()?.to_string())),
            firewall_as_before: report.and_then(|report| report.firewall_as_before),
            firewall_differences: report.map_or(&[], |report| &report.firewall_differences),
            error: result.as_ref().err().map(ToString::to_string),
        }
    });
    Told {
        hosts: hosts.collect(),
    }
}

fn render(healed: &Healed) -> String {
    let width = healed.iter().map(|(node, _)| node.0.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (node, result) in healed {
        let words = match result {
            Ok(report) => describe(report),
            Err(error) => format!("not healed: {error}"),
        };
        text.push_str(&format!("{node:width$}  {words}\n"));
    }
    let clean = healed.iter().filter(|(_, result)| result.is_ok()).count();
    text.push_str(&format!("{clean} of {} hosts are healed\n", healed.len()));
    let errors = healed
        .iter()
        .filter_map(|(_, result)| result.as_ref().err());
    let (undo, access): (Vec<_>, Vec<_>) =
        errors.partition(|error| matches!(error, RemoteError::Failed { .. }));
    if !undo.is_empty() {
        text.push_str("what could not be undone stays armed: mend what it says, then heal again\n");
    }
    if !access.is_empty() {
        text.push_str("a host that was held heals by itself when its lease runs out\n");
    }
    text
}

fn describe(report: &HealReport) -> String {
    let mut words = match report.found.as_slice() {
        [] => "nothing to undo".to_owned(),
        found => format!("undone: {}", found.join(", ")),
    };
    if !report.resisting.is_empty() {
        words.push_str(&format!("; resisting: {}", report.resisting.join(", ")));
    }
    if let Some(holder) = &report.holder {
        words.push_str(&format!("; held by {holder}"));
    }
    if report.firewall_as_before == Some(false) {
        words.push_str("; others changed its firewall meanwhile:");
        for line in &report.firewall_differences {
            words.push_str(&format!("\n      {line}"));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;
    use crate::fault::hold::Holder;

    #[test]
    fn every_host_gets_its_line() {
        let undone = HealReport {
            holder: Some(Holder {
                run_id: "r1".into(),
                who: "kim@desk".into(),
                pid: 7,
                command: "jtest run".into(),
                since: "2026-11-23T09:00:00Z".into(),
            }),
            found: vec!["chains in iptables with 8 rules".into(), "lease".into()],
            firewall_as_before: Some(false),
            firewall_differences: vec!["> -A INPUT -j X".into()],
            not_ours: false,
            rebooted_under: Vec::new(),
            resisting: vec!["chains in ip6tables".into()],
            waiting: Vec::new(),
        };
        let gone = RemoteError::Unreachable {
            node: NodeName("n10".into()),
            purpose: "connect".into(),
            reason: "no route".into(),
        };
        let resisting = RemoteError::Failed {
            node: NodeName("n3".into()),
            purpose: "heal it".into(),
            status: 1,
            stderr: "no such file".into(),
        };
        let healed = vec![
            (NodeName("n1".into()), Ok(undone)),
            (NodeName("n2".into()), Ok(HealReport::default())),
            (NodeName("n3".into()), Err(resisting)),
            (NodeName("n10".into()), Err(gone)),
        ];
        assert_documented("heal", &told(&healed));
        insta::assert_snapshot!(render(&healed), @r"
        n1   undone: chains in iptables with 8 rules, lease; resisting: chains in ip6tables; held by run r1 of kim@desk (pid 7, `jtest run`, since 2026-11-23T09:00:00Z); others changed its firewall meanwhile:
              > -A INPUT -j X
        n2   nothing to undo
        n3   not healed: n3: cannot heal it: exit status 1; it said: no such file
        n10  not healed: n10: cannot connect: no route
        2 of 4 hosts are healed
        what could not be undone stays armed: mend what it says, then heal again
        a host that was held heals by itself when its lease runs out
        ");
    }
}
