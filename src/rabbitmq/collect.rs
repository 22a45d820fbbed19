//! Logs, configuration and last words of every node come home, compressed on the way.
//!
//! What a host sends is data from outside: only plain files are unpacked, under names made
//! safe, up to a bound. A part that is missing never costs the others.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::read::GzDecoder;
use futures_util::future::{join_all, join3};
use tar::Archive;

use super::status::{ask_member, question};
use super::{Broker, Member, queues};
use crate::inventory::NodeName;
use crate::remote::{RemoteError, Script};
use crate::scenario::Queue;

const COLLECT: &str = include_str!("collect.sh");
const DEADLINE: Duration = Duration::from_secs(120);

/// Compressed bytes of one node at most.
const PACKED_MAX: usize = 256 << 20;

/// Unpacked bytes of one node at most.
const UNPACKED_MAX: u64 = 1 << 30;

/// Why a node's files did not come home.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The host could not send them.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// They could not be unpacked or written here.
    #[error("{node}: cannot unpack its logs: {error}")]
    Unpack {
        /// The host.
        node: NodeName,
        /// The reason.
        error: io::Error,
    },
    /// There are too many.
    #[error("{0}: its logs are larger than {PACKED_MAX} bytes, compressed")]
    TooLarge(NodeName),
}

impl Broker {
    /// Collects every node's files into `directory/<node>/`, all at once; `since` is in seconds
    /// of the Unix epoch.
    pub async fn collect(
        &self,
        directory: &Path,
        since: i64,
    ) -> BTreeMap<NodeName, Result<(), CollectError>> {
        collect(
            &self.members,
            &self.credentials.vhost,
            &self.queue,
            directory,
            since,
        )
        .await
    }
}

/// The same for members of which no cluster came to be.
pub async fn collect(
    members: &[Member],
    vhost: &str,
    queue: &Queue,
    directory: &Path,
    since: i64,
) -> BTreeMap<NodeName, Result<(), CollectError>> {
    let question = question(vhost, queue);
    join_all(members.iter().map(async |member| {
        let home = directory.join(&member.name.0);
        let outcome = collect_member(member, &question, home, since).await;
        (member.name.clone(), outcome)
    }))
    .await
    .into_iter()
    .collect()
}

async fn collect_member(
    member: &Member,
    question: &str,
    home: PathBuf,
    since: i64,
) -> Result<(), CollectError> {
    let (fetched, last_words, queues) = join3(
        fetch(member, since),
        ask_member::<serde_json::Value>(member, question),
        queues::table(member),
    )
    .await;
    let (packed, ended) = fetched;
    let last_words = match last_words {
        Ok(answer) => format!("{answer:#}\n"),
        Err(error) => format!("{error}\n"),
    };
    let queues = queues.unwrap_or_else(|error| format!("{error}\n"));
    let wanted = Wanted::default();
    let is_wanted = Arc::clone(&wanted.0);
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut part = home.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        std::fs::create_dir_all(&part)?;
        std::fs::write(part.join("status.json"), last_words)?;
        std::fs::write(part.join("queues.txt"), queues)?;
        let unpacked = unpack(&packed, &part);
        if is_wanted.load(Ordering::SeqCst) {
            std::fs::rename(&part, &home)?;
        } else {
            std::fs::remove_dir_all(&part)?;
        }
        unpacked
    })
    .await
    .unwrap_or_else(|panic| Err(io::Error::other(panic)));
    // What came of a transfer that broke off is kept; why it did is the better error.
    ended?;
    unpacked.map_err(|error| CollectError::Unpack {
        node: member.name.clone(),
        error,
    })
}

/// Set as long as somebody waits for what is unpacked. Nobody can stop the thread that does it, and what it
/// gave later would not be what the verdict was made of.
struct Wanted(Arc<AtomicBool>);

impl Default for Wanted {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// What the host sent, and how that ended.
async fn fetch(member: &Member, since: i64) -> (Vec<u8>, Result<(), CollectError>) {
    let mut packed = Vec::new();
    let ended = fetch_into(&mut packed, member, since).await;
    (packed, ended)
}

async fn fetch_into(packed: &mut Vec<u8>, member: &Member, since: i64) -> Result<(), CollectError> {
    let script = Script::new("collect its logs", COLLECT)
        .arg(since.to_string())
        .deadline(DEADLINE);
    let mut process = member.host.open(&script).await?;
    while let Some(chunk) = process.read_chunk().await? {
        if packed.len() + chunk.len() > PACKED_MAX {
            return Err(CollectError::TooLarge(member.name.clone()));
        }
        packed.extend_from_slice(&chunk);
    }
    process.finish().await?;
    Ok(())
}

fn unpack(packed: &[u8], home: &Path) -> io::Result<()> {
    let bounded = GzDecoder::new(packed).take(UNPACKED_MAX);
    for entry in Archive::new(bounded).entries()? {
        let mut entry = entry?;
        let Some(name) = safe(&entry.path()?) else {
            continue;
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = home.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut std::fs::File::create(path)?)?;
    }
    Ok(())
}

/// The path inside the node's directory; `None` for one that leads nowhere or out of it.
fn safe(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!inside.as_os_str().is_empty()).then_some(inside)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn pack(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut plain = Vec::new();
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_cksum();
            plain.extend_from_slice(header.as_bytes());
            plain.extend_from_slice(content);
            plain.resize(plain.len().next_multiple_of(512), 0);
        }
        plain.resize(plain.len() + 1024, 0);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&plain).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn only_plain_files_inside_the_directory_are_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("nodes/n1");
        let packed = pack(&[
            ("./log/rabbit@n1.log", tar::EntryType::Regular, b"started"),
            ("../escaped", tar::EntryType::Regular, b"no"),
            ("/tmp/jtest-escaped", tar::EntryType::Regular, b"no"),
            ("link", tar::EntryType::Symlink, b""),
        ]);
        unpack(&packed, &home).unwrap();
        let read = |name: &str| std::fs::read_to_string(home.join(name)).ok();
        assert_eq!(read("log/rabbit@n1.log").as_deref(), Some("started"));
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
        assert!(!directory.path().join("nodes/escaped").exists());
        assert!(!Path::new("/tmp/jtest-escaped").exists());
    }

    #[test]
    fn a_torn_archive_is_an_error_and_keeps_what_came() {
        let directory = tempfile::tempdir().unwrap();
        let packed = pack(&[("log/a", tar::EntryType::Regular, b"content")]);
        assert!(unpack(&packed[..packed.len() / 2], directory.path()).is_err());
    }
}
