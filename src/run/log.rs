//! `jtest.log`: what jtest and its libraries traced during the run.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// What is traced where `RUST_LOG` does not say.
const DEFAULT_FILTER: &str = "info,jtest=debug,lapin=off";

/// Begins the log of this process, which has one run.
pub fn begin(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("jtest.log");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("begin {}: {error}", path.display()))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "jtest begins");
    Ok(())
}
