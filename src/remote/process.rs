//! One script over one channel: start, feed, read, end.
//!
//! Whoever writes also reads: while input is being sent, output is taken in, so that
//! neither side can wait for the other for ever. What has been read and not yet asked for is
//! bounded; standard error keeps its tail. The end on the host is seen to by `timeout` there; here
//! the same deadline holds with some grace, in case the host itself is gone.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::become_root::Privilege;
use super::heard::Heard;
use super::quote::{Become, acknowledgement, command_line};
use super::session::{ChannelError, Session};
use super::{Output, RemoteError, Script};
use crate::inventory::{NodeName, Secret};

/// A script that has ended may leave a child that holds its output open; after this long
/// without any it is not waited for.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(2);
/// For sudo to check the password; it delays a refusal by seconds.
const SUDO_DEADLINE: Duration = Duration::from_secs(20);
/// For the close message to be queued.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

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
    heard: Heard,
    session: Arc<Session>,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    /// The channel is closed, or the connection gone.
    ended: bool,
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
        let sudo_user = (by != Become::LoginUser).then(|| privilege.user.clone());
        let mut exchange = Self {
            heard: Heard::new(node, script, sudo_user),
            input: Box::new(write.make_writer()),
            session,
            read,
            write,
            ended: false,
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
            if self.heard.stdout.len() >= word_line.len() {
                let start: Vec<u8> = self.heard.stdout.drain(..word_line.len()).collect();
                if start == word_line.as_bytes() {
                    return self.feed(word_line.as_bytes()).await;
                }
                return Err(self
                    .heard
                    .rejected("sudo or its shell printed something before the script".into()));
            }
            let refused = self.heard.stderr_text().contains("try again");
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
        if self.heard.status.is_none() && !self.session.is_closed() {
            return self.heard.rejected(format!(
                "sudo did not answer within {} s",
                SUDO_DEADLINE.as_secs()
            ));
        }
        self.failure()
    }

    async fn step(&mut self) {
        let message = self.read.wait().await;
        self.take(message);
    }

    /// Takes in one message of the channel; `None` is its end.
    fn take(&mut self, message: Option<ChannelMsg>) {
        match message {
            Some(ChannelMsg::Data { data }) => self.heard.stdout.extend(&data[..]),
            Some(ChannelMsg::ExtendedData { data, .. }) => self.heard.complain(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => self.heard.status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.heard.status = Some(128 + number(&signal_name));
            }
            Some(ChannelMsg::Failure) => {
                self.heard.complain(b"the server refuses to run commands");
                self.heard.status = Some(126);
                self.ended = true;
            }
            Some(ChannelMsg::Close) | None => self.ended = true,
            Some(_) => {}
        }
    }

    /// As [`Self::step`], within the deadline and the bound.
    async fn step_bounded(&mut self) -> Result<(), RemoteError> {
        if timeout_at(self.heard.until(), self.step()).await.is_err() {
            return Err(self.heard.no_end());
        }
        self.heard.check_bound()
    }

    /// Sends input; stops without an error when the script ends before it has read it all.
    pub(super) async fn feed(&mut self, mut bytes: &[u8]) -> Result<(), RemoteError> {
        while !bytes.is_empty() && !self.ended && self.heard.status.is_none() {
            let until = self.heard.until();
            tokio::select! {
                written = self.input.write(bytes) => match written {
                    Ok(count) => bytes = &bytes[count..],
                    Err(_) => return Err(self.heard.lost(&self.session.cause())),
                },
                message = self.read.wait() => {
                    self.take(message);
                    self.heard.check_bound()?;
                }
                () = tokio::time::sleep_until(until) => return Err(self.heard.no_end()),
            }
        }
        Ok(())
    }

    /// As [`Self::feed`], but a script that has ended is an error: someone wants to talk to it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        self.feed(bytes).await?;
        if self.ended || self.heard.status.is_some() {
            return Err(self.failure());
        }
        Ok(())
    }

    async fn end_input(&mut self) {
        let _ended_by_itself = timeout_at(self.heard.until(), self.input.shutdown()).await;
    }

    /// The next chunk of standard output; `None` at its end.
    pub(super) async fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, RemoteError> {
        while self.heard.stdout.is_empty() && !self.at_end().await? {}
        if self.heard.stdout.is_empty() {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.heard.stdout).into()))
    }

    /// The next line; a last one without its line feed counts.
    pub(super) async fn read_line(&mut self) -> Result<Option<String>, RemoteError> {
        let mut searched = 0;
        loop {
            if let Some(at) = self
                .heard
                .stdout
                .iter()
                .skip(searched)
                .position(|&b| b == b'\n')
            {
                let mut line: Vec<u8> = self.heard.stdout.drain(..=searched + at).collect();
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            searched = self.heard.stdout.len();
            if self.at_end().await? {
                let rest: Vec<u8> = self.heard.stdout.drain(..).collect();
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
        }
    }

    /// Awaits more; true if there will be none.
    async fn at_end(&mut self) -> Result<bool, RemoteError> {
        if self.ended {
            return Ok(true);
        }
        if self.heard.status.is_some() {
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
        self.heard.judge(|| self.session.cause())
    }

    fn failure(&self) -> RemoteError {
        self.heard.failure(|| self.session.cause())
    }

    /// The connection it runs over.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
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
