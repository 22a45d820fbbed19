//! Mistakes in files that people write: what is wrong, where, and how to mend it.
//!
//! The inventory and the scenarios are read into a raw form that keeps positions, then
//! validated; validation never stops at the first mistake, it collects [`Diagnostic`]s.

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the file is used all the same.
    Warning,
    /// The file cannot be used.
    Error,
}

/// A place in a file. Lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One mistake (or warning) in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: String,
    /// Where in the file, unless it concerns the file as a whole.
    pub place: Option<Place>,
    /// What is wrong, a lower-case sentence without a full stop.
    pub message: String,
    /// The line of the file at `place`, as it stands there.
    pub snippet: Option<String>,
    /// What the user can do about it.
    pub remedy: String,
}

/// Everything that was found in one file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);
