//! The inventory: which hosts there are and how to reach them, in Ansible's YAML form.
//!
//! Pure: what must be asked of the world (does the key file exist, what is in the
//! environment) comes in through [`Surroundings`].
//!
//! One file serves both Ansible and jtest, so variables that jtest has no use for are
//! passed over without a word; what begins with `jtest_` and is unknown is a mistake. All
//! mistakes of a file are told at once.

mod check;
mod groups;
mod ranges;
mod ssh_args;
mod template;
#[cfg(test)]
mod tests;
mod variables;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Collector, Diagnostics};
use crate::yaml;

use serde::{Deserialize, Serialize};

/// The name of a node, as the inventory's key says it (`n1`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is never printed, logged or stored: it has no `Display`, and cannot be serialized.
///
/// ```compile_fail
/// fn store<T: serde::Serialize>(_: T) {}
/// store(jtest::inventory::Secret::new("hunter2"));
/// ```
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

/// Hosts that an inventory may name: far more than any cluster has, few enough to stay cheap.
pub const HOSTS_MAX: usize = 200;
/// Groups that an inventory may have.
pub const GROUPS_MAX: usize = 250;

/// What an inventory asks of the world.
pub trait Surroundings {
    /// An environment variable, if it is set and is text.
    fn env(&self, name: &str) -> Option<String>;
    /// The user's home directory.
    fn home(&self) -> Option<PathBuf>;
    /// Whether a private key can be used.
    fn key_file(&self, path: &Path) -> KeyFile;
}

/// The state of a private key's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    /// It is there and only its owner can read it.
    Fine,
    /// There is no such file.
    Missing,
    /// It is a directory or something else.
    NotAFile,
    /// This user may not read it.
    Unreadable,
    /// Others can read or write it; its permission bits.
    OpenToOthers(u32),
}

/// Reads an inventory's text. `file` is its path as the user named it; relative paths in
/// the inventory begin at its directory.
///
/// # Errors
///
/// Everything that is wrong with it, warnings included. Where nothing is wrong, the warnings
/// come with the inventory.
pub fn parse(
    file: &Path,
    text: &str,
    surroundings: &dyn Surroundings,
) -> Result<(Inventory, Diagnostics), Diagnostics> {
    let mut to = Collector::new(file.to_string_lossy(), text);
    let inventory = read(file, text, surroundings, &mut to);
    let warnings = to.finish()?;
    match inventory {
        Some(inventory) => Ok((inventory, warnings)),
        None => Err(warnings),
    }
}

fn read(
    file: &Path,
    text: &str,
    surroundings: &dyn Surroundings,
    to: &mut Collector<'_>,
) -> Option<Inventory> {
    if check::is_ini(text) {
        to.error(
            None,
            "this looks like an inventory in Ansible's INI form; jtest reads the YAML form",
            "convert it: `ansible-inventory -i FILE --list --yaml > lab.yaml`",
        );
        return None;
    }
    let tree = yaml::parse(text, to)?;
    variables::hide_secrets(&tree, to);
    let found = groups::collect(&tree, variables::is_used, to);
    check::settings(&found.settings, to);
    let directory = file.parent().unwrap_or(Path::new(""));
    let hosts: Vec<_> = found
        .hosts
        .iter()
        .map(|host| variables::read_host(host, directory, surroundings, to))
        .collect();
    check::hosts(&hosts, to);
    let control_netns = hosts
        .iter()
        .find_map(|host| host.control_netns.as_ref())
        .map(|(name, _)| name.clone());
    Some(Inventory {
        file: file.to_owned(),
        nodes: hosts.into_iter().map(|host| host.node).collect(),
        control_netns,
    })
}
