//! Writes the history while the run is on.
//!
//! Entries go through a bounded channel to one thread that owns the file, so that their
//! order in the file is the order in which they were recorded. What is recorded reaches the
//! operating system within [`FLUSH_EVERY`]: a `kill -9` of jtest costs at most that. When the disk
//! fails, the error is kept, entries go on being taken, and the run learns of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow_ipc::CompressionType;
use arrow_ipc::writer::{DictionaryHandling, IpcWriteOptions, StreamWriter};
use arrow_schema::ArrowError;

use super::operation::Entry;
use super::schema::{BatchBuilder, schema};
use crate::inventory::NodeName;

/// How long an entry may stay in memory.
pub const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// Entries that may wait for the thread; a full channel makes clients wait.
const QUEUE_MAX: usize = 65_536;

/// Entries of one batch at most.
pub(super) const BATCH_MAX: usize = 65_536;

enum Message {
    Entry(Entry),
    End,
}

/// A handle that entries are recorded through; clones feed the same file.
#[derive(Clone)]
pub struct Recorder {
    sender: SyncSender<Message>,
    failed: Arc<AtomicBool>,
}

impl Recorder {
    /// Creates the file and starts the thread that owns it.
    pub fn create(
        path: &Path,
        nodes: &[NodeName],
        run_id: &str,
    ) -> io::Result<(Self, RecorderGuard)> {
        let schema = Arc::new(schema(run_id, nodes));
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::ZSTD))
            .map_err(io_error)?
            .with_dictionary_handling(DictionaryHandling::Resend);
        let file = BufWriter::new(File::create(path)?);
        let mut writer =
            StreamWriter::try_new_with_options(file, &schema, options).map_err(io_error)?;
        // A run that is killed before its first entry leaves a history, too.
        writer.get_mut().flush()?;
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            batch: BatchBuilder::new(schema, nodes),
            writer,
            entries: 0,
        };
        let seen = failed.clone();
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || worker.work(&receiver, &seen))?;
        let guard = RecorderGuard {
            thread,
            end: sender.clone(),
        };
        Ok((Self { sender, failed }, guard))
    }

    /// Records an entry; waits while the thread is behind.
    pub fn record(&self, entry: Entry) {
        if self.sender.send(Message::Entry(entry)).is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether entries were lost because the disk failed (or the recorder had ended).
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The end of the recording; see [`RecorderGuard::finish`].
pub struct RecorderGuard {
    thread: JoinHandle<io::Result<u64>>,
    end: SyncSender<Message>,
}

impl RecorderGuard {
    /// Writes what was recorded before this call and the end of the stream. Returns the
    /// number of entries, or the first error of writing.
    pub fn finish(self) -> io::Result<u64> {
        let _ = self.end.send(Message::End);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the recorder panicked")))
    }
}

struct Worker {
    batch: BatchBuilder,
    writer: StreamWriter<BufWriter<File>>,
    entries: u64,
}

impl Worker {
    fn work(&mut self, receiver: &Receiver<Message>, failed: &AtomicBool) -> io::Result<u64> {
        let mut outcome = Ok(());
        let mut flush_at = Instant::now() + FLUSH_EVERY;
        loop {
            let wait = flush_at.saturating_duration_since(Instant::now());
            let ended = match receiver.recv_timeout(wait) {
                Ok(Message::Entry(entry)) => {
                    self.batch.push(&entry);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => true,
            };
            if ended || self.batch.len() >= BATCH_MAX || Instant::now() >= flush_at {
                let flushed = self.flush();
                if flushed.is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
                outcome = outcome.and(flushed);
                flush_at = Instant::now() + FLUSH_EVERY;
            }
            if ended {
                outcome?;
                self.writer.finish().map_err(io_error)?;
                self.writer.get_mut().flush()?;
                return Ok(self.entries);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = self.batch.take().map_err(io_error)?;
        self.writer.write(&batch).map_err(io_error)?;
        self.writer.get_mut().flush()?;
        self.entries += batch.num_rows() as u64;
        Ok(())
    }
}

fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
