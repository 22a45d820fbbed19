//! Where a connection goes and with which keys: the inventory first, then the user's
//! ssh_config as `ssh -G` resolves it, then OpenSSH's defaults.
//!
//! A jump host is resolved as OpenSSH does it: by its own entries in ssh_config, its own
//! known-hosts files and keys; what the inventory says of the node holds for the node
//! alone, except for its key, which is offered to the jump hosts too. Jump hosts that a jump
//! host's own entry names are not followed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::ConnectOptions;
use crate::inventory::{HostKeyPolicy, Node, Secret};

#[cfg(test)]
mod tests;

/// `ssh -G` may run commands of the user's `Match exec`.
const SSH_G_DEADLINE: Duration = Duration::from_secs(10);

/// More hops than this are a mistake.
const JUMPS_MAX: usize = 4;

const DEFAULT_PORT: u16 = 22;

/// One SSH server to connect to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Where its server listens.
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The inventory's key, tried first.
    pub(super) key_file: Option<PathBuf>,
    /// Those of ssh_config, or the default ones.
    pub(super) identity_files: Vec<PathBuf>,
    /// The agent's other keys are not offered.
    pub(super) identities_only: bool,
    /// The agent's socket.
    pub(super) agent: Option<PathBuf>,
    pub(super) password: Option<Secret>,
    /// By which name known-hosts files know it.
    pub(super) known_as: String,
    /// The first is the one that new keys are added to.
    pub(super) user_known_hosts: Vec<PathBuf>,
    pub(super) global_known_hosts: Vec<PathBuf>,
    pub(super) host_keys: HostKeyPolicy,
}

/// The hops to a node, the node last.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) jumps: Vec<Target>,
    pub(super) node: Target,
}

/// Resolves how a node is reached.
pub(super) async fn route(node: &Node, options: &ConnectOptions) -> Result<Route, String> {
    let answers = ask_ssh(&node.address, node.user.as_deref(), node.port, options).await?;
    if let Some(command) = answers.one("proxycommand").filter(|c| *c != "none") {
        return Err(format!(
            "ssh_config has `ProxyCommand {command}` for it, which is not run here; use ProxyJump"
        ));
    }
    let proxy_jump = node
        .ssh_args
        .proxy_jump
        .as_deref()
        .or(answers.one("proxyjump"));
    let mut jumps = Vec::new();
    for hop in proxy_jump.map(parse_jumps).transpose()?.unwrap_or_default() {
        let answers = ask_ssh(&hop.host, hop.user.as_deref(), hop.port, options).await?;
        let mut target = answers.target(&hop.host, hop.user.as_deref(), hop.port)?;
        target.key_file = node.private_key_file.clone();
        target.host_keys = options.host_keys.unwrap_or(target.host_keys);
        jumps.push(target);
    }
    let mut target = answers.target(&node.address, node.user.as_deref(), node.port)?;
    target.key_file = node.private_key_file.clone();
    target.password = node.password.clone();
    if !node.ssh_args.user_known_hosts_files.is_empty() {
        target.user_known_hosts = node.ssh_args.user_known_hosts_files.clone();
    }
    target.host_keys = options
        .host_keys
        .or(node.ssh_args.host_keys)
        .unwrap_or(target.host_keys);
    Ok(Route {
        jumps,
        node: target,
    })
}

/// One hop of a `ProxyJump`.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// Parses `[user@]host[:port]`, several separated by commas, each perhaps after `ssh://`.
fn parse_jumps(text: &str) -> Result<Vec<Hop>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let hops: Vec<Hop> = text.split(',').map(parse_jump).collect::<Result<_, _>>()?;
    if hops.len() > JUMPS_MAX {
        return Err(format!(
            "ProxyJump `{text}` has more than {JUMPS_MAX} hosts"
        ));
    }
    Ok(hops)
}

fn parse_jump(text: &str) -> Result<Hop, String> {
    let wrong = || format!("`{text}` in ProxyJump is not of the form [user@]host[:port]");
    let rest = text.trim();
    let rest = rest.strip_prefix("ssh://").unwrap_or(rest);
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
        (
            host,
            after
                .strip_prefix(':')
                .or(if after.is_empty() { None } else { Some("") }),
        )
    } else if rest.matches(':').count() == 1 {
        let (host, port) = rest.split_once(':').ok_or_else(wrong)?;
        (host, Some(port))
    } else {
        (rest, None)
    };
    let port = port
        .map(|p| p.parse::<u16>().map_err(|_| wrong()))
        .transpose()?;
    if host.is_empty() || user.as_deref() == Some("") {
        return Err(wrong());
    }
    Ok(Hop {
        user,
        host: host.to_owned(),
        port,
    })
}

/// Refuses what could be taken for an option, or for a shell's text by a `Match exec`.
fn refuse_odd_names(host: &str, user: Option<&str>) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "._-:%".contains(c);
    if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
        return Err(format!(
            "`{}` is no host name or address",
            host.escape_debug()
        ));
    }
    let odd = |u: &str| {
        u.is_empty()
            || u.starts_with('-')
            || u.chars()
                .any(|c| c.is_control() || "'\"`$;&|<>(){}\\".contains(c))
    };
    match user {
        Some(user) if odd(user) => Err(format!("`{}` is no user name", user.escape_debug())),
        _ => Ok(()),
    }
}

/// What `ssh -G` said, by keyword in lower case; empty where there is no `ssh`.
#[derive(Debug, Default)]
struct Answers(HashMap<String, Vec<String>>);

async fn ask_ssh(
    host: &str,
    user: Option<&str>,
    port: Option<u16>,
    options: &ConnectOptions,
) -> Result<Answers, String> {
    refuse_odd_names(host, user)?;
    let mut command = Command::new("ssh");
    command.arg("-G");
    if let Some(file) = &options.ssh_config {
        command.arg("-F").arg(file);
    }
    if let Some(port) = port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = user {
        command.arg("-l").arg(user);
    }
    command.arg("--").arg(host);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(SSH_G_DEADLINE, command.output()).await {
        Err(_) => {
            return Err(format!(
                "`ssh -G {host}` did not end within {} s; look for a slow `Match exec` in ssh_config",
                SSH_G_DEADLINE.as_secs()
            ));
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Answers::default());
        }
        Ok(Err(error)) => return Err(format!("cannot run `ssh -G`: {error}")),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        return Err(format!(
            "`ssh -G {host}` failed, mend ssh_config: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(Answers::parse(&String::from_utf8_lossy(&output.stdout)))
}

impl Answers {
    fn parse(text: &str) -> Self {
        let mut answers: HashMap<String, Vec<String>> = HashMap::new();
        for line in text.lines() {
            if let Some((key, value)) = line.split_once(' ') {
                let key = key.to_ascii_lowercase();
                answers
                    .entry(key)
                    .or_default()
                    .push(value.trim().to_owned());
            }
        }
        Self(answers)
    }

    fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn one(&self, key: &str) -> Option<&str> {
        self.all(key).first().map(String::as_str)
    }

    fn target(&self, host: &str, user: Option<&str>, port: Option<u16>) -> Result<Target, String> {
        let hostname = self.one("hostname").unwrap_or(host).to_owned();
        let user = match user.or(self.one("user")) {
            Some(user) => user.to_owned(),
            None => std::env::var("USER")
                .map_err(|_| "no user to log in as: set ansible_user in the inventory")?,
        };
        refuse_odd_names(&hostname, Some(&user))?;
        let port = port
            .or(self.one("port").and_then(|p| p.parse().ok()))
            .unwrap_or(DEFAULT_PORT);
        let expand = |path: &str| expand(path, &hostname, &user, port);
        let files = |key: &str, default: &[&str]| -> Vec<PathBuf> {
            match self.one(key) {
                Some("none") => Vec::new(),
                Some(value) => value.split_whitespace().map(expand).collect(),
                None => default.iter().map(|path| expand(path)).collect(),
            }
        };
        let identity_files = match self.all("identityfile") {
            [] => ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"]
                .map(expand)
                .to_vec(),
            given => given
                .iter()
                .filter(|f| *f != "none")
                .map(|f| expand(f))
                .collect(),
        };
        Ok(Target {
            key_file: None,
            identity_files,
            identities_only: self.one("identitiesonly") == Some("yes"),
            agent: agent_socket(self.one("identityagent"), expand),
            password: None,
            known_as: self.one("hostkeyalias").unwrap_or(&hostname).to_lowercase(),
            user_known_hosts: files("userknownhostsfile", &["~/.ssh/known_hosts"]),
            global_known_hosts: files("globalknownhostsfile", &["/etc/ssh/ssh_known_hosts"]),
            host_keys: match self.one("stricthostkeychecking") {
                Some("accept-new") => HostKeyPolicy::AcceptNew,
                Some("no" | "off" | "false") => HostKeyPolicy::Off,
                _ => HostKeyPolicy::Strict,
            },
            hostname,
            port,
            user,
        })
    }
}

fn agent_socket(identity_agent: Option<&str>, expand: impl Fn(&str) -> PathBuf) -> Option<PathBuf> {
    match identity_agent {
        Some("none") => None,
        None | Some("SSH_AUTH_SOCK") => std::env::var_os("SSH_AUTH_SOCK")
            .filter(|socket| !socket.is_empty())
            .map(PathBuf::from),
        Some(variable) if variable.starts_with('$') => {
            let name = variable.trim_start_matches('$').trim_matches(['{', '}']);
            std::env::var_os(name).map(PathBuf::from)
        }
        Some(path) => Some(expand(path)),
    }
}

/// Expands `~/` and the tokens that make sense in a file's name.
fn expand(path: &str, hostname: &str, user: &str, port: u16) -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    let path = match path.strip_prefix("~/") {
        Some(rest) => format!("{home}/{rest}"),
        None => path.to_owned(),
    };
    let mut expanded = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => expanded.push('%'),
            Some('d') => expanded.push_str(&home),
            Some('h') => expanded.push_str(hostname),
            Some('p') => expanded.push_str(&port.to_string()),
            Some('r') => expanded.push_str(user),
            Some(other) => expanded.extend(['%', other]),
            None => expanded.push('%'),
        }
    }
    PathBuf::from(expanded)
}
