//! Old runs are removed: decided first, so that it can be shown, and done then.
//!
//! Only what is a run's directory for certain is removed: two directories below the runs directory, named by
//! a time, not in use, and with nothing in it but what a run writes.

use std::io;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Duration;

use super::dir::{Dir, Kind};
use super::{LATEST, RunName, Runs, State, point_latest, summary};
use crate::check::Verdict;
use crate::run_dir::{FILES, NODE_FILES};

/// Files of one run that are counted.
const FILES_MAX: usize = 1_000_000;

/// Which runs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// So many of each scenario, the newest.
    pub keep_last: usize,
    /// Those that are not older than this.
    pub older_than: Option<Duration>,
    /// Those whose verdict is `invalid`.
    pub keep_invalid: bool,
}

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Its name, `SCENARIO/TIME`.
    pub run: String,
    /// What becomes of it.
    pub action: Action,
    /// Why it is kept, or what went wrong when it was removed.
    pub why: Option<String>,
    /// How much its files hold.
    pub bytes: u64,
    #[serde(skip)]
    name: RunName,
}

/// What becomes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It stays.
    Keep,
    /// It would be removed.
    Remove,
    /// It is removed.
    Removed,
    /// It could not be removed, or not all of it.
    Failed,
}

/// Decides on every run, the newest first.
///
/// # Errors
///
/// The runs directory cannot be listed.
pub fn plan(runs: &Runs, policy: &Policy, now: Timestamp) -> io::Result<Vec<Decision>> {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let decide = |name: RunName| {
        let newer = seen.entry(name.scenario.clone()).or_default();
        let why = why_kept(runs, policy, now, &name, *newer);
        *newer += 1;
        let directory = runs
            .directory(&name)
            .and_then(|directory| directory.files(FILES_MAX));
        let files = directory.unwrap_or_default();
        Decision {
            run: name.to_string(),
            action: if why.is_some() {
                Action::Keep
            } else {
                Action::Remove
            },
            why,
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
            name,
        }
    };
    Ok(runs.names()?.into_iter().map(decide).collect())
}

fn why_kept(
    runs: &Runs,
    policy: &Policy,
    now: Timestamp,
    name: &RunName,
    newer: usize,
) -> Option<String> {
    if newer < policy.keep_last {
        return Some(format!(
            "one of the newest {} of its scenario",
            policy.keep_last
        ));
    }
    if let Some(age) = policy.older_than {
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let is_older = name
            .began()
            .is_some_and(|began| now.duration_since(began) > age);
        if !is_older {
            return Some("not old enough".to_owned());
        }
    }
    let directory = match runs.directory(name) {
        Ok(directory) => directory,
        Err(error) => return Some(format!("it cannot be opened: {error}")),
    };
    if let Some(why) = not_a_run(&directory) {
        return Some(why);
    }
    let run = summary(Ok(directory), name);
    match (run.state, run.verdict) {
        (State::Running, _) => Some("it is running".to_owned()),
        (_, Some(Verdict::Invalid)) if policy.keep_invalid => {
            Some("its verdict is invalid".to_owned())
        }
        _ => None,
    }
}

/// What is in the directory that no run writes.
fn not_a_run(directory: &Dir) -> Option<String> {
    let entries = match directory.entries() {
        Ok(entries) => entries,
        Err(error) => return Some(format!("it cannot be listed: {error}")),
    };
    let is_foreign = |entry: &super::dir::Entry| {
        let expected = if entry.name == "nodes" {
            Kind::Directory
        } else {
            Kind::File
        };
        let is_known = entry
            .name
            .to_str()
            .is_some_and(|name| FILES.contains(&name.strip_suffix(".new").unwrap_or(name)));
        !is_known || entry.kind != expected
    };
    let foreign = entries.into_iter().find(is_foreign);
    let name = match foreign {
        Some(foreign) => foreign.name.to_string_lossy().into_owned(),
        None => foreign_of_nodes(directory)?,
    };
    Some(format!("{name} in it is not a run's; remove it by hand"))
}

/// Something in `nodes` that no run collects.
fn foreign_of_nodes(directory: &Dir) -> Option<String> {
    let nodes = directory.directory("nodes".as_ref()).ok()?;
    for node in nodes.entries().ok()? {
        let name = format!("nodes/{}", node.name.to_string_lossy());
        if node.kind != Kind::Directory {
            return Some(name);
        }
        let Ok(collected) = nodes.directory(&node.name).and_then(|node| node.entries()) else {
            return Some(name);
        };
        let is_known = |file: &super::dir::Entry| {
            file.name
                .to_str()
                .is_some_and(|name| NODE_FILES.contains(&name))
        };
        if let Some(foreign) = collected.iter().find(|file| !is_known(file)) {
            return Some(format!("{name}/{}", foreign.name.to_string_lossy()));
        }
    }
    None
}

/// Removes what was decided to be removed. A run that has begun to be used since then stays.
pub fn carry_out(runs: &Runs, decisions: &mut [Decision]) {
    for decision in decisions
        .iter_mut()
        .filter(|decision| decision.action == Action::Remove)
    {
        (decision.action, decision.why) = match remove(runs, &decision.name) {
            Ok(()) => (Action::Removed, None),
            Err(error) => (Action::Failed, Some(error.to_string())),
        };
    }
    let gone = |decision: &&Decision| decision.action == Action::Removed;
    let latest = runs.path().join(LATEST);
    if latest.is_symlink() && !latest.exists() && decisions.iter().any(|decision| gone(&decision)) {
        match decisions.iter().find(|decision| !gone(decision)) {
            Some(newest) => point_latest(runs.path(), newest.run.as_ref()),
            None => {
                let _points_nowhere = std::fs::remove_file(&latest);
            }
        }
    }
}

fn remove(runs: &Runs, name: &RunName) -> io::Result<()> {
    let directory = runs.directory(name)?;
    if directory.is_in_use() {
        return Err(io::Error::other("it is running"));
    }
    if let Some(why) = not_a_run(&directory) {
        return Err(io::Error::other(why));
    }
    runs.root
        .directory(name.scenario.as_ref())?
        .remove(name.time.as_ref())?;
    // Other runs of the scenario, or anything else, keep its directory.
    let _stays = runs.root.remove_empty(name.scenario.as_ref());
    Ok(())
}
