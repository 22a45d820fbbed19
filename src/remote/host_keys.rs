//! Is this the host that we know? Known-hosts files as sshd(8) documents them.
//!
//! Hashed names, `[host]:port`, wildcards, negation, `@revoked`, several files. A line for
//! another port does not count, but one without a port does, as for OpenSSH. Certificates
//! (`@cert-authority`) are not asked for, so such a line proves nothing; where it is
//! all there is, the message says so. A host that is known under another algorithm only is
//! not an unknown one: accepting its new key unseen would let in an impostor.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha1::Sha1;

#[cfg(test)]
mod tests;

/// A known-hosts file is read whole.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// For the lock on a known-hosts file that is added to.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);

/// By what a host is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    /// The name, or the alias of ssh_config, in lower case.
    pub name: String,
    /// The port of its server.
    pub port: u16,
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            22 => f.write_str(&self.name),
            port => write!(f, "[{}]:{port}", self.name),
        }
    }
}

/// A line of a known-hosts file that speaks of the host.
#[derive(Debug, Clone)]
struct Line {
    file: PathBuf,
    number: usize,
    /// Names the port, where it is not 22.
    exact: bool,
    marker: Option<Marker>,
    key: PublicKey,
}

impl Line {
    fn place(&self) -> String {
        format!("{} line {}", self.file.display(), self.number)
    }
}

/// All that the known-hosts files say of one host.
#[derive(Debug, Clone)]
pub struct Known {
    host: HostName,
    files: Vec<PathBuf>,
    lines: Vec<Line>,
}

/// The result of comparing a host's key with what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The key is listed.
    Match,
    /// No file says anything of the host; the message tells how to accept it.
    Unknown(String),
    /// Another key of the same algorithm is listed.
    Changed(String),
    /// The key is marked as revoked.
    Revoked(String),
    /// Only keys of other algorithms are listed.
    OtherAlgorithm(String),
}

impl Known {
    /// Reads what the files say of `host`; a file that is missing says nothing.
    pub fn read(host: HostName, files: &[PathBuf]) -> io::Result<Self> {
        let mut lines = Vec::new();
        for file in files {
            let text = match File::open(file) {
                Ok(open) => read_bounded(&open)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("{}: {error}", file.display()),
                    ));
                }
            };
            lines.extend(lines_about(&host, file, &text));
        }
        Ok(Self {
            host,
            files: files.to_vec(),
            lines,
        })
    }

    /// The algorithms under which the host is known, to be asked for first.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let plain = self.lines.iter().filter(|line| line.marker.is_none());
        plain.map(|line| line.key.algorithm()).collect()
    }

    /// Compares.
    pub fn check(&self, presented: &PublicKey) -> Finding {
        let same = |line: &&Line| line.key.key_data() == presented.key_data();
        let revoked = self
            .lines
            .iter()
            .filter(|l| l.marker == Some(Marker::Revoked));
        if let Some(line) = revoked.clone().find(same) {
            return Finding::Revoked(self.revoked(presented, line));
        }
        let plain: Vec<&Line> = self.lines.iter().filter(|l| l.marker.is_none()).collect();
        if plain.iter().any(same) {
            return Finding::Match;
        }
        // A line that does not name the port vouches for a key, but accuses none.
        let exact: Vec<&Line> = plain.into_iter().filter(|line| line.exact).collect();
        let algorithm = presented.algorithm();
        match exact.iter().find(|line| line.key.algorithm() == algorithm) {
            Some(line) => Finding::Changed(self.changed(presented, line)),
            None if exact.is_empty() => Finding::Unknown(self.unknown(presented)),
            None => Finding::OtherAlgorithm(self.other_algorithm(presented, &exact)),
        }
    }

    fn unknown(&self, presented: &PublicKey) -> String {
        let authority = self
            .lines
            .iter()
            .find(|l| l.marker == Some(Marker::CertAuthority));
        let note = authority.map_or(String::new(), |line| {
            format!(
                " ({} names a certificate authority for it, but host certificates are not supported)",
                line.place()
            )
        });
        let files: Vec<String> = self.files.iter().map(|f| f.display().to_string()).collect();
        let files = if files.is_empty() {
            "no file at all".into()
        } else {
            files.join(", ")
        };
        format!(
            "the key of {} is unknown: {} is not listed in {files}{note}; compare it with \
             `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the host, then add it, or let it be \
             remembered by --host-keys accept-new",
            self.host,
            describe(presented),
            short_name(&presented.algorithm()),
        )
    }

    fn changed(&self, presented: &PublicKey, line: &Line) -> String {
        format!(
            "the key of {} has CHANGED: it presented {}, {} has {}; either the host was \
             installed anew or someone stands in between. If you know why, remove the old key by \
             `ssh-keygen -f {} -R '{}'` and accept the new one by --host-keys accept-new",
            self.host,
            describe(presented),
            line.place(),
            describe(&line.key),
            line.file.display(),
            self.host,
        )
    }

    fn revoked(&self, presented: &PublicKey, line: &Line) -> String {
        format!(
            "the key of {} is REVOKED: {} is marked @revoked in {}; give the host a new key; \
             only --host-keys off would connect, and it checks nothing",
            self.host,
            describe(presented),
            line.place(),
        )
    }

    fn other_algorithm(&self, presented: &PublicKey, known: &[&Line]) -> String {
        let listed: Vec<String> = known
            .iter()
            .map(|line| format!("{} in {}", line.key.algorithm(), line.place()))
            .collect();
        format!(
            "{} is known under another algorithm only: it presented {}, listed is {}; it did not \
             offer the key that is known. If you know why, compare the new key on the \
             host and add it to the file; accept-new does not accept it",
            self.host,
            describe(presented),
            listed.join(", "),
        )
    }
}

fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

/// As in the names of the host's own key files.
fn short_name(algorithm: &Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Ed25519 => "ed25519",
        Algorithm::Ecdsa { .. } => "ecdsa",
        Algorithm::Rsa { .. } => "rsa",
        _ => "*",
    }
}

fn read_bounded(file: &File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines that cannot be read (an algorithm not supported here, junk) say nothing, as for
/// OpenSSH.
fn lines_about(host: &HostName, file: &Path, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        let Ok(entry) = words.join(" ").parse::<Entry>() else {
            tracing::debug!(file = %file.display(), line = index + 1, "unreadable known-hosts line");
            continue;
        };
        let exact = is_about(entry.host_patterns(), &host.to_string());
        if exact || is_about(entry.host_patterns(), &host.name) {
            lines.push(Line {
                file: file.to_owned(),
                number: index + 1,
                exact,
                marker: entry.marker().copied(),
                key: entry.public_key().clone(),
            });
        }
    }
    lines
}

fn is_about(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(negated) if glob(negated, name) => return false,
                    Some(_) => {}
                    None => found |= glob(pattern, name),
                }
            }
            found
        }
    }
}

/// `*` and `?`, the case ignored; linear but for one step back to the last `*`.
fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Adds a key to a known-hosts file, under a lock, unless it is there by now. Another key
/// that came in between is an error.
pub fn remember(host: &HostName, file: &Path, key: &PublicKey) -> io::Result<()> {
    if let Some(directory) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let mut open = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    lock(&open)?;
    let text = read_bounded(&open)?;
    let lines = lines_about(host, file, &text);
    if let Some(line) = lines
        .iter()
        .find(|line| line.exact && line.marker.is_none())
    {
        return if line.key.key_data() == key.key_data() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "{} has another key by now",
                line.place()
            )))
        };
    }
    let algorithm_and_key = key.to_openssh().map_err(io::Error::other)?;
    let words: Vec<&str> = algorithm_and_key.split_whitespace().take(2).collect();
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    open.seek(io::SeekFrom::End(0))?;
    open.write_all(format!("{gap}{host} {}\n", words.join(" ")).as_bytes())
}

fn lock(file: &File) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if started.elapsed() > LOCK_DEADLINE => {
                return Err(io::Error::other(format!(
                    "someone has held its lock for {} s",
                    LOCK_DEADLINE.as_secs()
                )));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
