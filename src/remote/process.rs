//! One script over one channel: start, feed, read, end.
//!
//! Whoever writes also reads: while input is being sent, output is taken in, so that
//! neither side can wait for the other for ever. What has been read and not yet asked for is
//! bounded; standard error keeps its tail. The end on the host is seen to by `timeout` there; here
//! the same deadline holds with some grace, in case the host itself is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::become_root::{Privilege, sudo_complaint};
use super::quote::{Become, KILL_AFTER, acknowledgement, command_line};
use super::session::{ChannelError, Session};
use super::{Output, RemoteError, Script};
use crate::inventory::{NodeName, Secret};

/// Standard output that is held for a caller.
pub(super) const STDOUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The tail of standard error that is kept.
const STDERR_BYTES_MAX: usize = 4 * 1024;
/// What the local deadline adds to the host's, for the way there and back.
const NETWORK_GRACE: Duration = Duration::from_secs(5);
/// A script that has ended may leave a child that holds its output open; after this long
/// without any it is not waited for.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(2);
/// For sudo to check the password; it delays a refusal by seconds.
const SUDO_DEADLINE: Duration = Duration::from_secs(20);
/// For the close message to be queued.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// `timeout`'s own status after its SIGTERM, and the one after its SIGKILL.
const TIMEOUT_STATUSES: [u32; 2] = [124, 137];

/// Whether somebody still waits for the script.
pub(super) type Wanted<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Why a script is not started whose caller has gone.
pub(super) const NOT_WANTED: &str = "nobody waits for it any more";

/// Why a script did not start.
pub(super) enum StartError {
    /// The connection was dead before the script was sent: it surely did not run.
    NotSent(String),
    /// It may have run, or will never.
    Final(RemoteError),
}

/// A script on its way.
pub(super) struct Exchange {
    node: NodeName,
    purpose: String,
    session: Arc<Session>,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Where sudo is used: the login user, for its complaints.
    sudo_user: Option<String>,
    stdout: VecDeque<u8>,
    stderr: VecDeque<u8>,
    status: Option<u32>,
    /// The channel is closed, or the connection gone.
    ended: bool,
    started: Instant,
    deadline: Duration,
}

impl Exchange {
    /// Opens a channel and starts the script; with a sudo password, awaits root. Never to be
    /// broken off, or the host would keep the channel; a script that is not `wanted` any more
    /// when the channel is open is not started.
    pub(super) async fn start(
        node: &NodeName,
        session: Arc<Session>,
        script: &Script,
        privilege: &Privilege,
        wanted: Wanted<'_>,
    ) -> Result<Self, StartError> {
        let rejected = |reason| {
            StartError::Final(RemoteError::Rejected {
                node: node.clone(),
                purpose: script.purpose.clone(),
                reason,
            })
        };
        let by = privilege.for_script(script).map_err(rejected)?;
        let line = command_line(script, by).map_err(rejected)?;
        // A server is slow to count an ended session out; a new connection has its own count.
        let channel = session.channel().await.map_err(|error| match error {
            ChannelError::Dead(cause) | ChannelError::Refused(cause) => StartError::NotSent(cause),
        })?;
        let (read, write) = channel.split();
        if !wanted() {
            let _gone_already = timeout(CLOSE_DEADLINE, write.close()).await;
            return Err(rejected(NOT_WANTED.into()));
        }
        let sent = write.exec(true, line).await;
        if sent.is_err() {
            return Err(StartError::NotSent(session.cause()));
        }
        let mut exchange = Self {
            node: node.clone(),
            purpose: script.purpose.clone(),
            input: Box::new(write.make_writer()),
            session,
            read,
            write,
            sudo_user: (by != Become::LoginUser).then(|| privilege.user.clone()),
            stdout: VecDeque::new(),
            stderr: VecDeque::new(),
            status: None,
            ended: false,
            started: Instant::now(),
            deadline: script.deadline,
        };
        if let (Become::SudoPassword(nonce), Some(password)) = (by, &privilege.password) {
            let word = acknowledgement(nonce);
            let handshake = exchange.become_root(&word, password).await;
            handshake.map_err(StartError::Final)?;
        }
        Ok(exchange)
    }

    /// Sends the password, awaits the script's word, ends the password's part of the input.
    async fn become_root(&mut self, word: &str, password: &Secret) -> Result<(), RemoteError> {
        self.feed(format!("{}\n", password.expose()).as_bytes())
            .await?;
        let until = Instant::now() + SUDO_DEADLINE;
        let word_line = format!("{word}\n");
        loop {
            if self.stdout.len() >= word_line.len() {
                let start: Vec<u8> = self.stdout.drain(..word_line.len()).collect();
                if start == word_line.as_bytes() {
                    return self.feed(word_line.as_bytes()).await;
                }
                return Err(
                    self.rejected("sudo or its shell printed something before the script".into())
                );
            }
            let refused = self.stderr_text().contains("try again");
            if self.ended || refused || timeout_at(until, self.step()).await.is_err() {
                return Err(self.not_root().await);
            }
        }
    }

    /// Ends the input, so that sudo asks no second time, and hears what it has to say.
    async fn not_root(&mut self) -> RemoteError {
        self.end_input().await;
        let until = Instant::now() + SUDO_DEADLINE;
        while !self.ended && timeout_at(until, self.step()).await.is_ok() {}
        if self.status.is_none() && !self.session.is_closed() {
            return self.rejected(format!(
                "sudo did not answer within {} s",
                SUDO_DEADLINE.as_secs()
            ));
        }
        self.failure()
    }

    /// When this side gives up.
    fn until(&self) -> Instant {
        self.started + self.deadline + KILL_AFTER + NETWORK_GRACE
    }

    async fn step(&mut self) {
        let message = self.read.wait().await;
        self.take(message);
    }

    /// Takes in one message of the channel; `None` is its end.
    fn take(&mut self, message: Option<ChannelMsg>) {
        match message {
            Some(ChannelMsg::Data { data }) => self.stdout.extend(&data[..]),
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                self.stderr.extend(&data[..]);
                let surplus = self.stderr.len().saturating_sub(STDERR_BYTES_MAX);
                self.stderr.drain(..surplus);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.status = Some(128 + number(&signal_name));
            }
            Some(ChannelMsg::Failure) => {
                self.stderr.extend(b"the server refuses to run commands");
                self.status = Some(126);
                self.ended = true;
            }
            Some(ChannelMsg::Close) | None => self.ended = true,
            Some(_) => {}
        }
    }

    /// As [`Self::step`], within the deadline and the bound.
    async fn step_bounded(&mut self) -> Result<(), RemoteError> {
        if timeout_at(self.until(), self.step()).await.is_err() {
            return Err(self.no_end());
        }
        self.check_bound()
    }

    fn check_bound(&self) -> Result<(), RemoteError> {
        if self.stdout.len() > STDOUT_BYTES_MAX {
            return Err(self.rejected(format!(
                "it wrote more than {} MiB, the most that is taken at once",
                STDOUT_BYTES_MAX / 1024 / 1024
            )));
        }
        Ok(())
    }

    /// Sends input; stops without an error when the script ends before it has read it all.
    pub(super) async fn feed(&mut self, mut bytes: &[u8]) -> Result<(), RemoteError> {
        while !bytes.is_empty() && !self.ended && self.status.is_none() {
            let until = self.until();
            tokio::select! {
                written = self.input.write(bytes) => match written {
                    Ok(count) => bytes = &bytes[count..],
                    Err(_) => return Err(self.lost()),
                },
                message = self.read.wait() => {
                    self.take(message);
                    self.check_bound()?;
                }
                () = tokio::time::sleep_until(until) => return Err(self.no_end()),
            }
        }
        Ok(())
    }

    /// As [`Self::feed`], but a script that has ended is an error: someone wants to talk to it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        self.feed(bytes).await?;
        if self.ended || self.status.is_some() {
            return Err(self.failure());
        }
        Ok(())
    }

    async fn end_input(&mut self) {
        let _ended_by_itself = timeout_at(self.until(), self.input.shutdown()).await;
    }

    /// The next chunk of standard output; `None` at its end.
    pub(super) async fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, RemoteError> {
        while self.stdout.is_empty() && !self.at_end().await? {}
        if self.stdout.is_empty() {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.stdout).into()))
    }

    /// The next line; a last one without its line feed counts.
    pub(super) async fn read_line(&mut self) -> Result<Option<String>, RemoteError> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.stdout.iter().skip(searched).position(|&b| b == b'\n') {
                let mut line: Vec<u8> = self.stdout.drain(..=searched + at).collect();
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            searched = self.stdout.len();
            if self.at_end().await? {
                let rest: Vec<u8> = self.stdout.drain(..).collect();
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
        }
    }

    /// Awaits more; true if there will be none.
    async fn at_end(&mut self) -> Result<bool, RemoteError> {
        if self.ended {
            return Ok(true);
        }
        if self.status.is_some() {
            if timeout(LEFTOVER_DEADLINE, self.step_bounded())
                .await
                .is_err()
            {
                self.ended = true;
            }
        } else {
            self.step_bounded().await?;
        }
        Ok(false)
    }

    /// Takes no more output: without this the host would go on sending until its deadline.
    pub(super) async fn close(&mut self) {
        let _gone_already = timeout(CLOSE_DEADLINE, self.write.close()).await;
    }

    /// Closes the input, takes what is left of the output and judges the exit status.
    pub(super) async fn finish(mut self) -> Result<Output, RemoteError> {
        self.end_input().await;
        let result = loop {
            match self.at_end().await {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.close().await;
        result?;
        match self.status {
            Some(0) => Ok(Output {
                stderr: self.stderr_text(),
                stdout: self.stdout.into(),
            }),
            _ => Err(self.failure()),
        }
    }

    /// The connection it runs over.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    fn stderr_text(&self) -> String {
        let bytes: Vec<u8> = self.stderr.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    fn rejected(&self, reason: String) -> RemoteError {
        RemoteError::Rejected {
            node: self.node.clone(),
            purpose: self.purpose.clone(),
            reason,
        }
    }

    fn lost(&self) -> RemoteError {
        let stderr = self.stderr_text();
        let said = if stderr.is_empty() {
            String::new()
        } else {
            format!("; it said: {stderr}")
        };
        RemoteError::Unreachable {
            node: self.node.clone(),
            purpose: self.purpose.clone(),
            reason: format!("{} while it ran{said}", self.session.cause()),
        }
    }

    fn no_end(&self) -> RemoteError {
        RemoteError::Deadline {
            node: self.node.clone(),
            purpose: self.purpose.clone(),
            deadline: self.deadline,
            stderr: self.stderr_text(),
        }
    }

    /// Why it did not end with 0.
    fn failure(&self) -> RemoteError {
        let Some(status) = self.status else {
            return self.lost();
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

/// Signals by their numbers on Linux.
fn number(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 127,
    }
}
