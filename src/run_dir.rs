//! Files of a run directory: read only where they are plain files, and written whole.
//!
//! A run directory may come from somebody else. A pipe in it would be waited for without end, a
//! device has none, and a link would lead the writing to another file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use sha1::{Digest, Sha1};

/// Everything that a run writes in its directory. `jtest runs gc` removes no directory that has anything else in it.
pub const FILES: [&str; 8] = [
    "events.jsonl",
    "history.arrow",
    "jtest.log",
    "junit.xml",
    "nodes",
    "report.html",
    "results.json",
    "run.json",
];

/// Everything that is collected of a node, in `nodes/NODE`.
pub const NODE_FILES: [&str; 7] = [
    "cluster_status.txt",
    "config",
    "kernel.log",
    "log",
    "queues.txt",
    "status.json",
    "unit.log",
];

/// How many bytes a file has, and their SHA-1 in hexadecimal digits.
///
/// # Errors
///
/// It cannot be read.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut hashing = Hashing(Sha1::new());
    let bytes = io::copy(&mut open(path)?, &mut hashing)?;
    let digest = hashing.0.finalize();
    Ok((
        bytes,
        digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}

struct Hashing(Sha1);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a file for reading.
///
/// # Errors
///
/// It cannot be opened, or is a pipe, a socket or a device.
pub fn open(path: &Path) -> io::Result<File> {
    let about = fs::metadata(path)?;
    if !about.is_file() && !about.is_dir() {
        return Err(io::Error::other("it is no file, but a pipe or a device"));
    }
    File::open(path)
}

/// Writes a file, whole or not at all: what stood there is replaced, not written into.
///
/// # Errors
///
/// It cannot be written; what stood there is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = OsString::from(path);
    new.push(".new");
    let written = write_new(new.as_ref(), bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _nothing_is_left = fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_no_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("zeros");
        symlink("/dev/zero", &link).unwrap();
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [link, socket] {
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains("a pipe or a device"), "{error}");
        }
        assert!(open(&directory.path().join("nothing")).is_err());
    }

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("precious");
        fs::write(&target, "mine").unwrap();
        let path = directory.path().join("results.json");
        symlink(&target, &path).unwrap();
        symlink(&target, directory.path().join("results.json.new")).unwrap();
        write(&path, b"{}").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        assert!(!path.is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_replaced_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.json");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"{}").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
