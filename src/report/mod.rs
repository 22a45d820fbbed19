//! What people and machines read of a run: the terminal's summary, `junit.xml`, `report.html`.
//!
//! Everything is made from the run directory, so `jtest check` makes the same again.

mod html;
mod junit;
mod objects;
pub mod terminal;

use std::path::Path;

use anyhow::Context;

use crate::check::results::Results;
use crate::manifest::Manifest;
use crate::run_dir;

/// Writes `junit.xml` and `report.html` into the run directory.
pub fn write(directory: &Path, results: &Results) -> anyhow::Result<()> {
    let manifest = Manifest::read(directory)?;
    let junit = junit::text(results).context("make junit.xml")?;
    run_dir::write(&directory.join("junit.xml"), junit.as_bytes()).context("write junit.xml")?;
    let html = html::text(&manifest, results).context("make report.html")?;
    run_dir::write(&directory.join("report.html"), html.as_bytes()).context("write report.html")
}

#[cfg(test)]
mod tests;
