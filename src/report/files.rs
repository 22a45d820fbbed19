//! Files that the nodes left, read as data from somebody else: only plain files that lie inside the
//! run directory, and no more of them than a bound.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::inventory::NodeName;
use crate::run_dir;

/// Files looked at in one directory.
const FILES_MAX: usize = 64;

/// The directory of a node's files; none for a name that is no name of a directory.
pub fn of_node(directory: &Path, node: &NodeName) -> Option<PathBuf> {
    let name = &node.0;
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    is_plain.then(|| directory.join("nodes").join(name))
}

/// The names of the plain files of a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let files = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut names: Vec<String> = files
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.truncate(FILES_MAX);
    names
}

/// Opens a file that lies inside the run directory, also when all links are followed.
pub fn open(run_directory: &Path, path: &Path) -> Option<File> {
    let home = fs::canonicalize(run_directory).ok()?;
    let path = fs::canonicalize(path).ok()?;
    if !path.starts_with(home) {
        return None;
    }
    run_dir::open(&path).ok()
}

/// The beginning of such a file, and whether that is all of it.
pub fn beginning(run_directory: &Path, path: &Path, bytes_max: u64) -> Option<(String, bool)> {
    let mut bytes = Vec::new();
    let file = open(run_directory, path)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).ok()?;
    let is_all = bytes.len() as u64 <= bytes_max;
    if !is_all {
        bytes.pop();
    }
    Some((String::from_utf8_lossy(&bytes).into_owned(), is_all))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_the_run_directory_is_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let run = tempfile::tempdir().unwrap();
        let nodes = run.path().join("nodes");
        fs::create_dir_all(nodes.join("n1")).unwrap();
        fs::write(nodes.join("n1/own"), "own").unwrap();
        symlink(outside.path().join("secret"), nodes.join("n1/link")).unwrap();
        symlink(outside.path(), nodes.join("n2")).unwrap();
        let read = |path: &str| beginning(run.path(), &nodes.join(path), 2);
        assert_eq!(read("n1/own"), Some(("ow".to_owned(), false)));
        for path in ["n1/link", "n2/secret", "n1/../../../secret", "n1"] {
            assert_eq!(read(path), None, "{path}");
        }
        assert_eq!(names(&nodes.join("n1")), ["own"]);
        for name in ["..", "a/b", ".ssh", ""] {
            assert_eq!(of_node(run.path(), &NodeName(name.into())), None, "{name}");
        }
    }
}
