//! The hosts that a verb works on, as options: which they are and how to reach them.

use std::future::Future;
use std::path::PathBuf;

use anyhow::Context;

use super::{host_keys_parser, input, netns};
use crate::inventory::{HostKeyPolicy, Inventory};
use crate::remote::ConnectOptions;

/// Which hosts.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// The hosts, in Ansible's YAML form
    #[arg(long, short, value_name = "FILE")]
    inventory: PathBuf,
    /// Which host keys are accepted, whatever the inventory and ssh_config say
    #[arg(long, value_name = "POLICY", value_parser = host_keys_parser())]
    host_keys: Option<HostKeyPolicy>,
}

impl TargetArgs {
    /// The inventory, its warnings told; inside its control namespace from here on.
    pub fn inventory(&self) -> anyhow::Result<Inventory> {
        let (inventory, warnings) = input::read_inventory(&self.inventory)?;
        if let Some(namespace) = &inventory.control_netns {
            netns::enter(namespace)?;
        }
        if !warnings.is_empty() {
            eprintln!("{warnings}\n");
        }
        Ok(inventory)
    }

    /// How to connect.
    pub fn options(&self) -> ConnectOptions {
        ConnectOptions {
            host_keys: self.host_keys,
            ..ConnectOptions::default()
        }
    }
}

/// Runs a verb's work.
pub fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("start the async runtime")?;
    Ok(runtime.block_on(work))
}
