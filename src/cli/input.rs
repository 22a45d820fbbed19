//! Files that the user names, read at the edge: bounded, decoded, and where that fails with
//! the next step. Whatever is wrong with them is a [`UsageError`], exit code 254.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::diagnostic::{Diagnostics, nearest, visible};
use crate::inventory::{self, Inventory, KeyFile, Surroundings};
use crate::yaml::TEXT_BYTES_MAX;

/// Names looked at for a suggestion when a file is not there.
const SIBLINGS_MAX: usize = 1_000;

/// For a file to be read.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// What was typed, or a file that was named, cannot be used. The text is for the terminal
/// as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Reads and validates an inventory; warnings come with it.
///
/// # Errors
///
/// The file cannot be read, or everything that is wrong in it.
pub fn read_inventory(path: &Path) -> Result<(Inventory, Diagnostics), UsageError> {
    let text = read_text(path, "inventory")?;
    inventory::parse(path, &text, &ThisMachine).map_err(|told| UsageError(told.to_string()))
}

/// Reads a text file of at most [`TEXT_BYTES_MAX`]. `what` names its role: `inventory`.
///
/// # Errors
///
/// It is missing, a directory, too large, not text, or may not be read.
pub fn read_text(path: &Path, what: &str) -> Result<String, UsageError> {
    let bytes = read_within(path, READ_DEADLINE).map_err(|error| refused(path, what, &error))?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(mistake(
            path,
            &format!("the {what} is larger than {TEXT_BYTES_MAX} bytes"),
            "is this the right file? an inventory or a scenario has a few kilobytes",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count();
        mistake(
            path,
            &format!("the {what} is not text in UTF-8 (first seen on line {line})"),
            "is this the right file? if it is in another encoding, save it as UTF-8",
        )
    })
}

/// The same as [`read_bytes`], by then: a pipe may have nobody who writes to it.
fn read_within(path: &Path, deadline: Duration) -> io::Result<Vec<u8>> {
    let (answer, answered) = mpsc::channel();
    let path = path.to_owned();
    thread::spawn(move || {
        let _nobody_waits = answer.send(read_bytes(&path));
    });
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    answered.recv_timeout(deadline).unwrap_or_else(late)
}

/// The bytes, at most one more than allowed: a device may never end.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn refused(path: &Path, what: &str, error: &io::Error) -> UsageError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let remedy = match sibling(path) {
                Some(name) => format!("did you mean `{}`?", path.with_file_name(name).display()),
                None => format!(
                    "name an existing file; examples are in the directory `{}` of jtest's source",
                    if what == "inventory" {
                        "inventory"
                    } else {
                        "scenarios"
                    }
                ),
            };
            mistake(path, &format!("there is no such {what}"), &remedy)
        }
        io::ErrorKind::IsADirectory => mistake(
            path,
            &format!("the {what} is a directory"),
            "name the file in it",
        ),
        io::ErrorKind::TimedOut => mistake(
            path,
            &format!(
                "the {what} did not come within {} s",
                READ_DEADLINE.as_secs()
            ),
            "is it a pipe that nobody writes to? name a file",
        ),
        io::ErrorKind::PermissionDenied => mistake(
            path,
            &format!("the {what} may not be read by this user"),
            "run jtest as a user who may, or change the file's mode",
        ),
        _ => mistake(
            path,
            &format!("the {what} cannot be read: {error}"),
            "check the path",
        ),
    }
}

/// In the form of the diagnostics that concern a file as a whole.
fn mistake(path: &Path, message: &str, remedy: &str) -> UsageError {
    UsageError(format!(
        "error: {}\n  --> {}\n  = help: {}",
        visible(message),
        visible(&path.to_string_lossy()),
        visible(remedy)
    ))
}

/// The file beside a missing one that was probably meant.
fn sibling(path: &Path) -> Option<String> {
    let directory = match path.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    let names: Vec<String> = fs::read_dir(directory)
        .ok()?
        .take(SIBLINGS_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let name = path.file_name()?.to_str()?;
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// The machine that jtest runs on.
#[derive(Debug, Clone, Copy)]
pub struct ThisMachine;

impl Surroundings for ThisMachine {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn home(&self) -> Option<PathBuf> {
        std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
    }

    fn key_file(&self, path: &Path) -> KeyFile {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return KeyFile::Unreadable;
            }
            Err(_) => return KeyFile::Missing,
        };
        if !metadata.is_file() {
            return KeyFile::NotAFile;
        }
        if File::open(path).is_err() {
            return KeyFile::Unreadable;
        }
        // As ssh does: another user's file is that user's to protect.
        let own = own_uid().is_none_or(|uid| uid == metadata.uid());
        if own && metadata.mode() & 0o077 != 0 {
            return KeyFile::OpenToOthers(metadata.mode());
        }
        KeyFile::Fine
    }
}

/// The user's number; the kernel owns a process's directory in its name.
fn own_uid() -> Option<u32> {
    Some(fs::metadata("/proc/self").ok()?.uid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(path: &Path, expected: &[&str]) {
        let told = read_inventory(path).unwrap_err().0;
        for part in expected {
            assert!(told.contains(part), "{part:?} should be in\n{told}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let error = read_within(&pipe, Duration::from_millis(100)).unwrap_err();
        let told = refused(&pipe, "inventory", &error).0;
        assert!(told.contains("did not come within 10 s"), "{told}");
        File::options().write(true).open(&pipe).unwrap();
    }

    #[test]
    fn files_that_cannot_be_an_inventory() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        check(directory.path(), &["is a directory", "name the file in it"]);
        check(
            &directory.path().join("nothing"),
            &["no such inventory", "examples are in"],
        );
        file("lab.yaml", b"");
        check(
            &directory.path().join("lab.yml"),
            &["did you mean", "/lab.yaml`"],
        );
        check(
            &file("latin1", b"all:\n  # caf\xe9\n"),
            &["not text in UTF-8", "on line 2"],
        );
        check(&file("nul", b"all:\0"), &["U+0000"]);
        check(&file("empty", b""), &["names no hosts"]);
        check(
            &file("just_too_large", &vec![b'#'; TEXT_BYTES_MAX + 1]),
            &["larger than"],
        );
        check(Path::new("/dev/zero"), &["larger than"]);
        check(&file("a\u{1b}[2Jb", b""), &["a\\u{1b}[2Jb"]);
    }

    #[test]
    fn a_file_of_100_mb_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("big.yaml");
        File::create(&path).unwrap().set_len(100_000_000).unwrap();
        check(&path, &["larger than"]);
    }

    #[test]
    fn key_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert_eq!(ThisMachine.key_file(&path), KeyFile::Missing);
        assert_eq!(ThisMachine.key_file(directory.path()), KeyFile::NotAFile);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            ThisMachine.key_file(&path),
            KeyFile::OpenToOthers(0o100_640)
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(ThisMachine.key_file(&path), KeyFile::Fine);
    }

    #[test]
    fn an_inventory_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        fs::write(&key, "").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let path = directory.path().join("lab.yaml");
        fs::write(
            &path,
            "all:\n  hosts:\n    n[1:5]:\n  vars:\n    ansible_private_key_file: key\n",
        )
        .unwrap();
        let (inventory, warnings) = read_inventory(&path).unwrap();
        assert!(warnings.is_empty(), "{warnings}");
        assert_eq!(inventory.nodes.len(), 5);
        assert_eq!(
            inventory.nodes[4].private_key_file.as_deref(),
            Some(key.as_path())
        );
    }
}
