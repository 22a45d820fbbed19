//! `jtest synth`: a run directory that no cluster made.

use std::io;
use std::path::PathBuf;

use anyhow::Context;

use super::input::UsageError;
use super::{Outcome, print};
use crate::synth::{Defect, Shape, Synth};

/// What was typed after `jtest synth`.
#[derive(Debug, clap::Args)]
pub struct SynthArgs {
    /// Where to: a directory that is not there yet
    dir: PathBuf,
    /// Operations of clients
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=2_000_000_000))]
    ops: u64,
    /// What is wrong with it
    #[arg(long, value_enum, value_name = "KIND")]
    defect: Option<Defect>,
    /// How often it is wrong
    #[arg(long, value_name = "N", default_value_t = 1, requires = "defect", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    times: u64,
    /// Of which workload; without it, of the defect's
    #[arg(long, value_enum, value_name = "KIND")]
    workload: Option<Shape>,
    /// Everything random comes from it
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

impl SynthArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let of_defect = self.defect.map(Defect::shape);
        if let Some((wanted, possible)) = self.workload.zip(of_defect)
            && wanted != possible
        {
            let text = format!(
                "only a history of `{}` can have that defect; leave --workload out",
                possible.word()
            );
            return Err(UsageError(text).into());
        }
        let shape = self.workload.or(of_defect).unwrap_or(Shape::Queue);
        if let Err(error) = std::fs::create_dir(&self.dir) {
            let remedy = match error.kind() {
                io::ErrorKind::AlreadyExists => "; name one that is not there yet",
                _ => "",
            };
            let text = format!("cannot make {}: {error}{remedy}", self.dir.display());
            return Err(UsageError(text).into());
        }
        let synth = Synth {
            shape,
            operations: self.ops,
            defect: self.defect.map(|defect| (defect, self.times)),
            seed: self.seed,
        };
        let planted = synth.write(&self.dir);
        let planted = planted.with_context(|| format!("write in {}", self.dir.display()))?;
        if self.defect.is_some() && (planted.len() as u64) < self.times {
            let text = format!(
                "only {} of {} could be planted in so few operations; ask for more with --ops",
                planted.len(),
                self.times
            );
            return Err(UsageError(text).into());
        }
        let mut text = String::new();
        for planted in planted {
            text.push_str(&format!("{planted}\n"));
        }
        print(&text)?;
        Ok(Outcome::Done)
    }
}
