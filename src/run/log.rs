//! What jtest and its libraries trace: in a run to `jtest.log`, beside it to a file that the user
//! names, in other verbs to standard error where that is asked for. While a run is on, nothing of it
//! goes to the terminal.

use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// What is traced in files where nobody says what.
const DEFAULT_FILTER: &str = "info,jtest=debug,lapin=off";

/// They trace what they send, passwords included.
const TALKATIVE: [&str; 2] = ["lapin", "amq_protocol_tcp"];

/// What is traced, and where to.
#[derive(Debug, Clone, Default)]
pub struct Log {
    filter: Option<Filter>,
    file: Option<Arc<File>>,
}

/// What is traced, in the words of `RUST_LOG`: a level, or levels of parts of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// Everything down to a level.
    pub fn level(level: Level) -> Self {
        Self(level.as_str().to_lowercase())
    }
}

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        EnvFilter::try_new(text).map(|_| Self(text.to_owned()))
    }
}

impl Log {
    /// Where there is no filter a file has what is worth having; `file` has it besides a run's own.
    pub fn new(filter: Option<Filter>, file: Option<File>) -> Self {
        let file = file.map(Arc::new);
        Self { filter, file }
    }

    /// Begins the log of a verb that is no run: to its file; without one to standard error, if there
    /// is a filter.
    pub fn begin(&self) -> anyhow::Result<()> {
        match (&self.file, &self.filter) {
            (Some(file), _) => self.install(BoxMakeWriter::new(Arc::clone(file))),
            (None, Some(_)) => self.install(BoxMakeWriter::new(std::io::stderr)),
            (None, None) => Ok(()),
        }
    }

    /// Begins the log of this process, which has one run.
    pub fn begin_run(&self, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join("jtest.log");
        let own = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let own = Arc::new(own);
        self.install(match &self.file {
            Some(file) => BoxMakeWriter::new(own.and(Arc::clone(file))),
            None => BoxMakeWriter::new(own),
        })?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "jtest begins");
        Ok(())
    }

    fn install(&self, writer: BoxMakeWriter) -> anyhow::Result<()> {
        self.subscriber(writer)?
            .try_init()
            .map_err(|error| anyhow!("begin the log: {error}"))
    }

    fn subscriber(
        &self,
        writer: BoxMakeWriter,
    ) -> Result<impl Subscriber + Send + Sync, ParseError> {
        let filter = self.filter.as_ref();
        let filter = filter.map_or(DEFAULT_FILTER, |Filter(filter)| filter);
        let lines = fmt::layer()
            .with_writer(writer)
            .with_ansi(false)
            .with_filter(filter_fn(is_free_of_secrets));
        Ok(tracing_subscriber::registry()
            .with(EnvFilter::try_new(filter)?)
            .with(lines))
    }
}

/// No filter of a user lets passwords into a log.
fn is_free_of_secrets(metadata: &Metadata<'_>) -> bool {
    let room = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() < Level::TRACE || !TALKATIVE.contains(&room)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn what_a_library_sends_is_never_logged() {
        let mut file = tempfile::tempfile().unwrap();
        let writer = BoxMakeWriter::new(Arc::new(file.try_clone().unwrap()));
        let log = Log::new("trace,lapin=trace".parse().ok(), None);
        tracing::subscriber::with_default(log.subscriber(writer).unwrap(), || {
            tracing::trace!(target: "lapin::io_loop", "will write a password");
            tracing::debug!(target: "lapin::channels", "has a channel");
            tracing::trace!(target: "jtest::workload", "publishes");
        });
        file.rewind().unwrap();
        let mut written = String::new();
        file.read_to_string(&mut written).unwrap();
        assert!(!written.contains("password"), "{written}");
        for said in ["has a channel", "publishes"] {
            assert!(written.contains(said), "{written}");
        }
    }

    #[test]
    fn a_filter_is_refused_where_it_is_none() {
        assert!("jtest=loud".parse::<Filter>().is_err());
        for filter in [DEFAULT_FILTER, "debug", "off", "jtest=trace,russh=debug"] {
            assert!(filter.parse::<Filter>().is_ok(), "{filter}");
        }
        assert_eq!(Filter::level(Level::TRACE), "trace".parse().unwrap());
    }
}
