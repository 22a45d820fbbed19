//! `jtest export`: the history of a run in a format that other tools read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Outcome;
use super::input::UsageError;
use crate::check::judge::HISTORY_FILE;
use crate::history::export::{ExportError, Format, write};
use crate::history::reader::Reader;

/// What was typed after `jtest export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// What a run left: `runs/latest`, or `runs/SCENARIO/TIME`
    run_dir: PathBuf,
    /// How to write it
    #[arg(long, value_enum)]
    format: Format,
    /// Where to; standard output without it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl ExportArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        self.refuse_to_overwrite()?;
        let path = self.run_dir.join(HISTORY_FILE);
        let mut reader = Reader::open(&path).map_err(|error| UsageError(error.to_string()))?;
        let written = match &self.output {
            Some(path) => {
                let file =
                    File::create(path).with_context(|| format!("write {}", path.display()))?;
                written(&mut reader, self.format, file)
            }
            None => written(&mut reader, self.format, io::stdout()),
        };
        match written {
            // Whoever reads it has seen enough.
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(Outcome::Done);
            }
            Err(ExportError::Write(error)) => {
                let to = self.output.unwrap_or_else(|| "standard output".into());
                bail!("write {}: {error}", to.display());
            }
            Err(ExportError::History(error)) => return Err(UsageError(error.to_string()).into()),
            Ok(()) => {}
        }
        if !reader.is_complete() {
            eprintln!(
                "{}: it has no end, as of a run that was killed; everything up to there is written",
                path.display()
            );
            return Ok(Outcome::NotInOrder);
        }
        Ok(Outcome::Done)
    }
}

impl ExportArgs {
    /// What a run left is evidence, and is not written over.
    fn refuse_to_overwrite(&self) -> anyhow::Result<()> {
        let Some(output) = &self.output else {
            return Ok(());
        };
        let beside = output
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = beside.unwrap_or(Path::new(".")).canonicalize().ok();
        let run = self.run_dir.canonicalize().ok();
        let target = output.canonicalize().ok();
        let is_inside = |path: Option<PathBuf>| {
            path.zip(run.as_ref())
                .is_some_and(|(path, run)| path.starts_with(run))
        };
        if is_inside(directory) || is_inside(target) {
            let text = format!(
                "{} lies in the run directory, where nothing is to be written over; name another place",
                output.display()
            );
            return Err(UsageError(text).into());
        }
        Ok(())
    }
}

fn written(reader: &mut Reader, format: Format, to: impl Write + Send) -> Result<(), ExportError> {
    let mut to = BufWriter::new(to);
    write(reader, format, &mut to)?;
    Ok(to.flush()?)
}
