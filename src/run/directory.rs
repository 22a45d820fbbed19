//! The run directory: `runs/<scenario>/<UTC time>/`, and `runs/latest`, which points to the newest.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::runs::point_latest;

/// How many runs of one scenario may begin in the same second.
const SAME_SECOND_MAX: u32 = 100;

/// For the lock of a new directory.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Creates the directory of a run that began at `started`. It is in use until the handle is closed.
pub fn create(runs: &Path, scenario: &str, started: Timestamp) -> io::Result<(PathBuf, File)> {
    let parent = runs.join(scenario);
    std::fs::create_dir_all(&parent)?;
    let time = started.strftime("%Y%m%dT%H%M%SZ").to_string();
    for attempt in 0..SAME_SECOND_MAX {
        let name = if attempt == 0 {
            time.clone()
        } else {
            format!("{time}-{attempt}")
        };
        let directory = parent.join(&name);
        match std::fs::create_dir(&directory) {
            Ok(()) => {
                let handle = in_use(&directory)?;
                point_latest(runs, &Path::new(scenario).join(name));
                return Ok((directory, handle));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{} runs began at {time}", SAME_SECOND_MAX),
    ))
}

/// Marks the directory as in use for as long as the handle is open: `jtest runs` tells that the run goes on, and
/// `jtest runs gc` leaves it alone. Where the file system has no locks, neither does.
fn in_use(directory: &Path) -> io::Result<File> {
    let handle = File::open(directory)?;
    for _ in 0..LOCK_TRIES {
        match handle.try_lock() {
            // Somebody who lists the runs holds it for a moment.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Ok(()) | Err(TryLockError::Error(_)) => break,
        }
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::dir::Dir;

    #[test]
    fn runs_of_one_second_get_directories_of_their_own_and_latest_is_the_newest() {
        let runs = tempfile::tempdir().unwrap();
        let started: Timestamp = "2026-11-23T09:08:07.5Z".parse().unwrap();
        let (first, handle) = create(runs.path(), "partitions", started).unwrap();
        let (second, _) = create(runs.path(), "partitions", started).unwrap();
        assert_eq!(first, runs.path().join("partitions/20261123T090807Z"));
        assert_eq!(second, runs.path().join("partitions/20261123T090807Z-1"));
        assert_eq!(
            runs.path().join("latest").canonicalize().unwrap(),
            second.canonicalize().unwrap()
        );
        assert!(Dir::open(&first).unwrap().is_in_use());
        drop(handle);
        assert!(!Dir::open(&first).unwrap().is_in_use());
    }
}
