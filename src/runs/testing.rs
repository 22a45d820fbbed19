//! A runs directory for unit tests: two runs that are judged, one that is not, and damaged ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::check::judge::{RESULTS_FILE, judge, to_json};
use crate::check::testing::Run;

/// The run that lost nothing.
pub const VALID: &str = "cut/20261123T105100Z";
/// The run that lost six messages, a day later.
pub const INVALID: &str = "cut/20261124T105100Z";
/// The run that was killed.
pub const KILLED: &str = "cut/20261124T110000Z";
/// The run whose results are cut off.
pub const DAMAGED: &str = "other/20261122T000000Z";

/// Makes it.
pub fn runs() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runs = directory.path();
    judged(runs, VALID, &Run::default());
    let lost = Run {
        lost: 4..6,
        ..Run::default()
    };
    judged(runs, INVALID, &lost);
    lost.write_in(&made(runs, KILLED));
    judged(runs, DAMAGED, &lost);
    let results = runs.join(DAMAGED).join(RESULTS_FILE);
    fs::write(results, "{\"verdict\": \"inv").expect("results.json");
    symlink(INVALID, runs.join("latest")).expect("a link");
    directory
}

/// Makes a run directory with nothing in it.
pub fn made(runs: &Path, name: &str) -> PathBuf {
    let path = runs.join(name);
    fs::create_dir_all(&path).expect("a run directory");
    path
}

fn judged(runs: &Path, name: &str, run: &Run<'_>) {
    let path = made(runs, name);
    run.write_in(&path);
    let results = judge(&path).expect("results");
    fs::write(path.join(RESULTS_FILE), to_json(&results).expect("JSON")).expect("results.json");
}
