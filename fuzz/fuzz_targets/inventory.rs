#![no_main]
//! An inventory, as somebody may write it: an error with its place, never a panic.

use std::path::{Path, PathBuf};

use jtest::inventory::{KeyFile, Surroundings, parse};
use libfuzzer_sys::fuzz_target;

/// A machine on which every variable is set and every key is fine.
struct Fine;

impl Surroundings for Fine {
    fn env(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/somebody".into())
    }

    fn key_file(&self, _path: &Path) -> KeyFile {
        KeyFile::Fine
    }
}

fuzz_target!(|text: &str| {
    match parse(Path::new("fuzzed.yaml"), text, &Fine) {
        Ok((inventory, _warnings)) => assert!(!inventory.nodes.is_empty()),
        Err(told) => assert!(!told.to_string().is_empty()),
    }
});
