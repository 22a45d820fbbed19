//! The one task that gives events their order and their time.
//!
//! Everything that happens in a run arrives here by a bounded channel; each event gets
//! its time, is written to `events.jsonl` at once and is then shown. Nothing else writes to
//! either place.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::clock::RunClock;
use crate::event::{Emit, Event, Record, Show};

/// Messages that may wait for the task; it writes thousands a second, a run emits tens.
const QUEUE_MAX: usize = 4096;

enum Message {
    Event(Event),
    Sync(SyncSender<()>),
    End,
}

/// A handle that events are emitted through; clones feed the same task.
#[derive(Clone)]
pub struct Dispatcher {
    sender: SyncSender<Message>,
}

impl Dispatcher {
    /// Returns when everything emitted before is in the file.
    pub fn sync(&self) {
        let (done, wait) = sync_channel(1);
        if self.sender.send(Message::Sync(done)).is_ok() {
            // An error means that the task has ended: then there is nothing to wait for.
            let _ = wait.recv();
        }
    }
}

impl Emit for Dispatcher {
    fn emit(&self, event: Event) {
        // The task is gone only when the run is over; what comes later has no reader.
        let _ = self.sender.send(Message::Event(event));
    }
}

/// The task's end; see [`DispatchGuard::finish`].
pub struct DispatchGuard {
    worker: JoinHandle<io::Result<()>>,
    end: SyncSender<Message>,
}

impl DispatchGuard {
    /// Lets the task work off what was emitted before this call and returns the first
    /// error of writing.
    pub fn finish(self) -> io::Result<()> {
        let _ = self.end.send(Message::End);
        self.worker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the event task panicked")))
    }
}

/// Starts the task, which creates `path`.
pub fn start(
    path: &Path,
    clock: RunClock,
    show: Box<dyn Show>,
) -> io::Result<(Dispatcher, DispatchGuard)> {
    let file = File::create(path)?;
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let worker = std::thread::Builder::new()
        .name("events".into())
        .spawn(move || work(&receiver, file, clock, show))?;
    let end = sender.clone();
    Ok((Dispatcher { sender }, DispatchGuard { worker, end }))
}

/// A full disk must not stop the run from being healed and shown: the first error is kept
/// for the end and the work goes on.
fn work(
    receiver: &Receiver<Message>,
    mut file: File,
    clock: RunClock,
    mut show: Box<dyn Show>,
) -> io::Result<()> {
    let mut outcome = Ok(());
    loop {
        let event = match receiver.recv() {
            Ok(Message::Event(event)) => event,
            Ok(Message::Sync(done)) => {
                let _ = done.send(());
                continue;
            }
            Ok(Message::End) | Err(_) => return outcome,
        };
        let record = Record {
            time: clock.now(),
            event,
        };
        let written = serde_json::to_vec(&record)
            .map_err(io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                file.write_all(&line)
            });
        if outcome.is_ok() {
            outcome = written;
        }
        show.show(&record);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Kept(Arc<Mutex<Vec<Record>>>);

    impl Show for Kept {
        fn show(&mut self, record: &Record) {
            self.0.lock().unwrap().push(record.clone());
        }
    }

    #[test]
    fn file_and_screen_get_the_same_events_in_one_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (dispatcher, guard) =
            start(&path, RunClock::start(), Box::new(Kept(kept.clone()))).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let dispatcher = dispatcher.clone();
                std::thread::spawn(move || {
                    for number in 0..100 {
                        dispatcher.note(None, format!("{thread}/{number}"));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        guard.finish().unwrap();
        let written: Vec<Record> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(written.len(), 400);
        assert_eq!(written, *kept.lock().unwrap());
        assert!(written.is_sorted_by_key(|record| record.time));
    }
}
