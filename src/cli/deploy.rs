//! `jtest deploy` and `jtest teardown`: a cluster on the hosts, and bare hosts again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::Outcome;
use super::input::UsageError;
use super::output::OutputArgs;
use super::scenario::ScenarioArgs;
use super::target::{self, TargetArgs};
use crate::diagnostic::visible;
use crate::event::{Emit, Event};
use crate::fault::hold::Hold;
use crate::inventory::{Inventory, NodeName};
use crate::rabbitmq::Broker;
use crate::rabbitmq::deploy::{self, DeployError};
use crate::remote::{Host, RemoteError};
use crate::run::setup;

/// How long the hosts stay held when jtest is killed.
const LEASE: Duration = Duration::from_secs(60);

/// What was typed after `jtest deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    scenario: ScenarioArgs,
}

/// What was typed after `jtest teardown`.
#[derive(Debug, clap::Args)]
pub struct TeardownArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct TornDown {
    hosts: Vec<TornDownHost>,
}

#[derive(Serialize)]
struct TornDownHost {
    node: NodeName,
    undone: Vec<String>,
    error: Option<String>,
}

/// Notes go straight to the terminal: there is no run whose events they would be.
pub(super) struct Notes;

impl Emit for Notes {
    fn emit(&self, event: Event) {
        if let Event::Note { node, text } = event {
            let node = node.map(|node| format!("{node}: ")).unwrap_or_default();
            eprintln!("{}", visible(&format!("{node}{text}")));
        }
    }
}

impl DeployArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let scenario = self.scenario.read()?;
        let inventory = self.target.inventory()?;
        target::block_on(async {
            let hosts = setup::connect_all(&inventory.nodes, &self.target.options()).await?;
            let hold = take_hold(&inventory, &hosts).await?;
            let members = setup::members(&inventory.nodes, &hosts);
            let deadline = scenario.cluster.deploy_timeout;
            let deployed = Broker::deploy(members, &scenario, &Notes);
            let deployed = tokio::time::timeout(deadline, deployed).await;
            hold.release().await;
            match deployed {
                Ok(Ok(_)) => Ok(Outcome::Done),
                Ok(Err(DeployError::Refused(reason))) => Err(UsageError(reason).into()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(anyhow::anyhow!(
                    "not deployed after {} s; `--set cluster.deploy_timeout=20m` gives it longer",
                    deadline.as_secs()
                )),
            }
        })?
    }
}

impl TeardownArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        target::block_on(async {
            let hosts = setup::connect_all(&inventory.nodes, &self.target.options()).await?;
            let hold = take_hold(&inventory, &hosts).await?;
            let members = setup::members(&inventory.nodes, &hosts);
            let torn_down = torn_down(deploy::teardown(&members).await);
            hold.release().await;
            let is_done = torn_down.hosts.iter().all(|host| host.error.is_none());
            self.output.print(|| lines(&torn_down), || &torn_down)?;
            Ok(if is_done {
                Outcome::Done
            } else {
                Outcome::NotInOrder
            })
        })?
    }
}

fn torn_down(hosts: BTreeMap<NodeName, Result<Vec<String>, RemoteError>>) -> TornDown {
    let host = |(node, result): (NodeName, Result<_, RemoteError>)| TornDownHost {
        node,
        error: result.as_ref().err().map(ToString::to_string),
        undone: result.unwrap_or_default(),
    };
    TornDown {
        hosts: hosts.into_iter().map(host).collect(),
    }
}

fn lines(torn_down: &TornDown) -> String {
    let hosts = torn_down.hosts.iter().map(|host| {
        let line = match (&host.error, host.undone.is_empty()) {
            (Some(error), _) => error.clone(),
            (None, true) => "nothing to undo".to_owned(),
            (None, false) => format!("undone: {}", host.undone.join(", ")),
        };
        format!("{}: {}\n", host.node, visible(&line))
    });
    hosts.collect()
}

/// A run on the same hosts must not lose its brokers under its feet.
async fn take_hold(inventory: &Inventory, hosts: &[Host]) -> anyhow::Result<Hold> {
    let holder = setup::holder(Timestamp::now());
    setup::take_hold(&inventory.nodes, hosts, holder, LEASE, Arc::new(Notes)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shape::assert_documented;

    #[test]
    fn every_host_is_told() {
        let gone = RemoteError::Unreachable {
            node: NodeName("n3".into()),
            purpose: "connect".into(),
            reason: "no route".into(),
        };
        let told = torn_down(BTreeMap::from([
            (
                NodeName("n1".into()),
                Ok(vec!["broker".into(), "packages".into()]),
            ),
            (NodeName("n2".into()), Ok(Vec::new())),
            (NodeName("n3".into()), Err(gone)),
        ]));
        assert_documented("teardown", &told);
        assert_eq!(
            lines(&told),
            "n1: undone: broker, packages\nn2: nothing to undo\nn3: n3: cannot connect: no route\n"
        );
    }
}
