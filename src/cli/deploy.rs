//! `jtest deploy` and `jtest teardown`: a cluster on the hosts, and bare hosts again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::input::UsageError;
use super::scenario::ScenarioArgs;
use super::target::{self, TargetArgs};
use super::{Outcome, print};
use crate::diagnostic::visible;
use crate::event::{Emit, Event};
use crate::fault::hold::Hold;
use crate::inventory::Inventory;
use crate::rabbitmq::Broker;
use crate::rabbitmq::deploy::{self, DeployError};
use crate::remote::Host;
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
            let mut outcome = Outcome::Done;
            let mut text = String::new();
            for (node, undone) in deploy::teardown(&members).await {
                let line = match undone {
                    Ok(undone) if undone.is_empty() => "nothing to undo".to_owned(),
                    Ok(undone) => format!("undone: {}", undone.join(", ")),
                    Err(error) => {
                        outcome = Outcome::NotInOrder;
                        error.to_string()
                    }
                };
                text.push_str(&format!("{node}: {}\n", visible(&line)));
            }
            hold.release().await;
            print(&text)?;
            Ok(outcome)
        })?
    }
}

/// A run on the same hosts must not lose its brokers under its feet.
async fn take_hold(inventory: &Inventory, hosts: &[Host]) -> anyhow::Result<Hold> {
    let holder = setup::holder(Timestamp::now());
    setup::take_hold(&inventory.nodes, hosts, holder, LEASE, Arc::new(Notes)).await
}
