//! Scripts by a program that stands by on the host, in place of a channel, a login shell and sudo for each.
//!
//! The program (`runner.pl`) runs as root over one channel of the shared connection and runs any number of scripts side
//! by side. Before a script is sent it has to answer: one that is sent on a connection that had died would be
//! lost, and might still run. Everything else is as over a channel: `timeout` ends a script, a caller that has
//! gone leaves it running, the end of the connection closes its output.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::become_root::Privilege;
use super::heard::Heard;
use super::process::{Exchange, NOT_WANTED, StartError, Wanted};
use super::quote::{Become, command_line, words};
use super::session::{CHANNEL_DEADLINE, Session};
use super::{Output, RemoteError, Script};
use crate::inventory::NodeName;

const PROGRAM: &str = include_str!("runner.pl");
/// Longer than any run, so that no script is ended with it.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// More input has a channel of its own, where it is sent as fast as it is read.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// No message from the host is longer.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const HEAD_BYTES: usize = 9;
/// For a message to be on its way.
const SEND_DEADLINE: Duration = Duration::from_secs(30);
const REQUESTS_MAX: usize = 16;

/// The program on a host, and the connection to it.
pub(super) struct Runner {
    node: NodeName,
    session: Arc<Session>,
    requests: mpsc::Sender<Request>,
    numbers: AtomicU32,
}

enum Request {
    /// To be answered by the host itself.
    Hello(u32, oneshot::Sender<()>),
    Run(u32, Vec<u8>, Listener),
    /// Its output is not wanted any more.
    Leave(u32),
}

/// Where what is heard of a script goes.
struct Listener {
    heard: Arc<Mutex<Heard>>,
    ended: oneshot::Sender<()>,
}

/// A script that the program runs.
pub(super) struct Step {
    runner: Arc<Runner>,
    number: u32,
    heard: Arc<Mutex<Heard>>,
    ended: oneshot::Receiver<()>,
}

struct Message {
    letter: u8,
    number: u32,
    bytes: Vec<u8>,
}

/// The channel to the program, as messages.
struct Wire {
    exchange: Exchange,
    arrived: Vec<u8>,
}

/// Whether a script can be run this way.
pub(super) fn is_fit(script: &Script) -> bool {
    script.root && script.stdin.len() <= INPUT_BYTES_MAX
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// Starts the program, once root can be become there; an error tells why it does not answer.
    pub(super) async fn start(
        node: &NodeName,
        session: Arc<Session>,
        privilege: &Privilege,
    ) -> Result<Self, String> {
        let script = Script::new("stand by", "exec perl -e \"$1\"")
            .arg(PROGRAM)
            .deadline(LIFETIME);
        let started =
            Exchange::start(node, Arc::clone(&session), &script, privilege, &|| true).await;
        let exchange = started.map_err(|error| match error {
            StartError::NotSent(cause) => cause,
            StartError::Final(error) => error.to_string(),
        })?;
        let mut wire = Wire {
            exchange,
            arrived: Vec::new(),
        };
        if let Err(reason) = wire.greet().await {
            wire.exchange.close().await;
            return Err(reason);
        }
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        tokio::spawn(serve(wire, asked));
        Ok(Self {
            node: node.clone(),
            session,
            requests,
            numbers: AtomicU32::new(1),
        })
    }

    /// Whether it runs as far as is known.
    pub(super) fn is_there(&self) -> bool {
        !self.requests.is_closed() && !self.session.is_closed()
    }

    /// Has a script run. One that is not `wanted` any more when the program has answered is not started.
    pub(super) async fn begin(
        self: &Arc<Self>,
        script: &Script,
        wanted: Wanted<'_>,
    ) -> Result<Step, StartError> {
        let heard = Heard::new(&self.node, script, None);
        // What fits here has to fit a channel, too.
        if let Err(reason) = command_line(script, Become::LoginUser) {
            return Err(StartError::Final(heard.rejected(reason)));
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        match timeout(CHANNEL_DEADLINE, self.hello(number)).await {
            Ok(true) => {}
            Ok(false) => return Err(StartError::NotSent(self.cause())),
            Err(_) => {
                let seconds = CHANNEL_DEADLINE.as_secs();
                let cause = format!("no answer on the connection within {seconds} s");
                return Err(StartError::NotSent(cause));
            }
        }
        if !wanted() {
            return Err(StartError::Final(heard.rejected(NOT_WANTED.into())));
        }
        let heard = Arc::new(Mutex::new(heard));
        let (end, ended) = oneshot::channel();
        let listener = Listener {
            heard: Arc::clone(&heard),
            ended: end,
        };
        let words = words(script, Become::LoginUser);
        let request = Request::Run(number, command(&words, &script.stdin), listener);
        let asked = timeout(SEND_DEADLINE, self.requests.send(request)).await;
        if !matches!(asked, Ok(Ok(()))) {
            return Err(StartError::NotSent(self.cause()));
        }
        Ok(Step {
            runner: Arc::clone(self),
            number,
            heard,
            ended,
        })
    }

    async fn hello(&self, number: u32) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = self.requests.send(Request::Hello(number, answer)).await;
        asked.is_ok() && answered.await.is_ok()
    }

    /// Why it is not there any more.
    fn cause(&self) -> String {
        if self.session.is_closed() {
            return self.session.cause();
        }
        "the program that runs scripts there ended".to_owned()
    }
}

impl Step {
    /// Waits for its end.
    pub(super) async fn finish(mut self) -> Result<Output, RemoteError> {
        let until = lock(&self.heard).until();
        let ended = timeout_at(until, &mut self.ended).await;
        let mut heard = lock(&self.heard);
        let bound = heard.check_bound();
        if ended.is_err() || bound.is_err() {
            let _gone_already = self.runner.requests.try_send(Request::Leave(self.number));
        }
        if ended.is_err() {
            return Err(heard.no_end());
        }
        bound?;
        heard.judge(|| self.runner.cause())
    }
}

/// Carries requests to the host and what it says to who listens, until one side ends.
async fn serve(mut wire: Wire, mut requests: mpsc::Receiver<Request>) {
    let mut greeted = HashMap::new();
    let mut running: HashMap<u32, Listener> = HashMap::new();
    loop {
        let message = tokio::select! {
            request = requests.recv() => {
                let sent = match request {
                    None => break,
                    Some(Request::Hello(number, answer)) => {
                        greeted.insert(number, answer);
                        wire.send(b'H', number, &[]).await
                    }
                    Some(Request::Run(number, command, listener)) => {
                        running.insert(number, listener);
                        wire.send(b'R', number, &command).await
                    }
                    Some(Request::Leave(number)) => wire.send(b'K', number, &[]).await,
                };
                if sent.is_err() {
                    break;
                }
                continue;
            }
            message = wire.next() => message,
        };
        let Ok(Message {
            letter,
            number,
            bytes,
        }) = message
        else {
            break;
        };
        if letter == b'H' {
            let _nobody_waits = greeted.remove(&number).map(|answer| answer.send(()));
        } else if running
            .get(&number)
            .is_some_and(|listener| listener.hear(letter, &bytes).is_break())
        {
            let ended = running.remove(&number);
            let _nobody_waits = ended.map(|listener| listener.ended.send(()));
        }
    }
    wire.exchange.close().await;
}

impl Listener {
    /// Breaks where nothing more is to be heard, or taken.
    fn hear(&self, letter: u8, bytes: &[u8]) -> ControlFlow<()> {
        let mut heard = lock(&self.heard);
        match letter {
            b'O' => heard.stdout.extend(bytes),
            b'E' => heard.complain(bytes),
            _ => {
                heard.status = String::from_utf8_lossy(bytes).parse().ok();
                return ControlFlow::Break(());
            }
        }
        match heard.check_bound() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

impl Wire {
    /// Awaits the program's first word.
    async fn greet(&mut self) -> Result<(), String> {
        let greeted = async {
            self.send(b'H', 0, &[]).await?;
            self.next().await
        };
        match timeout(CHANNEL_DEADLINE, greeted).await {
            Ok(Ok(Message { letter: b'H', .. })) => Ok(()),
            Ok(Ok(_)) => Err("it does not answer as asked".into()),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err("it does not answer".into()),
        }
    }

    async fn send(&mut self, letter: u8, number: u32, bytes: &[u8]) -> Result<(), String> {
        let mut message = vec![letter];
        message.extend(number.to_be_bytes());
        push_with_length(&mut message, bytes);
        match timeout(SEND_DEADLINE, self.exchange.write(&message)).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("it takes nothing".into()),
        }
    }

    /// The next message. Cancel-safe.
    async fn next(&mut self) -> Result<Message, String> {
        loop {
            if let Some(message) = take(&mut self.arrived)? {
                return Ok(message);
            }
            match self.exchange.read_chunk().await {
                Ok(Some(bytes)) => self.arrived.extend(bytes),
                Ok(None) => return Err("it ended".into()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// The first message, where it is whole.
fn take(arrived: &mut Vec<u8>) -> Result<Option<Message>, String> {
    let Some(([letter, number @ .., a, b, c, d], rest)) = arrived.split_first_chunk::<HEAD_BYTES>()
    else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if !b"HOEX".contains(letter) || length > MESSAGE_BYTES_MAX {
        return Err("it says what it should not".into());
    }
    let Some(bytes) = rest.get(..length) else {
        return Ok(None);
    };
    let message = Message {
        letter: *letter,
        number: u32::from_be_bytes(*number),
        bytes: bytes.to_vec(),
    };
    arrived.drain(..HEAD_BYTES + length);
    Ok(Some(message))
}

/// As `runner.pl` takes it: the number of words, the words, and the input.
fn command(words: &[String], input: &[u8]) -> Vec<u8> {
    let mut command = length(words.len()).to_vec();
    for word in words {
        push_with_length(&mut command, word.as_bytes());
    }
    command.extend(input);
    command
}

fn push_with_length(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(length(bytes.len()));
    to.extend(bytes);
}

/// What a host takes as a command is far shorter than this could say.
fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(letter: u8, number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut message = vec![letter];
        message.extend(number.to_be_bytes());
        push_with_length(&mut message, bytes);
        message
    }

    #[test]
    fn messages_are_taken_when_they_are_whole() {
        let sent = [said(b'O', 7, b"out\0"), said(b'X', 8, b"0")].concat();
        let (mut arrived, mut taken) = (Vec::new(), Vec::new());
        for byte in sent {
            arrived.push(byte);
            if let Some(message) = take(&mut arrived).unwrap() {
                taken.push((message.letter, message.number, message.bytes));
            }
        }
        let expected = [(b'O', 7, b"out\0".to_vec()), (b'X', 8, b"0".to_vec())];
        assert_eq!(taken, expected);
        assert!(arrived.is_empty());
    }

    #[test]
    fn what_is_no_message_ends_the_talk() {
        assert!(take(&mut b"Welcome to".to_vec()).is_err());
        assert!(take(&mut said(b'O', 1, &vec![0; MESSAGE_BYTES_MAX + 1])).is_err());
    }

    #[test]
    fn only_what_root_runs_and_a_pipe_takes_is_fit() {
        let script = Script::new("x", "cat");
        assert!(is_fit(&script) && !is_fit(&script.clone().as_login_user()));
        assert!(is_fit(&script.clone().stdin(vec![0; INPUT_BYTES_MAX])));
        assert!(!is_fit(&script.stdin(vec![0; INPUT_BYTES_MAX + 1])));
    }
}
