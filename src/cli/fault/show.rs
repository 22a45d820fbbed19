//! What is in force, and what was done: as the hosts tell it.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::output::OutputArgs;
use crate::cli::target::{self, TargetArgs};
use crate::diagnostic::visible;
use crate::fault::status::{InForce, Status};
use crate::inventory::{Inventory, NodeName};
use crate::remote::{RemoteError, Script, connect_all};

type Told<T> = Vec<(NodeName, String, Result<T, RemoteError>)>;

#[derive(Serialize)]
struct InForceEverywhere<'s> {
    nodes: Vec<NodeStatus<'s>>,
}

#[derive(Serialize)]
struct NodeStatus<'s> {
    node: &'s str,
    address: &'s str,
    broker: Option<&'s str>,
    held_by: Option<String>,
    lease_left_s: Option<u64>,
    faults: Vec<FaultStatus<'s>>,
    drops: Vec<String>,
    error: Option<String>,
}

#[derive(Serialize)]
struct FaultStatus<'s> {
    key: &'s str,
    about: &'s str,
    since_s: i64,
}

#[derive(Serialize)]
struct DoneEverywhere {
    events: Vec<Done>,
    errors: Vec<NotTold>,
}

/// One thing that was done; the order is that of time.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Done {
    time: String,
    node: String,
    text: String,
}

#[derive(Serialize)]
struct NotTold {
    node: String,
    error: String,
}

pub(super) fn status(target: &TargetArgs, output: OutputArgs) -> anyhow::Result<Outcome> {
    let inventory = target.inventory()?;
    let all = target::block_on(async {
        let connected = connect_all(&inventory.nodes, &target.options()).await;
        let asked = connected.into_iter().map(|(node, host)| async move {
            let status = match host {
                Ok(host) => Status::of(&host).await,
                Err(error) => Err(error),
            };
            (node, status)
        });
        with_addresses(join_all(asked).await, &inventory)
    })?;
    output.print(|| in_table(&all, &inventory), || for_machines(&all))?;
    let answered = all.iter().all(|(_, _, status)| status.is_ok());
    Ok(if answered {
        Outcome::Done
    } else {
        Outcome::NotInOrder
    })
}

fn with_addresses<T>(
    answers: Vec<(NodeName, Result<T, RemoteError>)>,
    inventory: &Inventory,
) -> Told<T> {
    let answers = answers.into_iter().zip(&inventory.nodes);
    answers
        .map(|((name, answer), node)| (name, node.address.clone(), answer))
        .collect()
}

fn for_machines(all: &Told<Status>) -> InForceEverywhere<'_> {
    let nodes = all.iter().map(|(name, address, status)| {
        let known = status.as_ref().ok();
        let holder = known.and_then(|status| status.holder.as_ref());
        NodeStatus {
            node: &name.0,
            address,
            broker: known.map(|status| status.broker.as_str()),
            held_by: holder.map(ToString::to_string),
            lease_left_s: known
                .filter(|_| holder.is_some())
                .map(|status| status.lease_left.as_secs()),
            faults: known
                .map_or(&[][..], |status| &status.faults)
                .iter()
                .map(fault_status)
                .collect(),
            drops: known
                .iter()
                .flat_map(|status| &status.drops)
                .map(ToString::to_string)
                .collect(),
            error: status.as_ref().err().map(ToString::to_string),
        }
    });
    InForceEverywhere {
        nodes: nodes.collect(),
    }
}

fn fault_status(fault: &InForce) -> FaultStatus<'_> {
    FaultStatus {
        key: &fault.key,
        about: &fault.about,
        since_s: fault.since,
    }
}

fn in_table(all: &Told<Status>, inventory: &Inventory) -> String {
    let name = |address: &std::net::IpAddr| {
        let text = address.to_string();
        let node = inventory
            .nodes
            .iter()
            .find(|node| node.peer_address() == text || node.address == text);
        node.map(|node| node.name.0.clone())
    };
    let width = all
        .iter()
        .map(|(node, ..)| node.0.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for (node, address, status) in all {
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                text.push_str(&format!("{node:width$}  {}\n", visible(&error.to_string())));
                continue;
            }
        };
        text.push_str(&format!(
            "{node:width$}  {address}  broker {}",
            visible(&status.broker)
        ));
        let cut_from: Vec<_> = status.drops.iter().filter_map(name).collect();
        if !cut_from.is_empty() {
            text.push_str(&format!("  drops packets of {}", cut_from.join(" ")));
        }
        text.push('\n');
        for fault in &status.faults {
            text.push_str(&format!(
                "{:width$}  {}: {}\n",
                "",
                fault.key,
                visible(&fault.about)
            ));
        }
        if let Some(holder) = &status.holder {
            text.push_str(&format!(
                "{:width$}  lease ends in {} s; held by {}\n",
                "",
                status.lease_left.as_secs(),
                visible(&holder.to_string())
            ));
        }
    }
    text
}

pub(super) fn events(
    target: &TargetArgs,
    since: Duration,
    output: OutputArgs,
) -> anyhow::Result<Outcome> {
    let inventory = target.inventory()?;
    let all = target::block_on(async {
        let connected = connect_all(&inventory.nodes, &target.options()).await;
        let asked = connected.into_iter().map(|(node, host)| async move {
            let script = Script::new("read its log of what jtest did", include_str!("events.sh"))
                .arg(since.as_secs().to_string());
            let log = match host {
                Ok(host) => host.run(&script).await.map(|output| output.text()),
                Err(error) => Err(error),
            };
            (node, log)
        });
        join_all(asked).await
    })?;
    let told = done_everywhere(all);
    for NotTold { error, .. } in &told.errors {
        eprintln!("{}", visible(error));
    }
    output.print(|| lines(&told.events), || &told)?;
    Ok(if told.errors.is_empty() {
        Outcome::Done
    } else {
        Outcome::NotInOrder
    })
}

fn done_everywhere(logs: Vec<(NodeName, Result<String, RemoteError>)>) -> DoneEverywhere {
    let mut told = DoneEverywhere {
        events: Vec::new(),
        errors: Vec::new(),
    };
    for (NodeName(node), log) in logs {
        match log {
            Ok(log) => told.events.extend(log.lines().filter_map(|line| {
                let (time, text) = line.split_once(' ')?;
                Some(Done {
                    time: time.to_owned(),
                    node: node.clone(),
                    text: text.to_owned(),
                })
            })),
            Err(error) => told.errors.push(NotTold {
                node,
                error: error.to_string(),
            }),
        }
    }
    told.events.sort();
    told
}

fn lines(events: &[Done]) -> String {
    let line = |Done { time, node, text }: &Done| {
        format!("{}  {node}  {}\n", visible(time), visible(text))
    };
    events.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;
    use crate::fault::hold::Holder;

    fn gone(node: &str) -> RemoteError {
        RemoteError::Unreachable {
            node: NodeName(node.into()),
            purpose: "connect".into(),
            reason: "no route".into(),
        }
    }

    #[test]
    fn what_was_done_is_told_in_the_order_of_time() {
        let told = done_everywhere(vec![
            (
                NodeName("n1".into()),
                Ok("2026-11-23T09:00:02.000Z b\u{1b}[2J\n2026-11-23T09:00:00.000Z a\n".into()),
            ),
            (
                NodeName("n2".into()),
                Ok("2026-11-23T09:00:01.000Z c d\n\n".into()),
            ),
            (NodeName("n3".into()), Err(gone("n3"))),
        ]);
        assert_documented("fault events", &told);
        assert_eq!(
            lines(&told.events),
            "2026-11-23T09:00:00.000Z  n1  a\n2026-11-23T09:00:01.000Z  n2  c d\n2026-11-23T09:00:02.000Z  n1  b\\u{1b}[2J\n"
        );
    }

    #[test]
    fn every_node_tells_its_state() {
        let status = Status {
            broker: "active".into(),
            faults: vec![InForce {
                key: "h1".into(),
                since: 5,
                about: "pause n1".into(),
            }],
            holder: Some(Holder {
                run_id: "by-hand".into(),
                who: "kim@desk".into(),
                pid: 7,
                command: "jtest fault".into(),
                since: "2026-11-23T09:00:00Z".into(),
            }),
            lease_left: Duration::from_secs(30),
            drops: ["10.0.0.2".parse().unwrap()].into(),
        };
        let all = vec![
            (NodeName("n1".into()), "10.0.0.1".into(), Ok(status)),
            (NodeName("n2".into()), "10.0.0.2".into(), Err(gone("n2"))),
        ];
        assert_documented("fault status", &for_machines(&all));
        insta::assert_snapshot!(in_table(&all, &Inventory {
            file: "lab.yaml".into(),
            nodes: Vec::new(),
            control_netns: None,
        }), @r"
        n1  10.0.0.1  broker active
            h1: pause n1
            lease ends in 30 s; held by run by-hand of kim@desk (pid 7, `jtest fault`, since 2026-11-23T09:00:00Z)
        n2  n2: cannot connect: no route
        ");
    }
}
