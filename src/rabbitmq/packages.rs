//! Packages on the control node, for hosts that cannot fetch their own.

use std::io;
use std::path::{Path, PathBuf};

use super::deploy::DeployError;

/// Bytes of all packages together; they are held in memory on their way.
const BYTES_MAX: u64 = 512 << 20;

/// The `.deb` files of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packages {
    files: Vec<PathBuf>,
    /// The version of the broker among them.
    pub version: String,
}

impl Packages {
    /// Looks which there are.
    pub(super) fn find(directory: &Path) -> Result<Self, DeployError> {
        find(directory).map_err(|error| failed(directory, error))
    }

    /// All of them in one archive.
    pub(super) fn pack(&self, directory: &Path) -> Result<Vec<u8>, DeployError> {
        pack(&self.files).map_err(|error| failed(directory, error))
    }
}

fn failed(directory: &Path, error: io::Error) -> DeployError {
    DeployError::Debs {
        directory: directory.display().to_string(),
        error,
    }
}

fn find(directory: &Path) -> io::Result<Packages> {
    let mut files = Vec::new();
    let mut version = None;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".deb") {
            continue;
        }
        if let Some(rest) = name.strip_prefix("rabbitmq-server_") {
            let found = broker_version(rest);
            if version.replace(found).is_some() {
                return Err(io::Error::other(
                    "it holds more than one rabbitmq-server; leave one",
                ));
            }
        }
        files.push(path);
    }
    files.sort();
    let version = version.ok_or_else(|| {
        io::Error::other("there is no rabbitmq-server_VERSION_all.deb in it; `apt-get download` fetches packages")
    })?;
    Ok(Packages { files, version })
}

/// From the rest of a file's name: apt writes `:` as `%3a`.
fn broker_version(rest: &str) -> String {
    let version = rest.split('_').next().unwrap_or_default();
    version.replace("%3a", ":")
}

fn pack(files: &[PathBuf]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut bytes = 0;
    for path in files {
        bytes += std::fs::metadata(path)?.len();
        if bytes > BYTES_MAX {
            return Err(io::Error::other(format!(
                "they are larger than {BYTES_MAX} bytes"
            )));
        }
        let name = path.file_name().unwrap_or_default();
        archive.append_path_with_name(path, name)?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_version_is_known_before_anything_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let add = |name: &str| std::fs::write(directory.path().join(name), name).unwrap();
        assert!(Packages::find(directory.path()).is_err());
        add("erlang-base_1%3a25.2.3+dfsg-1_amd64.deb");
        add("README");
        assert!(Packages::find(directory.path()).is_err());
        add("rabbitmq-server_1%3a3.10.8-1.1+deb12u1_all.deb");
        let packages = Packages::find(directory.path()).unwrap();
        assert_eq!(packages.version, "1:3.10.8-1.1+deb12u1");

        let packed = packages.pack(directory.path()).unwrap();
        let mut names: Vec<_> = tar::Archive::new(packed.as_slice())
            .entries()
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "erlang-base_1%3a25.2.3+dfsg-1_amd64.deb",
                "rabbitmq-server_1%3a3.10.8-1.1+deb12u1_all.deb"
            ]
        );

        add("rabbitmq-server_4.0.5-8_all.deb");
        assert!(Packages::find(directory.path()).is_err());
    }
}
