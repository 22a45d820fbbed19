//! The run directory: `runs/<scenario>/<UTC time>/`, and `runs/latest`, which points to the newest.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// How many runs of one scenario may begin in the same second.
const SAME_SECOND_MAX: u32 = 100;

/// Creates the directory of a run that began at `started`.
pub fn create(runs: &Path, scenario: &str, started: Timestamp) -> io::Result<PathBuf> {
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
                point_latest(runs, &Path::new(scenario).join(name));
                return Ok(directory);
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

/// The link is a convenience: a run does not fail because a file system has none.
fn point_latest(runs: &Path, target: &Path) {
    let temporary = runs.join(format!(".latest-{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    if std::os::unix::fs::symlink(target, &temporary).is_ok() {
        let _ = std::fs::rename(&temporary, runs.join("latest"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_second_get_directories_of_their_own_and_latest_is_the_newest() {
        let runs = tempfile::tempdir().unwrap();
        let started: Timestamp = "2026-11-23T09:08:07.5Z".parse().unwrap();
        let first = create(runs.path(), "partitions", started).unwrap();
        let second = create(runs.path(), "partitions", started).unwrap();
        assert_eq!(first, runs.path().join("partitions/20261123T090807Z"));
        assert_eq!(second, runs.path().join("partitions/20261123T090807Z-1"));
        assert_eq!(
            runs.path().join("latest").canonicalize().unwrap(),
            second.canonicalize().unwrap()
        );
    }
}
