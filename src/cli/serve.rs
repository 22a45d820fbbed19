//! `jtest serve`: the runs in a browser.

use anyhow::Context;

use super::runs::RunsDirArgs;
use super::{Outcome, print, target};
use crate::serve::{Limits, listen, serve};

/// What was typed after `jtest serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    directory: RunsDirArgs,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8484)]
    port: u16,
}

impl ServeArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let runs = self.directory.open()?;
        target::block_on(async {
            let listener = listen(self.port).await.with_context(|| {
                format!(
                    "listen on 127.0.0.1:{}; --port 0 takes a free port",
                    self.port
                )
            })?;
            let address = listener.local_addr().context("tell the port")?;
            print(&format!(
                "http://{address}/ shows the runs; Ctrl-C ends it\n"
            ))?;
            serve(listener, runs, Limits::default(), tokio::signal::ctrl_c()).await;
            Ok(Outcome::Done)
        })?
    }
}
