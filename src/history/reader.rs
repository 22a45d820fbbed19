//! Reads a history back, in batches of columns.
//!
//! A killed run leaves a file without its end: everything up to the last whole batch is
//! given, and [`Reader::is_complete`] then says no. So it does where the end comes before the
//! file's: a lost page of zeros reads as an end. A file of another version or with other
//! columns is refused rather than guessed at.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int64Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, SchemaRef};

use super::frames::Frames;
use super::operation::{Action, Cause, Entry, Nanos, Phase};
use super::schema::{
    ACTIONS, CAUSES, HISTORY_VERSION, NODES_KEY, PHASES, RUN_ID_KEY, VERSION_KEY, column, schema,
};
use crate::inventory::NodeName;
use crate::run_dir;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {error}; a run leaves it from its load on", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// It is no history, or one of another version.
    #[error("{} is not a history that this jtest can read: {reason}", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// A history that is being read.
pub struct Reader {
    path: PathBuf,
    stream: StreamReader<Frames<BufReader<File>>>,
    run_id: String,
    nodes: Vec<NodeName>,
    torn: bool,
    complete: bool,
}

impl Reader {
    /// Opens the file and checks that its columns are ours.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let io = |error| HistoryError::Io {
            path: path.to_owned(),
            error,
        };
        let not_ours = |reason: String| HistoryError::NotOurs {
            path: path.to_owned(),
            reason,
        };
        let file = Frames::new(BufReader::new(run_dir::open(path).map_err(io)?));
        let stream = guarded(|| StreamReader::try_new(file, None))
            .map_err(|error| not_ours(error.to_string()))?;
        let found = stream.schema();
        let metadata = |key: &str| found.metadata().get(key).cloned();
        match metadata(VERSION_KEY).as_deref() {
            Some(HISTORY_VERSION) => {}
            Some(other) => {
                return Err(not_ours(format!(
                    "its version is {other}, this jtest reads {HISTORY_VERSION}"
                )));
            }
            None => return Err(not_ours(format!("its metadata has no {VERSION_KEY}"))),
        }
        let run_id = metadata(RUN_ID_KEY).unwrap_or_default();
        let nodes: Vec<NodeName> = metadata(NODES_KEY)
            .unwrap_or_default()
            .split(',')
            .map(|name| NodeName(name.to_owned()))
            .collect();
        if found.fields() != schema(&run_id, &nodes).fields() {
            return Err(not_ours("its columns are others".to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            stream,
            run_id,
            nodes,
            torn: false,
            complete: false,
        })
    }

    /// The run that wrote it.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The nodes that entries point to by index.
    pub fn nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    /// The columns, with the metadata.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next batch; `None` at the end of what is whole.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, HistoryError> {
        if self.torn {
            return Ok(None);
        }
        let read = guarded(|| self.stream.next().transpose());
        let Ok(batch) = read else {
            self.torn = true;
            return Ok(None);
        };
        if batch.is_none() {
            self.complete = self.stream.get_mut().has_ended();
        }
        batch
            .map(|batch| Batch::new(batch, self.nodes.len()))
            .transpose()
            .map_err(|reason| HistoryError::NotOurs {
                path: self.path.clone(),
                reason,
            })
    }

    /// Once the last batch was read: whether the recorder had ended the file and all of it was readable.
    pub fn is_complete(&self) -> bool {
        self.complete && !self.torn
    }
}

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// The Arrow reader is not written for damaged files and may panic on one; to us that is damage, and nothing that
/// anybody should read about. A panic in code of ours is told as any other.
fn guarded<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() || panic.location().is_none_or(|at| is_ours(at.file())) {
                tell(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(false);
    read.unwrap_or_else(|_| Err(ArrowError::IpcError("damaged".to_owned())))
}

fn is_ours(file: &str) -> bool {
    file.starts_with(file!().trim_end_matches("history/reader.rs"))
}

/// Some entries in a row, by columns of equal length.
pub struct Batch {
    batch: RecordBatch,
    nodes: usize,
}

impl Batch {
    /// Checks once that every code means something, so that access cannot fail.
    fn new(batch: RecordBatch, nodes: usize) -> Result<Self, String> {
        check_words::<Int8Type>(&batch, column::PHASE, Some(&PHASES.map(|(_, name)| name)))?;
        check_words::<Int8Type>(&batch, column::ACTION, Some(&ACTIONS.map(|(_, name)| name)))?;
        check_words::<Int8Type>(&batch, column::CAUSE, Some(&CAUSES.map(|(_, name)| name)))?;
        check_words::<Int16Type>(&batch, column::NODE, None)?;
        let batch = Self { batch, nodes };
        if batch
            .nodes()
            .iter()
            .any(|node| usize::from(node.cast_unsigned()) >= batch.nodes)
        {
            return Err("it names a node that is not in its list".to_owned());
        }
        Ok(batch)
    }

    /// The columns as they are.
    pub fn columns(&self) -> &RecordBatch {
        &self.batch
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// See [`Entry::time`].
    pub fn times(&self) -> &[Nanos] {
        self.batch
            .column(column::TIME_NS)
            .as_primitive::<Int64Type>()
            .values()
    }

    /// See [`Entry::process`].
    pub fn processes(&self) -> &[u32] {
        self.batch
            .column(column::PROCESS)
            .as_primitive::<UInt32Type>()
            .values()
    }

    /// See [`Entry::node`]; never negative.
    pub fn nodes(&self) -> &[i16] {
        self.codes::<Int16Type>(column::NODE).values()
    }

    /// Positions in [`PHASES`].
    pub fn phases(&self) -> &[i8] {
        self.codes::<Int8Type>(column::PHASE).values()
    }

    /// Positions in [`ACTIONS`].
    pub fn actions(&self) -> &[i8] {
        self.codes::<Int8Type>(column::ACTION).values()
    }

    /// See [`Entry::producer`].
    pub fn producers(&self) -> &[u32] {
        self.batch
            .column(column::PRODUCER)
            .as_primitive::<UInt32Type>()
            .values()
    }

    /// See [`Entry::sequence`].
    pub fn sequences(&self) -> &[u64] {
        self.batch
            .column(column::SEQUENCE)
            .as_primitive::<UInt64Type>()
            .values()
    }

    /// See [`Entry::attempt`].
    pub fn attempts(&self) -> &[u16] {
        self.batch
            .column(column::ATTEMPT)
            .as_primitive::<UInt16Type>()
            .values()
    }

    /// Positions in [`CAUSES`].
    pub fn causes(&self) -> &[i8] {
        self.codes::<Int8Type>(column::CAUSE).values()
    }

    /// See [`Entry::intended`].
    pub fn intended(&self) -> &Int64Array {
        self.batch
            .column(column::INTENDED_NS)
            .as_primitive::<Int64Type>()
    }

    /// See [`Entry::redelivered`].
    pub fn redelivered(&self) -> &BooleanArray {
        self.batch.column(column::REDELIVERED).as_boolean()
    }

    /// See [`Entry::queue`].
    pub fn queues(&self) -> &[u16] {
        self.batch
            .column(column::QUEUE)
            .as_primitive::<UInt16Type>()
            .values()
    }

    /// See [`Entry::tag`].
    pub fn tags(&self) -> &UInt64Array {
        self.batch.column(column::TAG).as_primitive::<UInt64Type>()
    }

    /// The entries one by one.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let rows = Rows::of(self);
        (0..self.len()).map(move |row| rows.entry(row))
    }

    fn codes<K: ArrowDictionaryKeyType>(&self, column: usize) -> &PrimitiveArray<K> {
        self.batch.column(column).as_dictionary::<K>().keys()
    }
}

/// The columns of a batch, each looked up once and not for every entry.
struct Rows<'a> {
    times: &'a [Nanos],
    processes: &'a [u32],
    nodes: &'a [i16],
    phases: &'a [i8],
    actions: &'a [i8],
    producers: &'a [u32],
    sequences: &'a [u64],
    attempts: &'a [u16],
    causes: &'a [i8],
    intended: &'a Int64Array,
    redelivered: &'a BooleanArray,
    queues: &'a [u16],
    tags: &'a UInt64Array,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a Batch) -> Self {
        Self {
            times: batch.times(),
            processes: batch.processes(),
            nodes: batch.nodes(),
            phases: batch.phases(),
            actions: batch.actions(),
            producers: batch.producers(),
            sequences: batch.sequences(),
            attempts: batch.attempts(),
            causes: batch.causes(),
            intended: batch.intended(),
            redelivered: batch.redelivered(),
            queues: batch.queues(),
            tags: batch.tags(),
        }
    }

    fn entry(&self, row: usize) -> Entry {
        let (intended, tags) = (self.intended, self.tags);
        Entry {
            time: self.times[row],
            process: self.processes[row],
            node: self.nodes[row].cast_unsigned(),
            phase: by_code(&PHASES, self.phases[row], Phase::Info),
            action: by_code(&ACTIONS, self.actions[row], Action::Publish),
            producer: self.producers[row],
            sequence: self.sequences[row],
            attempt: self.attempts[row],
            cause: by_code(&CAUSES, self.causes[row], Cause::None),
            intended: intended.is_valid(row).then(|| intended.value(row)),
            redelivered: self.redelivered.value(row),
            queue: self.queues[row],
            tag: tags.is_valid(row).then(|| tags.value(row)),
        }
    }
}

/// [`Batch::new`] has checked every code, so the fallback is never taken.
fn by_code<T: Copy>(table: &[(T, &str)], code: i8, fallback: T) -> T {
    usize::try_from(code)
        .ok()
        .and_then(|code| table.get(code))
        .map_or(fallback, |(value, _)| *value)
}

fn check_words<K: ArrowDictionaryKeyType>(
    batch: &RecordBatch,
    column: usize,
    expected: Option<&[&str]>,
) -> Result<(), String> {
    let words = batch.column(column).as_dictionary::<K>();
    let name = batch.schema().field(column).name().clone();
    if words.keys().null_count() > 0 {
        return Err(format!("its column {name} has gaps"));
    }
    if let Some(expected) = expected {
        let values = words.values().as_string::<i32>();
        if !values.iter().eq(expected.iter().map(|word| Some(*word))) {
            return Err(format!("the words of its column {name} are others"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::recorder::Recorder;

    fn nodes() -> Vec<NodeName> {
        ["n1", "n2", "n3"]
            .map(|name| NodeName(name.into()))
            .to_vec()
    }

    fn entry(number: u64) -> Entry {
        Entry {
            time: number as i64 * 1000,
            process: number as u32 % 7,
            node: (number % 3) as u16,
            phase: PHASES[number as usize % PHASES.len()].0,
            action: ACTIONS[number as usize % ACTIONS.len()].0,
            producer: number as u32 % 5,
            sequence: number,
            attempt: (number % 3) as u16,
            cause: CAUSES[number as usize % CAUSES.len()].0,
            intended: number.is_multiple_of(2).then_some(number as i64 * 999),
            redelivered: number % 4 == 1,
            queue: (number % 2) as u16,
            tag: (number % 3 == 1).then_some(number),
        }
    }

    fn write(path: &Path, entries: u64, batches: u64) {
        let (recorder, guard) = Recorder::create(path, &nodes(), "r1").unwrap();
        for number in 0..entries {
            recorder.record(entry(number));
            if batches > 1 && number % (entries / batches).max(1) == 0 {
                let written = || std::fs::metadata(path).unwrap().len();
                let before = written();
                while written() == before {
                    std::thread::yield_now();
                }
            }
        }
        assert_eq!(guard.finish().unwrap(), entries);
        assert!(!recorder.failed());
    }

    fn read(path: &Path) -> Result<(Vec<Entry>, bool), HistoryError> {
        let mut reader = Reader::open(path)?;
        let mut entries = Vec::new();
        while let Some(batch) = reader.next_batch()? {
            entries.extend(batch.entries());
        }
        Ok((entries, reader.is_complete()))
    }

    #[test]
    fn what_was_recorded_is_read_back_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.arrow");
        write(&path, 200_000, 1);
        let (entries, complete) = read(&path).unwrap();
        assert!(complete);
        assert!(entries.into_iter().eq((0..200_000).map(entry)));
    }

    #[test]
    fn an_empty_history_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.arrow");
        write(&path, 0, 1);
        assert_eq!(read(&path).unwrap(), (vec![], true));
    }

    #[test]
    fn a_file_cut_anywhere_gives_whole_batches_and_says_that_it_is_not_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.arrow");
        write(&path, 30, 3);
        let bytes = std::fs::read(&path).unwrap();
        let mut lengths = std::collections::BTreeSet::new();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            if let Ok((entries, complete)) = read(&path) {
                assert!(!complete, "cut at {cut} of {}", bytes.len());
                assert!(
                    entries
                        .iter()
                        .cloned()
                        .eq((0..entries.len() as u64).map(entry))
                );
                lengths.insert(entries.len());
            }
        }
        assert!(lengths.len() >= 3, "batches come one by one: {lengths:?}");
        assert_eq!(
            lengths.last(),
            Some(&30),
            "the last batch does not need the end"
        );
    }

    #[test]
    fn an_end_in_the_middle_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.arrow");
        write(&path, 30, 3);
        let whole = std::fs::read(&path).unwrap();
        let mut ended_early = 0;
        let marker = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        for at in (0..whole.len() - marker.len()).step_by(64) {
            for end in [marker, [0; 8]] {
                let mut bytes = whole.clone();
                bytes[at..at + end.len()].copy_from_slice(&end);
                std::fs::write(&path, &bytes).unwrap();
                if let Ok((entries, complete)) = read(&path)
                    && entries.len() < 30
                {
                    assert!(!complete, "{end:?} at {at} leaves {}", entries.len());
                    ended_early += 1;
                }
            }
        }
        assert!(ended_early > 0);
    }

    #[test]
    fn only_panics_of_others_are_kept_to_oneself() {
        assert!(is_ours(file!()));
        assert!(is_ours(&file!().replace("reader", "frames")));
        for others in [
            "/registry/src/arrow-buffer-60.1.0/src/bytes.rs",
            "/rustc/1/library/core/src/panicking.rs",
        ] {
            assert!(!is_ours(others), "{others}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn damaged_bytes_never_panic(at in 0.0..1.0f64, value: u8) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("history.arrow");
            write(&path, 50, 1);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = (at * (bytes.len() - 1) as f64) as usize;
            bytes[at] = value;
            std::fs::write(&path, bytes).unwrap();
            let _ = read(&path);
        }
    }
}
