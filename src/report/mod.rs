//! What people and machines read of a run: the terminal's summary, `junit.xml`, `report.html`.
//!
//! Everything is made from the run directory, so `jtest report` and `jtest check` make the same again.

mod cluster;
mod drawing;
mod environment;
mod escape;
mod faults;
mod files;
mod html;
mod junit;
mod logs;
mod objects;
mod pass;
mod script;
mod series;
mod stories;
pub mod terminal;

use std::path::Path;

use anyhow::Context;

use crate::check::results::Results;
use crate::manifest::Manifest;
use crate::run_dir;

/// Its name in a run directory.
pub const REPORT_FILE: &str = "report.html";

/// Writes `junit.xml` and `report.html` into the run directory.
pub fn write(directory: &Path, results: &Results) -> anyhow::Result<()> {
    let manifest = Manifest::read(directory)?;
    let junit = junit::text(results).context("make junit.xml")?;
    run_dir::write(&directory.join("junit.xml"), junit.as_bytes()).context("write junit.xml")?;
    let html = html::text(directory, &manifest, results).context("make report.html")?;
    run_dir::write(&directory.join(REPORT_FILE), html.as_bytes()).context("write report.html")
}

#[cfg(test)]
mod tests;
