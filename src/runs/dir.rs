//! A directory that is looked into without ever following a link, so that nothing in it leads out of it.
//!
//! Each step is one name below a directory that is open already. That holds however the names were come by
//! and whatever is changed meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// Names read of one directory; one with more is an error.
const ENTRIES_MAX: usize = 100_000;

/// Directories within directories that are walked through.
const DEPTH_MAX: usize = 32;

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A plain file.
    File,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it stands for.
    pub kind: Kind,
    /// Bytes of a plain file.
    pub bytes: u64,
}

impl Dir {
    /// Opens a directory by its path, through links as well: the path is the user's own.
    ///
    /// # Errors
    ///
    /// It is not there, or not a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens a directory in this one.
    ///
    /// # Errors
    ///
    /// It is not there, not a directory, or a link to one.
    pub fn directory(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.0, single(name)?, flags, Mode::empty())?;
        Ok(Self(opened))
    }

    /// Opens a plain file, some directories below this one.
    ///
    /// # Errors
    ///
    /// It is not there or no plain file, or something on the way is a link.
    pub fn file<N: AsRef<OsStr>>(&self, path: &[N]) -> io::Result<File> {
        let Some((name, directories)) = path.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut below = None;
        for directory in directories {
            below = Some(
                below
                    .as_ref()
                    .unwrap_or(self)
                    .directory(directory.as_ref())?,
            );
        }
        below.as_ref().unwrap_or(self).own_file(name.as_ref())
    }

    fn own_file(&self, name: &OsStr) -> io::Result<File> {
        // A pipe would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.0, single(name)?, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| match error {
            rustix::io::Errno::LOOP => io::Error::other("it is a link, which is not followed"),
            error => error.into(),
        })?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        Ok(file)
    }

    /// The bytes of a plain file in this directory.
    ///
    /// # Errors
    ///
    /// As those of [`Dir::file`], or it is longer than allowed.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.file(&[name])?;
        file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            let error = format!("it is larger than {bytes_max} bytes");
            return Err(io::Error::other(error));
        }
        Ok(bytes)
    }

    /// Everything in it, by name.
    ///
    /// # Errors
    ///
    /// It cannot be listed, or has too many names.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == ENTRIES_MAX {
                return Err(io::Error::other(format!(
                    "it has more than {ENTRIES_MAX} names"
                )));
            }
            match rustix::fs::statat(&self.0, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(about) => entries.push(Entry {
                    name,
                    kind: kind(FileType::from_raw_mode(about.st_mode)),
                    bytes: u64::try_from(about.st_size).unwrap_or_default(),
                }),
                // It was removed meanwhile.
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Every plain file in it and below, in the order of their names, as its path and its bytes; at most so many.
    ///
    /// # Errors
    ///
    /// A directory cannot be listed, or lies too deep.
    pub fn files(&self, files_max: usize) -> io::Result<Vec<(Vec<OsString>, u64)>> {
        let mut files = Vec::new();
        self.walk(&mut Vec::new(), &mut files, files_max)?;
        Ok(files)
    }

    fn walk(
        &self,
        at: &mut Vec<OsString>,
        files: &mut Vec<(Vec<OsString>, u64)>,
        files_max: usize,
    ) -> io::Result<()> {
        if at.len() > DEPTH_MAX {
            return Err(io::Error::other(format!(
                "it is more than {DEPTH_MAX} directories deep"
            )));
        }
        for entry in self.entries()? {
            if files.len() == files_max {
                return Ok(());
            }
            at.push(entry.name);
            match (entry.kind, at.last()) {
                (Kind::File, _) => files.push((at.clone(), entry.bytes)),
                (Kind::Directory, Some(name)) => {
                    self.directory(name)?.walk(at, files, files_max)?;
                }
                (Kind::Directory | Kind::Link | Kind::Other, _) => {}
            }
            at.pop();
        }
        Ok(())
    }

    /// Whether a run writes in it just now. A file system without locks cannot tell, and says no.
    pub fn is_in_use(&self) -> bool {
        let Ok(directory) = self.0.try_clone().map(File::from) else {
            return false;
        };
        match directory.try_lock_shared() {
            Ok(()) => {
                let _goes_with_the_handle = directory.unlock();
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        }
    }

    /// Removes a directory of this one with everything in it. Links in it are removed, not followed.
    ///
    /// # Errors
    ///
    /// Something in it cannot be removed; what was removed before that is gone.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.remove_below(name, 0)
    }

    fn remove_below(&self, name: &OsStr, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!(
                "it is more than {DEPTH_MAX} directories deep"
            )));
        }
        let inside = self.directory(name)?;
        for entry in inside.entries()? {
            match entry.kind {
                Kind::Directory => inside.remove_below(&entry.name, depth + 1)?,
                Kind::File | Kind::Link | Kind::Other => {
                    rustix::fs::unlinkat(&inside.0, &entry.name, AtFlags::empty())?;
                }
            }
        }
        self.remove_empty(name)
    }

    /// Removes a directory of this one that has nothing in it.
    ///
    /// # Errors
    ///
    /// It has something in it, or cannot be removed.
    pub fn remove_empty(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.0,
            single(name)?,
            AtFlags::REMOVEDIR,
        )?)
    }
}

/// One name, not a path.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
        let error = "it is not the name of something in a directory";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    }
    Ok(name)
}

fn kind(of: FileType) -> Kind {
    match of {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, outside) = (directory.path().join("in"), directory.path().join("out"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(inside.join("a/b/file"), "mine").unwrap();
        fs::write(outside.join("secret"), "yours").unwrap();
        symlink("../out", inside.join("link")).unwrap();
        symlink("../../out/secret", inside.join("a/secret")).unwrap();
        let dir = Dir::open(&inside).unwrap();
        assert!(dir.file(&["a", "b", "file"]).is_ok());
        for path in [
            &["..", "out", "secret"][..],
            &["a", "..", "..", "out", "secret"],
            &["../out/secret"],
            &["link", "secret"],
            &["a", "secret"],
            &["/etc/passwd"],
            &["", "etc", "passwd"],
            &["."],
            &["a"],
            &["a/b/file"],
            &["a", "b", "file\0"],
            &[],
        ] {
            assert!(dir.file(path).is_err(), "{path:?}");
        }
        assert_eq!(
            dir.files(9).unwrap(),
            [(vec!["a".into(), "b".into(), "file".into()], 4)]
        );
    }

    #[test]
    fn pipes_are_not_waited_for_and_long_files_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(directory.path().join("pipe"))
            .status();
        assert!(made.unwrap().success());
        fs::write(directory.path().join("long"), [0; 10]).unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        let error = dir.read("pipe", 9).unwrap_err().to_string();
        assert!(error.contains("no plain file"), "{error}");
        assert!(
            dir.read("long", 9)
                .unwrap_err()
                .to_string()
                .contains("larger than 9 bytes")
        );
        assert_eq!(dir.read("long", 10).unwrap().len(), 10);
    }

    #[test]
    fn links_are_removed_and_what_they_point_to_stays() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "mine").unwrap();
        fs::create_dir_all(directory.path().join("gone/deep")).unwrap();
        symlink(&precious, directory.path().join("gone/deep/link")).unwrap();
        symlink(&precious, directory.path().join("link")).unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        assert!(dir.remove("link".as_ref()).is_err());
        assert!(dir.remove("..".as_ref()).is_err());
        dir.remove("gone".as_ref()).unwrap();
        let left: Vec<_> = dir
            .entries()
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(left, ["link", "precious"]);
        assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "mine");
    }

    #[test]
    fn a_lock_tells_that_it_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        let other = File::open(directory.path()).unwrap();
        other.try_lock().unwrap();
        assert!(dir.is_in_use());
        drop(other);
        assert!(!dir.is_in_use());
        File::open(directory.path()).unwrap().try_lock().unwrap();
    }
}
