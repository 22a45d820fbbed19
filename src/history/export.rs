//! The history in formats of others: lines of JSON, CSV, Parquet, and EDN as Jepsen writes it.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use super::operation::{Action, Cause, Entry, Nanos, Phase};
use super::reader::{HistoryError, Reader};
use crate::inventory::NodeName;

/// How the history is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An object a line, its keys the columns of `history.arrow`
    Jsonl,
    /// The same columns, after a line with their names
    Csv,
    /// The columns of `history.arrow` as they are
    Parquet,
    /// An operation a line, as Jepsen's checkers, Knossos and Elle read them
    Edn,
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// The cause itself, since a reader that has seen enough is told by its kind.
fn from_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Writes everything that can be read of a history.
pub fn write(
    reader: &mut Reader,
    format: Format,
    to: &mut (impl Write + Send),
) -> Result<(), ExportError> {
    let nodes = reader.nodes().to_vec();
    match format {
        Format::Jsonl => each(reader, |entry| {
            serde_json::to_writer(&mut *to, &row(&nodes, &entry))?;
            to.write_all(b"\n")
        }),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(to);
            each(reader, |entry| {
                csv.serialize(row(&nodes, &entry)).map_err(from_csv)
            })?;
            Ok(csv.flush()?)
        }
        Format::Parquet => parquet(reader, to),
        Format::Edn => {
            let mut edn = Edn::default();
            each(reader, |entry| edn.write(&nodes, &entry, to))
        }
    }
}

fn parquet(reader: &mut Reader, to: &mut (impl Write + Send)) -> Result<(), ExportError> {
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression);
    let mut writer = ArrowWriter::try_new(to, reader.schema(), Some(properties.build()))
        .map_err(io::Error::other)?;
    while let Some(batch) = reader.next_batch()? {
        writer.write(batch.columns()).map_err(io::Error::other)?;
    }
    writer.close().map_err(io::Error::other)?;
    Ok(())
}

fn each(
    reader: &mut Reader,
    mut take: impl FnMut(Entry) -> io::Result<()>,
) -> Result<(), ExportError> {
    while let Some(batch) = reader.next_batch()? {
        for entry in batch.entries() {
            take(entry)?;
        }
    }
    Ok(())
}

/// The columns of `history.arrow`.
#[derive(Serialize)]
struct Row<'a> {
    time_ns: Nanos,
    process: u32,
    node: &'a str,
    phase: Phase,
    action: Action,
    producer: u32,
    sequence: u64,
    attempt: u16,
    cause: Cause,
    intended_ns: Option<Nanos>,
    redelivered: bool,
    queue: u16,
    tag: Option<u64>,
}

fn row<'a>(nodes: &'a [NodeName], entry: &Entry) -> Row<'a> {
    Row {
        time_ns: entry.time,
        process: entry.process,
        node: node(nodes, entry),
        phase: entry.phase,
        action: entry.action,
        producer: entry.producer,
        sequence: entry.sequence,
        attempt: entry.attempt,
        cause: entry.cause,
        intended_ns: entry.intended,
        redelivered: entry.redelivered,
        queue: entry.queue,
        tag: entry.tag,
    }
}

fn node<'a>(nodes: &'a [NodeName], entry: &Entry) -> &'a str {
    let node = nodes.get(usize::from(entry.node));
    node.map_or("", |node| node.0.as_str())
}

/// Which operation an entry is of.
type Key = (Action, u32, u32, u64, u16);

/// Jepsen's processes do one thing at a time, and one whose operation has no known outcome does nothing
/// any more. A window of unconfirmed messages therefore is as many processes.
#[derive(Default)]
struct Edn {
    index: u64,
    open: HashMap<Key, u64>,
    free: BTreeSet<u64>,
    processes: u64,
}

impl Edn {
    fn write(&mut self, nodes: &[NodeName], entry: &Entry, to: &mut impl Write) -> io::Result<()> {
        let node = node(nodes, entry);
        // A receipt is a dequeue that was begun and completed at the same moment; so is an observation.
        if matches!(
            entry.action,
            Action::Deliver | Action::Drain | Action::Observe
        ) {
            let process = self.begin();
            self.line(process, Phase::Invoke, node, entry, to)?;
            self.free.insert(process);
            return self.line(process, entry.phase, node, entry, to);
        }
        // Which value a get gives is not known when it begins.
        let key = match entry.action {
            Action::Get => (entry.action, entry.process, 0, 0, 0),
            _ => (
                entry.action,
                entry.process,
                entry.producer,
                entry.sequence,
                entry.attempt,
            ),
        };
        let process = match entry.phase {
            Phase::Invoke => {
                let process = self.begin();
                self.open.insert(key, process);
                process
            }
            _ => match self.open.remove(&key) {
                Some(process) => process,
                None => return Ok(()),
            },
        };
        if matches!(entry.phase, Phase::Ok | Phase::Fail) {
            self.free.insert(process);
        }
        self.line(process, entry.phase, node, entry, to)
    }

    fn begin(&mut self) -> u64 {
        self.free.pop_first().unwrap_or_else(|| {
            self.processes += 1;
            self.processes - 1
        })
    }

    fn line(
        &mut self,
        process: u64,
        phase: Phase,
        node: &str,
        entry: &Entry,
        to: &mut impl Write,
    ) -> io::Result<()> {
        let index = self.index;
        self.index += 1;
        let time = entry.time;
        let kind = match phase {
            Phase::Invoke => "invoke",
            Phase::Ok => "ok",
            Phase::Fail => "fail",
            Phase::Info => "info",
        };
        let function = match entry.action {
            Action::Publish => "enqueue",
            Action::Deliver | Action::Drain | Action::Get => "dequeue",
            Action::Acquire => "acquire",
            Action::Release => "release",
            Action::Ack => "ack",
            Action::Subscribe => "subscribe",
            Action::Cancel => "cancel",
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Observe => "read",
        };
        let has_value = match entry.action {
            Action::Publish | Action::Ack | Action::Create | Action::Delete | Action::Observe => {
                true
            }
            Action::Acquire | Action::Release | Action::Subscribe | Action::Cancel => false,
            Action::Deliver | Action::Drain | Action::Get => phase == Phase::Ok,
        };
        let value = match entry.cause {
            _ if !has_value => "nil".to_owned(),
            Cause::Foreign => ":foreign".to_owned(),
            _ => format!("[{} {}]", entry.producer, entry.sequence),
        };
        write!(
            to,
            "{{:index {index}, :time {time}, :type :{kind}, :process {process}, :f :{function}, :value {value}, :node {node:?}"
        )?;
        if matches!(phase, Phase::Fail | Phase::Info) {
            let cause = serde_json::to_string(&entry.cause)?;
            write!(to, ", :error :{}", cause.trim_matches('"'))?;
        }
        writeln!(to, "}}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::history::recorder::Recorder;

    fn entry(time: Nanos, action: Action, phase: Phase, sequence: u64) -> Entry {
        Entry {
            time,
            process: 1,
            node: 0,
            phase,
            action,
            producer: 1,
            sequence,
            attempt: 0,
            cause: match phase {
                Phase::Invoke | Phase::Ok => Cause::None,
                Phase::Fail => Cause::Nacked,
                Phase::Info => Cause::ConfirmTimeout,
            },
            intended: (action == Action::Publish && phase == Phase::Invoke).then_some(time - 1),
            redelivered: action == Action::Drain,
            ..Entry::default()
        }
    }

    fn record(path: &Path) {
        let nodes = [NodeName("n1".into())];
        let (recorder, guard) = Recorder::create(path, &nodes, "cafe").unwrap();
        for entry in [
            entry(1, Action::Publish, Phase::Invoke, 0),
            entry(2, Action::Publish, Phase::Invoke, 1),
            entry(3, Action::Publish, Phase::Ok, 0),
            entry(4, Action::Publish, Phase::Info, 1),
            entry(5, Action::Publish, Phase::Invoke, 2),
            entry(6, Action::Publish, Phase::Fail, 2),
            entry(7, Action::Drain, Phase::Ok, 0),
        ] {
            recorder.record(entry);
        }
        guard.finish().unwrap();
    }

    fn written(format: Format) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.arrow");
        record(&path);
        let mut text = Vec::new();
        write(&mut Reader::open(&path).unwrap(), format, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_process_of_jepsen_does_one_thing_at_a_time_and_ends_with_what_nobody_knows() {
        insta::assert_snapshot!(written(Format::Edn), @r#"
        {:index 0, :time 1, :type :invoke, :process 0, :f :enqueue, :value [1 0], :node "n1"}
        {:index 1, :time 2, :type :invoke, :process 1, :f :enqueue, :value [1 1], :node "n1"}
        {:index 2, :time 3, :type :ok, :process 0, :f :enqueue, :value [1 0], :node "n1"}
        {:index 3, :time 4, :type :info, :process 1, :f :enqueue, :value [1 1], :node "n1", :error :confirm-timeout}
        {:index 4, :time 5, :type :invoke, :process 0, :f :enqueue, :value [1 2], :node "n1"}
        {:index 5, :time 6, :type :fail, :process 0, :f :enqueue, :value [1 2], :node "n1", :error :nacked}
        {:index 6, :time 7, :type :invoke, :process 0, :f :dequeue, :value nil, :node "n1"}
        {:index 7, :time 7, :type :ok, :process 0, :f :dequeue, :value [1 0], :node "n1"}
        "#);
    }

    #[test]
    fn columns_are_those_of_the_file() {
        insta::assert_snapshot!(written(Format::Csv).lines().take(3).collect::<Vec<_>>().join("\n"), @r"
        time_ns,process,node,phase,action,producer,sequence,attempt,cause,intended_ns,redelivered,queue,tag
        1,1,n1,invoke,publish,1,0,0,none,0,false,0,
        2,1,n1,invoke,publish,1,1,0,none,1,false,0,
        ");
        insta::assert_snapshot!(written(Format::Jsonl).lines().nth(3).unwrap(), @r#"{"time_ns":4,"process":1,"node":"n1","phase":"info","action":"publish","producer":1,"sequence":1,"attempt":0,"cause":"confirm-timeout","intended_ns":null,"redelivered":false,"queue":0,"tag":null}"#);
    }

    #[test]
    fn parquet_gives_the_columns_back() {
        use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.arrow");
        record(&path);
        let to = directory.path().join("history.parquet");
        let mut reader = Reader::open(&path).unwrap();
        let file = std::fs::File::create(&to).unwrap();
        write(&mut reader, Format::Parquet, &mut &file).unwrap();
        let file = std::fs::File::open(&to).unwrap();
        let read = ParquetRecordBatchReader::try_new(file, 1000).unwrap();
        let rows: Vec<_> = read.map(Result::unwrap).collect();
        let written = Reader::open(&path).unwrap().next_batch().unwrap().unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].columns(), written.columns().columns());
        assert!(written.len() > 3);
    }
}
