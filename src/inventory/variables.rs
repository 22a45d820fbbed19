//! The variables of one host, read into a [`Node`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::groups::Host;
use super::ssh_args;
use super::template::{self, Scope};
use super::{KeyFile, Node, NodeName, Secret, SshArgs, Surroundings};
use crate::diagnostic::{Collector, Place, quoted, visible};
use crate::yaml::{Entry, Kind, Value};

// Each variable under all its names. Where a host has several, the last one counts, as with Ansible.
const ADDRESS: [&str; 2] = ["ansible_host", "ansible_ssh_host"];
const PORT: [&str; 2] = ["ansible_port", "ansible_ssh_port"];
const USER: [&str; 2] = ["ansible_user", "ansible_ssh_user"];
const PASSWORD: [&str; 3] = [
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
];
const KEY: [&str; 2] = ["ansible_private_key_file", "ansible_ssh_private_key_file"];
const BECOME: [&str; 2] = ["ansible_become", "ansible_sudo"];
const BECOME_PASSWORD: [&str; 3] = [
    "ansible_become_password",
    "ansible_become_pass",
    "ansible_sudo_pass",
];
// These add up, in this order.
const SSH_ARGS: [&str; 3] = [
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
];
/// Variables that are only checked: the one way that jtest has, under each of its names.
const ONLY: [(&str, &[&str]); 3] = [
    (
        "ansible_connection",
        &["ssh", "smart", "paramiko", "ansible.builtin.ssh"],
    ),
    ("ansible_become_method", &["sudo", "ansible.builtin.sudo"]),
    ("ansible_become_user", &["root"]),
];
const PEER_ADDRESS: &str = "jtest_peer_address";
const DISPOSABLE: &str = "jtest_disposable";
const CONTROL_NETNS: &str = "jtest_control_netns";
/// jtest's own variables.
pub(super) const OWN: [&str; 3] = [PEER_ADDRESS, DISPOSABLE, CONTROL_NETNS];

/// A host with the places that checks across hosts point at.
#[derive(Debug)]
pub(super) struct Read {
    /// The node.
    pub node: Node,
    /// The key that names it.
    pub place: Place,
    /// Where its address is said.
    pub address_place: Place,
    /// Where its peer address is said.
    pub peer_place: Place,
    /// Its `jtest_control_netns`.
    pub control_netns: Option<(String, Place)>,
}

/// Whether a variable is one that jtest reads.
pub(super) fn is_used(name: &str) -> bool {
    let groups: [&[&str]; 9] = [
        &ADDRESS,
        &PORT,
        &USER,
        &PASSWORD,
        &KEY,
        &BECOME,
        &BECOME_PASSWORD,
        &SSH_ARGS,
        &OWN,
    ];
    groups.iter().any(|names| names.contains(&name))
        || ONLY.iter().any(|(only, _)| *only == name)
        || name == "ansible_group_priority"
}

/// Keeps the lines of all passwords out of snippets, also of those that jtest does not read.
pub(super) fn hide_secrets(tree: &Value, to: &mut Collector<'_>) {
    let secret = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["pass", "secret", "token"]
            .iter()
            .any(|word| key.contains(word))
    };
    match &tree.kind {
        Kind::Null | Kind::Scalar { .. } => {}
        Kind::Sequence(values) => values.iter().for_each(|value| hide_secrets(value, to)),
        Kind::Mapping(entries) => {
            for entry in entries {
                if secret(&entry.key) && matches!(entry.value.kind, Kind::Scalar { .. }) {
                    to.hide(entry.value.defined.clone());
                }
                hide_secrets(&entry.value, to);
            }
        }
    }
}

/// Reads a host. What does not fit is told and left out.
pub(super) fn read_host(
    host: &Host<'_>,
    directory: &Path,
    surroundings: &dyn Surroundings,
    to: &mut Collector<'_>,
) -> Read {
    let reader = Reader {
        host,
        directory,
        surroundings,
    };
    reader.name(to);
    for (name, accepted) in ONLY {
        reader.only(name, accepted, to);
    }
    let address = reader.address(&ADDRESS, to);
    let peer = reader.address(&[PEER_ADDRESS], to);
    let address_place = address.as_ref().map_or(host.place, |(_, place)| *place);
    Read {
        place: host.place,
        address_place,
        peer_place: peer.as_ref().map_or(address_place, |(_, place)| *place),
        control_netns: reader.control_netns(to),
        node: Node {
            name: NodeName(host.name.clone()),
            address: address.map_or_else(|| host.name.clone(), |(address, _)| address),
            port: reader.port(to),
            user: reader.user(to),
            private_key_file: reader.private_key_file(to),
            password: reader.secret(&PASSWORD, to),
            use_sudo: reader.bool(&BECOME, to),
            sudo_password: reader.secret(&BECOME_PASSWORD, to),
            ssh_args: reader.ssh_args(to),
            peer_address: peer.map(|(peer, _)| peer),
            disposable: reader.bool(&[DISPOSABLE], to),
        },
    }
}

struct Reader<'r, 'v> {
    host: &'r Host<'v>,
    directory: &'r Path,
    surroundings: &'r dyn Surroundings,
}

impl<'v> Reader<'_, 'v> {
    /// The entry that decides a variable, unless it is nothing.
    fn entry(&self, names: &[&str]) -> Option<&'v Entry> {
        let found = names
            .iter()
            .rev()
            .find_map(|name| self.host.variables.get(name))?;
        (!found.value.is_null()).then_some(found)
    }

    /// Reads a variable's value, its templates resolved, by `read`, which gets its name too.
    ///
    /// What came from the environment may be a secret, though the variable is none: whatever
    /// `read` tells then names the environment variable instead.
    fn read<T>(
        &self,
        names: &[&str],
        to: &mut Collector<'_>,
        read: impl FnOnce(&str, &Value, &mut Collector<'_>) -> Option<T>,
    ) -> Option<T> {
        let entry = self.entry(names)?;
        let place = entry.value.place;
        let text = entry.value.text(&quoted(&entry.key), to)?;
        let scope = Scope {
            hostname: &self.host.name,
            // Where relative paths begin, see `path`.
            directory: ".",
            env: &|name| self.surroundings.env(name),
        };
        let expanded = match template::expand(text, &scope) {
            Ok(expanded) => expanded,
            Err(mistake) => {
                let message = format!("`{}`: {}", entry.key, mistake.message);
                to.error(place, message, mistake.remedy);
                return None;
            }
        };
        let value = scalar(place, expanded.text);
        if expanded.from_env.is_empty() {
            return read(&entry.key, &value, to);
        }
        let mut aside = Collector::new("", "");
        let result = read(&entry.key, &value, &mut aside);
        if let Err(told) = aside.finish() {
            for one in told.0 {
                let message = without_values(&one.message, &expanded.from_env);
                let remedy = without_values(&one.remedy, &expanded.from_env);
                to.error(place, message, remedy);
            }
        }
        result
    }

    /// Reads a variable as text; `judge` returns what it becomes, or why it does not fit.
    fn text<T>(
        &self,
        names: &[&str],
        to: &mut Collector<'_>,
        judge: impl FnOnce(&str, &str) -> Result<T, ssh_args::Mistake>,
    ) -> Option<(T, Place)> {
        self.read(names, to, |name, value, to| {
            match judge(name, value.text(&quoted(name), to)?) {
                Ok(judged) => Some((judged, value.place)),
                Err((message, remedy)) => {
                    to.error(value.place, message, remedy);
                    None
                }
            }
        })
    }

    fn bool(&self, names: &[&str], to: &mut Collector<'_>) -> bool {
        self.read(names, to, |name, value, to| value.bool(&quoted(name), to))
            .unwrap_or(false)
    }

    /// The name becomes `rabbit@NAME`, and a line in the hosts files of all nodes.
    fn name(&self, to: &mut Collector<'_>) {
        let name = self.host.name.as_str();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let remedy = if name.parse::<IpAddr>().is_ok() {
            "name the host `n1` or the like, and put the address into `ansible_host`"
        } else if name.contains('.') {
            "use the part before the first dot, and put the whole name into `ansible_host`"
        } else {
            "use letters, digits and hyphens, and put the address into `ansible_host`"
        };
        if name.is_empty()
            || name.len() > 63
            || !name.chars().all(legal)
            || name.starts_with('-')
            || name.ends_with('-')
            || name.chars().all(|c| c.is_ascii_digit())
            || name.eq_ignore_ascii_case("localhost")
        {
            to.error(
                self.host.place,
                format!("{} cannot be a node's short host name", quoted(name)),
                remedy,
            );
        }
    }

    fn only(&self, name: &str, accepted: &[&str], to: &mut Collector<'_>) {
        self.text(&[name], to, |_, text| {
            let right = accepted.first().copied().unwrap_or_default();
            if accepted.contains(&text) {
                return Ok(());
            }
            Err((
                format!(
                    "`{name}` is {}, but jtest can only do `{right}`",
                    quoted(text)
                ),
                format!("remove it for these hosts, or write `{name}: {right}`"),
            ))
        });
    }

    fn address(&self, names: &[&str], to: &mut Collector<'_>) -> Option<(String, Place)> {
        self.text(names, to, |name, text| {
            let remedy = match text {
                _ if is_address(text) => return Ok(text.to_owned()),
                _ if text.starts_with('[') => {
                    "write an IPv6 address without brackets, a port into `ansible_port`"
                }
                _ if text.matches(':').count() == 1 => "write the port into `ansible_port`",
                _ => "write an IP address or a host name",
            };
            Err((
                format!("`{name}` cannot be {}", quoted(text)),
                remedy.to_owned(),
            ))
        })
    }

    fn port(&self, to: &mut Collector<'_>) -> Option<u16> {
        let ports = 1..=u64::from(u16::MAX);
        let port = match (self.entry(&PORT), &self.host.port) {
            (Some(_), _) => self.read(&PORT, to, |name, value, to| {
                value.u64(&quoted(name), ports, to)
            })?,
            (None, Some((text, place))) => {
                scalar(*place, text.clone()).u64("the port", ports, to)?
            }
            (None, None) => return None,
        };
        u16::try_from(port).ok()
    }

    fn user(&self, to: &mut Collector<'_>) -> Option<String> {
        let legal = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | '/');
        self.text(&USER, to, |name, text| {
            if !text.is_empty() && !text.starts_with('-') && text.chars().all(legal) {
                return Ok(text.to_owned());
            }
            Err((
                format!("`{name}` cannot be {}", quoted(text)),
                "write the name of a user of that host".to_owned(),
            ))
        })
        .map(|(user, _)| user)
    }

    fn secret(&self, names: &[&str], to: &mut Collector<'_>) -> Option<Secret> {
        self.text(names, to, |name, text| {
            let what = match text {
                "" => "is empty",
                // It travels to sudo as one line.
                _ if text.chars().any(char::is_control) => {
                    "holds a line break or another control character"
                }
                _ => return Ok(Secret::new(text)),
            };
            Err((
                format!("`{name}` {what}"),
                "put the password on one line, or better into an environment variable: \
                 \"{{ lookup('env', 'NAME') }}\""
                    .to_owned(),
            ))
        })
        .map(|(secret, _)| secret)
    }

    fn control_netns(&self, to: &mut Collector<'_>) -> Option<(String, Place)> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        self.text(&[CONTROL_NETNS], to, |name, text| {
            if !text.is_empty()
                && text.len() <= 255
                && !text.starts_with(['.', '-'])
                && text.chars().all(legal)
            {
                return Ok(text.to_owned());
            }
            Err((
                format!("`{name}` cannot be {}", quoted(text)),
                "write a name that `ip netns` lists".to_owned(),
            ))
        })
    }

    fn private_key_file(&self, to: &mut Collector<'_>) -> Option<PathBuf> {
        self.text(&KEY, to, |name, text| {
            let path = self
                .path(text)
                .map_err(|(message, remedy)| (format!("`{name}`: {message}"), remedy))?;
            match key_mistake(&path, self.surroundings.key_file(&path)) {
                None => Ok(path),
                Some(mistake) => Err(mistake),
            }
        })
        .map(|(path, _)| path)
    }

    fn ssh_args(&self, to: &mut Collector<'_>) -> SshArgs {
        let mut args = SshArgs::default();
        for name in SSH_ARGS {
            self.text(&[name], to, |_, text| {
                ssh_args::read(text, &mut args, &|path| self.path(path))
                    .map_err(|(message, remedy)| (format!("`{name}`: {message}"), remedy))
            });
        }
        args
    }

    /// What a file name in the inventory stands for.
    fn path(&self, text: &str) -> Result<PathBuf, ssh_args::Mistake> {
        if text.is_empty() || text.contains('\0') {
            return Err((
                "the path is empty".to_owned(),
                "name a file, or remove the variable".to_owned(),
            ));
        }
        let Some(rest) = text.strip_prefix('~') else {
            // An absolute path stays as it is.
            return Ok(self.directory.join(text.trim_start_matches("./")));
        };
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err((
                format!(
                    "the home of another user cannot be found for {}",
                    quoted(text)
                ),
                "write the whole path".to_owned(),
            ));
        }
        match self.surroundings.home() {
            Some(home) => Ok(home.join(rest.trim_start_matches('/'))),
            None => Err((
                "`~` stands for nothing: there is no home directory".to_owned(),
                "set HOME, or write the whole path".to_owned(),
            )),
        }
    }
}

fn scalar(place: Place, text: String) -> Value {
    Value {
        place,
        defined: place.line..=place.line,
        tag: None,
        kind: Kind::Scalar { text, quoted: true },
    }
}

/// A message that names environment variables instead of showing their values.
fn without_values(message: &str, from_env: &[(String, String)]) -> String {
    /// Shorter values are replaced only where they are quoted: they are in any text.
    const CHARS_MIN: usize = 3;
    /// Longer values may have been shortened, and would not be found.
    const CHARS_MAX: usize = 40;
    let mut message = message.to_owned();
    for (name, value) in from_env {
        let shown = visible(value);
        let chars = shown.chars().count();
        if chars > CHARS_MAX {
            return format!("the value of the environment variable `{name}` does not fit here");
        }
        message = message.replace(&format!("`{shown}`"), &format!("`${name}`"));
        if chars >= CHARS_MIN {
            message = message.replace(&shown, &format!("${name}"));
        }
    }
    message
}

/// Why a key cannot be used, and what to do.
fn key_mistake(path: &Path, state: KeyFile) -> Option<ssh_args::Mistake> {
    let path = path.display();
    Some(match state {
        KeyFile::Fine => return None,
        KeyFile::Missing => (
            format!("there is no key file `{path}`"),
            "a relative path begins at the inventory's directory; without this variable the agent \
             and the default keys are tried"
                .to_owned(),
        ),
        KeyFile::NotAFile => (
            format!("the key file `{path}` is not a file"),
            "name the private key itself".to_owned(),
        ),
        KeyFile::Unreadable => (
            format!("the key file `{path}` may not be read by this user"),
            "run jtest as its owner, or name another key".to_owned(),
        ),
        KeyFile::OpenToOthers(mode) => (
            format!(
                "the key file `{path}` is open to others (mode {:04o})",
                mode & 0o7777
            ),
            format!("close it: `chmod 600 {path}`"),
        ),
    })
}

/// An IP address (with or without a scope), or a host name.
fn is_address(text: &str) -> bool {
    if text.contains(':') {
        let (address, scope) = text.split_once('%').unwrap_or((text, "x"));
        return address.parse::<IpAddr>().is_ok()
            && !scope.is_empty()
            && scope
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    }
    !text.is_empty()
        && text.len() <= 253
        && !text.starts_with(['-', '.'])
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}
