//! The inventory: which hosts there are and how to reach them, in Ansible's YAML form.
//!
//! Pure: what must be asked of the world (does the key file exist, what is in the
//! environment) comes in through [`Surroundings`].

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The name of a node, as the inventory's key says it (`n1`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is never printed, logged or stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Whether and how unknown host keys are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyPolicy {
    /// Only keys that a known-hosts file lists.
    Strict,
    /// Unknown hosts are accepted and remembered; a changed key is an error.
    AcceptNew,
    /// Nothing is checked.
    Off,
}

/// What `ansible_ssh_common_args` may say; anything else in it is an error of the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshArgs {
    /// `ProxyJump`, as `[user@]host[:port]`, several separated by commas.
    pub proxy_jump: Option<String>,
    /// `UserKnownHostsFile`, in order; empty where it was not said.
    pub user_known_hosts_files: Vec<PathBuf>,
    /// `StrictHostKeyChecking`, translated.
    pub host_keys: Option<HostKeyPolicy>,
}

/// One host of the inventory. `None` means that the inventory does not say, so that
/// ssh_config or a default decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name; also the short hostname in the broker's node name `rabbit@n1`.
    pub name: NodeName,
    /// `ansible_host`: where SSH and AMQP reach it from the control node; else the name.
    pub address: String,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_user`.
    pub user: Option<String>,
    /// `ansible_ssh_private_key_file`, resolved (`~` expanded, relative to the inventory's directory).
    pub private_key_file: Option<PathBuf>,
    /// `ansible_password`.
    pub password: Option<Secret>,
    /// `ansible_become`.
    pub use_sudo: bool,
    /// `ansible_become_password`.
    pub sudo_password: Option<Secret>,
    /// `ansible_ssh_common_args`.
    pub ssh_args: SshArgs,
    /// `jtest_peer_address`: where the other nodes reach it, if not at `address`.
    pub peer_address: Option<String>,
    /// `jtest_disposable`: broker data may be wiped.
    pub disposable: bool,
}

impl Node {
    /// Where the other nodes reach this one.
    pub fn peer_address(&self) -> &str {
        self.peer_address.as_deref().unwrap_or(&self.address)
    }
}

/// A validated inventory: at least one node, names and addresses unique, nodes in the
/// order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The hosts, in the order of the file.
    pub nodes: Vec<Node>,
    /// `jtest_control_netns`: the network namespace that jtest has to run in.
    pub control_netns: Option<String>,
}
