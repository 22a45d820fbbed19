//! What the doctor's script says of a host, read.

use std::collections::BTreeMap;

use crate::diagnostic::visible;

/// What became of an attempt to connect to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Connected.
    Open,
    /// The peer's kernel said no: packets pass.
    Refused,
    /// No answer.
    Silent,
    /// Its name has no address here.
    Unresolved,
}

/// One attempt to connect to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) peer: String,
    pub(super) port: u16,
    pub(super) answer: Answer,
}

/// Everything that the script said; control characters are visible in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Probe {
    said: BTreeMap<String, String>,
    pub(super) attempts: Vec<Attempt>,
}

impl Probe {
    /// Reads the script's output; what is no `key=value` belongs to the value before it.
    pub(super) fn parse(text: &str) -> Self {
        let mut probe = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = visible(value.trim());
            match key {
                "peer" => probe.attempts.extend(attempt(&value)),
                _ if value.is_empty() => {}
                _ => {
                    probe.said.entry(key.to_owned()).or_insert(value);
                }
            }
        }
        probe
    }

    /// What it said for a key, unless that was nothing.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.said.get(key).map(String::as_str)
    }

    /// A number it said; 0 where it said none.
    pub(super) fn count(&self, key: &str) -> u64 {
        self.get(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// Whether the script ran as root.
    pub(super) fn is_root(&self) -> bool {
        self.get("uid") == Some("0")
    }

    /// How many nodes the broker sees running.
    pub(super) fn cluster_size(&self) -> Option<usize> {
        let status: serde_json::Value = serde_json::from_str(self.get("cluster")?).ok()?;
        Some(status.get("running_nodes")?.as_array()?.len())
    }
}

fn attempt(text: &str) -> Option<Attempt> {
    let mut words = text.split(' ');
    let (peer, port) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let answer = match words.next()? {
        "open" => Answer::Open,
        "refused" => Answer::Refused,
        "silent" => Answer::Silent,
        "unresolved" => Answer::Unresolved,
        _ => return None,
    };
    Some(Attempt { peer, port, answer })
}
