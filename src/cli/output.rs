//! `--output text|json`: what a verb found, for people or for machines.
//!
//! The shape of each verb's JSON is told in `docs/machine-output.md`, and each verb's test holds it against that page.

use serde::Serialize;

/// How it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For machines; docs/machine-output.md tells its shape
    Json,
}

/// How a verb tells what it found.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct OutputArgs {
    /// How to tell it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

impl OutputArgs {
    /// Prints it in one form or the other.
    pub fn print<T: Serialize>(
        self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> T,
    ) -> anyhow::Result<()> {
        let told = match self.output {
            Output::Text => text(),
            Output::Json => serde_json::to_string_pretty(&json())? + "\n",
        };
        Ok(super::print(&told)?)
    }
}
