//! What the path of a request names.
//!
//! The path is taken as it was sent and decoded once, segment by segment, so that no encoded slash becomes a step
//! and nothing that was encoded twice becomes anything.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use percent_encoding::percent_encode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::runs::RunName;

/// Bytes of a path, at most.
const BYTES_MAX: usize = 8 << 10;

/// What stays as it is in a link.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the path of a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The page of a run.
    Run(RunName),
    /// A file of a run, by the names on the way to it.
    File(RunName, Vec<OsString>),
}

/// Reads a path, `/runs/SCENARIO/TIME/` or `/runs/SCENARIO/TIME/FILE`; `None` where it names nothing that could be.
pub fn named(path: &str) -> Option<Named> {
    if path.len() > BYTES_MAX {
        return None;
    }
    let segments = path.strip_prefix("/runs/")?.split('/');
    let mut names: Vec<OsString> = segments.map(decoded).collect();
    // `TIME/` is the run's page, so that what it links to is beside it.
    let is_page = names.len() == 3 && names.last().is_some_and(|last| last.is_empty());
    if is_page {
        names.pop();
    }
    if names.len() < 2 || !names.iter().all(|name| is_name(name)) {
        return None;
    }
    let files = names.split_off(2);
    let run = RunName::new(&names[0], &names[1])?;
    match (is_page, files.is_empty()) {
        (true, _) => Some(Named::Run(run)),
        (false, true) => None,
        (false, false) => Some(Named::File(run, files)),
    }
}

fn decoded(segment: &str) -> OsString {
    OsString::from_vec(percent_decode_str(segment).collect())
}

fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !matches!(bytes, b"" | b"." | b"..")
        && !bytes.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0))
}

/// The link to the page of a run.
pub fn run_link(run: &str) -> String {
    let segments = run
        .split('/')
        .map(|segment| utf8_percent_encode(segment, PLAIN).to_string());
    format!("/runs/{}/", segments.collect::<Vec<_>>().join("/"))
}

/// The link from the page of a run to a file of it.
pub fn file_link(file: &[OsString]) -> String {
    let segments = file
        .iter()
        .map(|name| percent_encode(name.as_bytes(), PLAIN).to_string());
    format!("./{}", segments.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUN: &str = "/runs/cut/20261123T090807Z";

    fn file(path: &str) -> Option<Vec<OsString>> {
        match named(path)? {
            Named::File(_, file) => Some(file),
            Named::Run(_) => None,
        }
    }

    #[test]
    fn runs_and_files_are_named() {
        assert!(
            matches!(named(&format!("{RUN}/")), Some(Named::Run(run)) if run.scenario == "cut")
        );
        for (path, names) in [
            ("/report.html", &["report.html"][..]),
            (
                "/nodes/n1/log/rabbit%40n1.log",
                &["nodes", "n1", "log", "rabbit@n1.log"],
            ),
            ("/%252e%252e/x", &["%2e%2e", "x"]),
            ("/...", &["..."]),
        ] {
            let expected: Vec<OsString> = names.iter().map(Into::into).collect();
            assert_eq!(file(&format!("{RUN}{path}")), Some(expected), "{path}");
        }
    }

    #[test]
    fn hostile_paths_name_nothing() {
        let long = format!("{RUN}/{}", "a/".repeat(BYTES_MAX));
        for path in [
            "",
            "/",
            "/runs",
            "/runs/",
            "/runs//",
            "/runs/cut",
            "/runs/cut/",
            RUN,
            "/runs/cut/latest/",
            "/runs/latest/",
            "/runs/../20261123T090807Z/x",
            "/runs/%2e%2e/20261123T090807Z/x",
            "/runs/a%2f..%2f../20261123T090807Z/x",
            "/etc/passwd",
            "//etc/passwd",
            "/runs/cut/20261123T090807Z/../x",
            "/runs/cut/20261123T090807Z/%2e%2e/x",
            "/runs/cut/20261123T090807Z/.%2E/x",
            "/runs/cut/20261123T090807Z/..%2fx",
            "/runs/cut/20261123T090807Z/..%5cx",
            "/runs/cut/20261123T090807Z/a%00",
            "/runs/cut/20261123T090807Z//etc/passwd",
            "/runs/cut/20261123T090807Z/%2fetc%2fpasswd",
            "/runs/cut/20261123T090807Z/nodes/",
            "/runs/cut/20261123T090807Z//",
            "/runs/cut/20261123T090807Z/./x",
            &long,
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_link_names_its_file(names in prop::collection::vec("[^/\\\\\0]{1,9}", 1..5)) {
            prop_assume!(names.iter().all(|name| name != "." && name != ".."));
            let names: Vec<OsString> = names.into_iter().map(OsString::from).collect();
            let link = file_link(&names);
            let path = format!("{RUN}/{}", link.strip_prefix("./").unwrap_or_default());
            prop_assert_eq!(file(&path), Some(names));
        }

        #[test]
        fn no_path_names_a_step(path in "(/runs/cut/20261123T090807Z)?(/|%2f|%2e|[.]|%00|%5c|a|%25|\\PC){0,20}") {
            if let Some(Named::File(_, names)) = named(&path) {
                prop_assert!(names.iter().all(|name| is_name(name)));
            }
        }
    }
}
