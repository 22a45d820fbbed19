//! The seam to a host: run a script, put bytes, get a stream.
//!
//! A step on a host is one round trip: one shell script, run by `sh` (under sudo where the
//! inventory says so), its arguments quoted, its standard input free for data and
//! secrets. [`Remote`] is implemented by [`ssh::Ssh`] and, for unit tests of the callers'
//! own logic, by [`fake::Fake`].
//!
//! Inside: [`config`] asks ssh_config what the inventory leaves open, [`session`] makes one
//! authenticated connection ([`auth`], [`host_keys`]), [`process`] runs one script over a
//! channel of it, [`runner`] many over one, [`heard`] judges how a script ended, [`quote`] makes its command
//! line ([`become_root`] says as whom), [`ssh`] keeps the connection and shares its channels.

mod auth;
mod become_root;
mod config;
pub mod fake;
mod heard;
mod host_keys;
mod process;
mod quote;
mod runner;
mod session;
mod ssh;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::inventory::{HostKeyPolicy, Node, NodeName, Secret};

pub use ssh::Ssh;

/// A shell script with its arguments (`$1`, `$2`, ...), never interpolated into its text.
#[derive(Clone)]
pub struct Script {
    /// A few words for error messages and logs, such as `join the cluster`.
    pub purpose: String,
    /// POSIX sh. Run with `set -eu` in force.
    pub text: String,
    /// `$1`, `$2`, ...; visible in the host's process list, so never a secret.
    pub args: Vec<String>,
    /// Fed to the script's standard input, then closed.
    pub stdin: Vec<u8>,
    /// Whether it must run as root.
    pub root: bool,
    /// After which it is ended on the host (`timeout`) and here.
    pub deadline: Duration,
}

impl Script {
    /// A script run as root with no arguments and no input, to be ended after 30 s.
    pub fn new(purpose: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            purpose: purpose.into(),
            text: text.into(),
            args: Vec::new(),
            stdin: Vec::new(),
            root: true,
            deadline: Duration::from_secs(30),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Feeds a secret as the standard input.
    pub fn stdin_secret(self, secret: &Secret) -> Self {
        self.stdin(secret.expose().as_bytes())
    }

    /// Sets the deadline.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it as the login user instead of root.
    pub fn as_login_user(mut self) -> Self {
        self.root = false;
        self
    }
}

/// Without the input, which may be a secret.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("purpose", &self.purpose)
            .field("text", &self.text)
            .field("args", &self.args)
            .field("stdin_bytes", &self.stdin.len())
            .field("root", &self.root)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// What a script that exited 0 wrote.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Standard output, whole (bounded; more than the bound is an error).
    pub stdout: Vec<u8>,
    /// Standard error, its tail.
    pub stderr: String,
}

impl Output {
    /// Standard output as text, trimmed at the end; broken UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// Why a step on a host failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No connection, or it was lost.
    #[error("{node}: cannot {purpose}: {reason}")]
    Unreachable {
        /// The host.
        node: NodeName,
        /// What was being done.
        purpose: String,
        /// Why, with the remedy where there is one.
        reason: String,
    },
    /// The host's key is not the one that is known, or none is known.
    #[error("{node}: host key refused: {reason}")]
    HostKey {
        /// The host.
        node: NodeName,
        /// What was presented, what is known and where, and the remedy.
        reason: String,
    },
    /// The host answers, but lets nobody in with what there is.
    #[error("{node}: cannot log in as {user}: {reason}")]
    Login {
        /// The host.
        node: NodeName,
        /// As whom.
        user: String,
        /// Everything that was tried, each with its result.
        reason: String,
    },
    /// The connection is fine, but the step cannot be done as asked: no way to become root,
    /// a script that does not fit, more output than is taken.
    #[error("{node}: cannot {purpose}: {reason}")]
    Rejected {
        /// The host.
        node: NodeName,
        /// What was being done.
        purpose: String,
        /// Why, with the remedy where there is one.
        reason: String,
    },
    /// The script ended with another status than 0.
    #[error("{node}: cannot {purpose}: exit status {status}{}", tail(.stderr))]
    Failed {
        /// The host.
        node: NodeName,
        /// What was being done.
        purpose: String,
        /// The exit status; 124 or 137 where the host's `timeout` ended it, 128+n for a signal.
        status: u32,
        /// The tail of standard error.
        stderr: String,
    },
    /// It took longer than its deadline.
    #[error("{node}: cannot {purpose}: no end after {} s{}", .deadline.as_secs_f32(), tail(.stderr))]
    Deadline {
        /// The host.
        node: NodeName,
        /// What was being done.
        purpose: String,
        /// The deadline.
        deadline: Duration,
        /// The tail of standard error until then.
        stderr: String,
    },
}

impl RemoteError {
    /// Whether it took longer than its deadline.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Deadline { .. })
    }
}

fn tail(stderr: &str) -> String {
    if stderr.trim().is_empty() {
        String::new()
    } else {
        format!("; it said: {}", stderr.trim())
    }
}

/// A running script whose input and output are used while it runs.
#[async_trait]
pub trait Process: Send {
    /// Sends bytes to its standard input.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), RemoteError>;
    /// The next line of its standard output without the line feed; `None` at its end.
    async fn read_line(&mut self) -> Result<Option<String>, RemoteError>;
    /// The next chunk of its standard output; `None` at its end.
    async fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, RemoteError>;
    /// Closes its standard input, drains its output and waits for its end.
    async fn finish(self: Box<Self>) -> Result<Output, RemoteError>;
}

/// A host that scripts can be run on.
#[async_trait]
pub trait Remote: Send + Sync + fmt::Debug {
    /// The host's name in the inventory.
    fn node(&self) -> &NodeName;

    /// Runs a script to its end; any exit status but 0 is an error. If the caller stops
    /// waiting, a script that has started goes on until its end or its deadline.
    async fn run(&self, script: &Script) -> Result<Output, RemoteError>;

    /// Starts a script to talk with while it runs; `script.stdin` is sent first and the
    /// input left open. The deadline covers its whole life. It has a connection of its own, which
    /// costs one more login: a slow reader stalls nobody else, and dropping the process
    /// ends its input on the host.
    async fn open(&self, script: &Script) -> Result<Box<dyn Process>, RemoteError>;

    /// Puts a file there, atomically, with owner root and the given mode.
    async fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), RemoteError>;

    /// Ends the connection.
    async fn close(&self);
}

/// A shared handle to a host.
pub type Host = Arc<dyn Remote>;

/// How to connect, beyond what the inventory says of a node.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// `--host-keys`; overrides the inventory and ssh_config.
    pub host_keys: Option<HostKeyPolicy>,
    /// Read in place of the user's and the system's ssh_config (`ssh -F`).
    pub ssh_config: Option<PathBuf>,
}

/// For connecting to all hosts: the stages of one connection with two jump hosts, and no more.
pub const CONNECT_ALL_DEADLINE: Duration = Duration::from_secs(120);

/// Connects to a host and logs in.
pub async fn connect(node: &Node, options: &ConnectOptions) -> Result<Host, RemoteError> {
    Ok(Arc::new(Ssh::connect(node, options).await?))
}

/// Connects to all hosts in parallel; the answers are in the order of `nodes`.
pub async fn connect_all(
    nodes: &[Node],
    options: &ConnectOptions,
) -> Vec<(NodeName, Result<Host, RemoteError>)> {
    join_all(nodes.iter().map(|node| async move {
        let connected = tokio::time::timeout(CONNECT_ALL_DEADLINE, connect(node, options)).await;
        let host = connected.unwrap_or_else(|_| {
            Err(RemoteError::Unreachable {
                node: node.name.clone(),
                purpose: "connect".into(),
                reason: format!("not connected after {} s", CONNECT_ALL_DEADLINE.as_secs()),
            })
        });
        (node.name.clone(), host)
    }))
    .await
}
