//! What is in force, and what was done: as the hosts tell it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::cli::target::{self, TargetArgs};
use crate::cli::{Outcome, print};
use crate::diagnostic::visible;
use crate::fault::status::Status;
use crate::inventory::{Inventory, NodeName};
use crate::remote::{RemoteError, Script, connect_all};

type Told<T> = Vec<(NodeName, String, Result<T, RemoteError>)>;

pub(super) fn status(target: &TargetArgs, as_json: bool) -> anyhow::Result<Outcome> {
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
    print(&if as_json {
        in_json(&all)?
    } else {
        in_table(&all, &inventory)
    })?;
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

fn in_json(all: &Told<Status>) -> serde_json::Result<String> {
    let node = |(name, address, status): &(NodeName, String, Result<Status, RemoteError>)| {
        let status = match status {
            Err(error) => {
                return json!({"node": name.0, "address": address, "error": error.to_string()});
            }
            Ok(status) => status,
        };
        let faults = status
            .faults
            .iter()
            .map(|fault| json!({"key": fault.key, "about": fault.about, "since_s": fault.since}));
        json!({
            "node": name.0,
            "address": address,
            "broker": status.broker,
            "held_by": status.holder.as_ref().map(ToString::to_string),
            "lease_left_s": status.holder.as_ref().map(|_| status.lease_left.as_secs()),
            "faults": faults.collect::<Vec<_>>(),
            "drops": status.drops.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let nodes: Vec<_> = all.iter().map(node).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&nodes)?))
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

pub(super) fn events(target: &TargetArgs, since: Duration) -> anyhow::Result<Outcome> {
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
    let mut lines = Vec::new();
    let mut outcome = Outcome::Done;
    for (node, log) in &all {
        match log {
            Ok(log) => lines.extend(log.lines().filter_map(|line| {
                let (time, text) = line.split_once(' ')?;
                Some((
                    time.to_owned(),
                    format!("{time}  {node}  {}\n", visible(text)),
                ))
            })),
            Err(error) => {
                eprintln!("{}", visible(&error.to_string()));
                outcome = Outcome::NotInOrder;
            }
        }
    }
    lines.sort();
    print(&lines.into_iter().map(|(_, line)| line).collect::<String>())?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::status::InForce;

    #[test]
    fn every_node_tells_its_state() {
        let status = Status {
            broker: "active".into(),
            faults: vec![InForce {
                key: "h1".into(),
                since: 5,
                about: "pause n1".into(),
            }],
            ..Status::default()
        };
        let gone = RemoteError::Unreachable {
            node: NodeName("n2".into()),
            purpose: "connect".into(),
            reason: "no route".into(),
        };
        let all = vec![
            (NodeName("n1".into()), "10.0.0.1".into(), Ok(status)),
            (NodeName("n2".into()), "10.0.0.2".into(), Err(gone)),
        ];
        let json: serde_json::Value = serde_json::from_str(&in_json(&all).unwrap()).unwrap();
        assert_eq!(json[0]["faults"][0]["about"], "pause n1");
        assert_eq!(json[0]["held_by"], serde_json::Value::Null);
        assert!(json[1]["error"].as_str().unwrap().contains("no route"));
        insta::assert_snapshot!(in_table(&all, &Inventory {
            file: "lab.yaml".into(),
            nodes: Vec::new(),
            control_netns: None,
        }), @r"
        n1  10.0.0.1  broker active
            h1: pause n1
        n2  n2: cannot connect: no route
        ");
    }
}
