//! The runs there are: listed, compared, removed.
//!
//! A runs directory may hold anything, run directories of others and damaged ones among it. It is read
//! through [`dir::Dir`], which never follows a link, and what cannot be read is told beside what can.

pub mod diff;
pub mod dir;
pub mod gc;
mod name;
mod summary;
#[cfg(test)]
pub mod testing;

use std::io;
use std::path::{Path, PathBuf};

use self::dir::{Dir, Kind};
pub use self::name::RunName;
pub use self::summary::{Filter, RunSummary, State, summary};

/// The link to the newest run, in the runs directory.
pub const LATEST: &str = "latest";

/// A directory of runs, open.
#[derive(Debug)]
pub struct Runs {
    path: PathBuf,
    root: Dir,
}

impl Runs {
    /// Opens the directory that the user named; it may be a link itself.
    ///
    /// # Errors
    ///
    /// It is not there, or not a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            root: Dir::open(path)?,
        })
    }

    /// As it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every run directory in it, the newest first.
    ///
    /// # Errors
    ///
    /// The runs directory itself cannot be listed. A directory in it that cannot is left out.
    pub fn names(&self) -> io::Result<Vec<RunName>> {
        let mut names = Vec::new();
        for scenario in self.root.entries()? {
            if scenario.kind != Kind::Directory {
                continue;
            }
            let inside = self.root.directory(&scenario.name);
            let Ok(times) = inside.and_then(|directory| directory.entries()) else {
                continue;
            };
            let times = times
                .into_iter()
                .filter(|time| time.kind == Kind::Directory);
            names.extend(times.filter_map(|time| RunName::new(&scenario.name, &time.name)));
        }
        names.sort_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Opens a run directory.
    ///
    /// # Errors
    ///
    /// It is not there, or a link.
    pub fn directory(&self, name: &RunName) -> io::Result<Dir> {
        let scenario = self.root.directory(name.scenario.as_ref())?;
        scenario.directory(name.time.as_ref())
    }

    /// What each run was and how it ended, the newest first.
    ///
    /// # Errors
    ///
    /// As those of [`Runs::names`].
    pub fn summaries(&self, filter: &Filter) -> io::Result<Vec<RunSummary>> {
        let names = self.names()?.into_iter();
        let wanted = names.filter(|name| filter.is_of_scenario(name));
        let all = wanted.map(|name| summary(self.directory(&name), &name));
        Ok(all.filter(|run| filter.has_verdict(run)).collect())
    }
}

/// Lets the link `latest` of a runs directory point to a run. The link is a convenience: nothing fails because
/// a file system has none.
pub fn point_latest(runs: &Path, target: &Path) {
    let temporary = runs.join(format!(".latest-{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    if std::os::unix::fs::symlink(target, &temporary).is_ok() {
        let _ = std::fs::rename(&temporary, runs.join(LATEST));
    }
}

#[cfg(test)]
mod tests;
