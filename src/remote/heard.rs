//! What is heard of a script on its way, and what its end is taken for.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::become_root::sudo_complaint;
use super::quote::KILL_AFTER;
use super::{Output, RemoteError, Script};
use crate::inventory::NodeName;

/// Standard output that is held for a caller.
const STDOUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The tail of standard error that is kept.
const STDERR_BYTES_MAX: usize = 4 * 1024;
/// What the local deadline adds to the host's, for the way there and back.
const NETWORK_GRACE: Duration = Duration::from_secs(5);
/// `timeout`'s own status after its SIGTERM, and the one after its SIGKILL.
const TIMEOUT_STATUSES: [u32; 2] = [124, 137];

/// A script that has been sent, and what it wrote and ended with so far.
pub(super) struct Heard {
    node: NodeName,
    purpose: String,
    /// Where sudo is used: the login user, for its complaints.
    sudo_user: Option<String>,
    pub(super) stdout: VecDeque<u8>,
    stderr: VecDeque<u8>,
    pub(super) status: Option<u32>,
    started: Instant,
    deadline: Duration,
}

impl Heard {
    /// Nothing yet, of a script that starts now.
    pub(super) fn new(node: &NodeName, script: &Script, sudo_user: Option<String>) -> Self {
        Self {
            node: node.clone(),
            purpose: script.purpose.clone(),
            sudo_user,
            stdout: VecDeque::new(),
            stderr: VecDeque::new(),
            status: None,
            started: Instant::now(),
            deadline: script.deadline,
        }
    }

    /// When this side gives up.
    pub(super) fn until(&self) -> Instant {
        self.started + self.deadline + KILL_AFTER + NETWORK_GRACE
    }

    /// Keeps the tail of what it wrote to standard error.
    pub(super) fn complain(&mut self, bytes: &[u8]) {
        self.stderr.extend(bytes);
        let surplus = self.stderr.len().saturating_sub(STDERR_BYTES_MAX);
        self.stderr.drain(..surplus);
    }

    pub(super) fn stderr_text(&self) -> String {
        let bytes: Vec<u8> = self.stderr.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    pub(super) fn check_bound(&self) -> Result<(), RemoteError> {
        if self.stdout.len() > STDOUT_BYTES_MAX {
            return Err(self.rejected(format!(
                "it wrote more than {} MiB, the most that is taken at once",
                STDOUT_BYTES_MAX / 1024 / 1024
            )));
        }
        Ok(())
    }

    /// What it wrote where it ended with 0, else why it did not; `cause` says why the connection ended.
    pub(super) fn judge(&mut self, cause: impl FnOnce() -> String) -> Result<Output, RemoteError> {
        if self.status != Some(0) {
            return Err(self.failure(cause));
        }
        Ok(Output {
            stderr: self.stderr_text(),
            stdout: std::mem::take(&mut self.stdout).into(),
        })
    }

    pub(super) fn rejected(&self, reason: String) -> RemoteError {
        RemoteError::Rejected {
            node: self.node.clone(),
            purpose: self.purpose.clone(),
            reason,
        }
    }

    pub(super) fn lost(&self, cause: &str) -> RemoteError {
        let stderr = self.stderr_text();
        let said = if stderr.is_empty() {
            String::new()
        } else {
            format!("; it said: {stderr}")
        };
        RemoteError::Unreachable {
            node: self.node.clone(),
            purpose: self.purpose.clone(),
            reason: format!("{cause} while it ran{said}"),
        }
    }

    pub(super) fn no_end(&self) -> RemoteError {
        RemoteError::Deadline {
            node: self.node.clone(),
            purpose: self.purpose.clone(),
            deadline: self.deadline,
            stderr: self.stderr_text(),
        }
    }

    /// Why it did not end with 0.
    pub(super) fn failure(&self, cause: impl FnOnce() -> String) -> RemoteError {
        let Some(status) = self.status else {
            return self.lost(&cause());
        };
        if TIMEOUT_STATUSES.contains(&status) && self.started.elapsed() >= self.deadline {
            return self.no_end();
        }
        let stderr = self.stderr_text();
        let complaint = self
            .sudo_user
            .as_deref()
            .and_then(|user| sudo_complaint(user, status, &stderr));
        match complaint {
            Some(reason) => self.rejected(reason),
            None => RemoteError::Failed {
                node: self.node.clone(),
                purpose: self.purpose.clone(),
                status,
                stderr,
            },
        }
    }
}
