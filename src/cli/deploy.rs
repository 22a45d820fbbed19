//! `jtest deploy` and `jtest teardown`: a cluster on the hosts, and bare hosts again.

use std::sync::Arc;

use super::input::UsageError;
use super::scenario::ScenarioArgs;
use super::target::{self, TargetArgs};
use super::{Outcome, print};
use crate::diagnostic::visible;
use crate::event::{Emit, Event};
use crate::rabbitmq::Broker;
use crate::rabbitmq::deploy::{self, DeployError};
use crate::run::setup;

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
struct Notes;

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
            let members = setup::members(&inventory.nodes, &hosts);
            let emit: Arc<dyn Emit> = Arc::new(Notes);
            let deadline = scenario.cluster.deploy_timeout;
            let deployed = Broker::deploy(members, &scenario, emit.as_ref());
            match tokio::time::timeout(deadline, deployed).await {
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
            print(&text)?;
            Ok(outcome)
        })?
    }
}
