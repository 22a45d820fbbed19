//! A host over SSH: one connection for its scripts, shared by channels, made again when
//! it is found dead.
//!
//! A script that may have been started is never started again. One whose connection turns
//! out dead before it was sent is, after a reconnect with bounded backoff.
//!
//! A conversation ([`Remote::open`]) has a connection of its own: its output may be large and
//! its reader slow (logs), an undrained channel stalls all channels beside it,
//! and behind a bulk transfer the renewal of a lease would have to wait. So back-pressure reaches
//! the host, and nobody else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::become_root::Privilege;
use super::config::{Route, route};
use super::process::{Exchange, NOT_WANTED, StartError, Wanted};
use super::session::{Session, establish};
use super::{ConnectOptions, Host, Output, Process, Remote, RemoteError, Script};
use crate::inventory::{Node, NodeName};

/// OpenSSH allows 10 (`MaxSessions`).
const CHANNELS_MAX: usize = 8;
/// Connections for conversations, beside the one for scripts.
const CONVERSATIONS_MAX: usize = 8;
/// For a channel to become free.
const QUEUE_DEADLINE: Duration = Duration::from_secs(120);
/// For all attempts to reconnect together; the script's own deadline holds too.
const RECONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// Waits between attempts to reconnect: one more attempt than there are waits.
const RECONNECT_WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// For a file to be put.
const PUT_DEADLINE: Duration = Duration::from_secs(300);

/// A host over SSH.
pub struct Ssh {
    inner: Arc<Inner>,
}

/// Lives on in the task of a script whose caller has gone.
struct Inner {
    node: NodeName,
    route: Route,
    privilege: Privilege,
    /// `None` until the first use and after [`Remote::close`].
    session: Mutex<Option<Arc<Session>>>,
    channels: Arc<Semaphore>,
    conversations: Arc<Semaphore>,
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssh({})", self.inner.node)
    }
}

impl Ssh {
    /// Connects and logs in.
    pub async fn connect(node: &Node, options: &ConnectOptions) -> Result<Self, RemoteError> {
        tracing::debug!(node = %node.name, address = %node.address, "connecting");
        let route = route(node, options)
            .await
            .map_err(|reason| RemoteError::Unreachable {
                node: node.name.clone(),
                purpose: "connect".into(),
                reason,
            })?;
        let session = establish(&node.name, &route).await?;
        let inner = Inner {
            node: node.name.clone(),
            privilege: Privilege {
                user: route.node.user.clone(),
                use_sudo: node.use_sudo,
                password: node.sudo_password.clone(),
            },
            route,
            session: Mutex::new(Some(Arc::new(session))),
            channels: Arc::new(Semaphore::new(CHANNELS_MAX)),
            conversations: Arc::new(Semaphore::new(CONVERSATIONS_MAX)),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The same as a handle for everyone.
    pub fn into_host(self) -> Host {
        Arc::new(self)
    }
}

impl Inner {
    fn unreachable(&self, script: &Script, reason: String) -> RemoteError {
        RemoteError::Unreachable {
            node: self.node.clone(),
            purpose: script.purpose.clone(),
            reason,
        }
    }

    async fn permit(
        &self,
        from: &Arc<Semaphore>,
        script: &Script,
    ) -> Result<OwnedSemaphorePermit, RemoteError> {
        match timeout(QUEUE_DEADLINE, Arc::clone(from).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(self.unreachable(
                script,
                format!(
                    "all its channels were busy for {} s",
                    QUEUE_DEADLINE.as_secs()
                ),
            )),
        }
    }

    /// Runs a script over the shared connection.
    async fn run(&self, script: &Script, wanted: Wanted<'_>) -> Result<Output, RemoteError> {
        let mut exchange = self.start(script, true, wanted).await?;
        match exchange.feed(&script.stdin).await {
            Ok(()) => exchange.finish().await,
            Err(error) => {
                exchange.close().await;
                Err(error)
            }
        }
    }

    /// Starts a script over the shared connection or one of its own; again after a reconnect,
    /// as long as it surely was not sent.
    async fn start(
        &self,
        script: &Script,
        shared: bool,
        wanted: Wanted<'_>,
    ) -> Result<Exchange, RemoteError> {
        let until = Instant::now() + RECONNECT_DEADLINE.min(script.deadline);
        let mut waits = RECONNECT_WAITS.into_iter();
        let mut first_cause: Option<String> = None;
        loop {
            if !wanted() {
                return Err(self.unreachable(script, NOT_WANTED.into()));
            }
            let session = match timeout_at(until, self.session(shared)).await {
                Ok(session) => session,
                Err(_) => Err(StartError::NotSent("no new connection in time".into())),
            };
            let started = match session {
                Ok(session) => {
                    let (node, privilege) = (&self.node, &self.privilege);
                    let started =
                        Exchange::start(node, Arc::clone(&session), script, privilege, wanted)
                            .await;
                    if matches!(started, Err(StartError::NotSent(_))) {
                        self.retire(&session).await;
                    }
                    started
                }
                Err(error) => Err(error),
            };
            let cause = match started {
                Ok(exchange) => return Ok(exchange),
                Err(StartError::Final(error)) => return Err(error),
                Err(StartError::NotSent(cause)) => cause,
            };
            match waits.next() {
                Some(wait) if Instant::now() + wait < until => sleep(wait).await,
                _ => {
                    let reason = match first_cause {
                        Some(first) if first != cause => format!("{first}; then {cause}"),
                        Some(_) | None => cause,
                    };
                    return Err(self.unreachable(script, reason));
                }
            }
            first_cause.get_or_insert(cause);
        }
    }

    /// A connection: the shared one, made anew if it is gone, or one more. A host key that is
    /// refused is final; a login is not, it worked before (a host that boots refuses it).
    async fn session(&self, shared: bool) -> Result<Arc<Session>, StartError> {
        let not_sent = |error| match error {
            RemoteError::Unreachable { reason, .. } => {
                StartError::NotSent(format!("no new connection: {reason}"))
            }
            login @ RemoteError::Login { .. } => StartError::NotSent(login.to_string()),
            other => StartError::Final(other),
        };
        let establish = || establish(&self.node, &self.route);
        if !shared {
            return establish().await.map(Arc::new).map_err(not_sent);
        }
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        if let Some(lost) = slot.take() {
            tracing::debug!(node = %self.node, cause = lost.cause(), "reconnecting");
        }
        let session = establish().await.map_err(not_sent)?;
        Ok(Arc::clone(slot.insert(Arc::new(session))))
    }

    /// Parts with a connection on which no channel opens.
    async fn retire(&self, dead: &Arc<Session>) {
        let mut slot = self.session.lock().await;
        if slot
            .as_ref()
            .is_some_and(|session| Arc::ptr_eq(session, dead))
        {
            *slot = None;
        }
    }
}

#[async_trait]
impl Remote for Ssh {
    fn node(&self) -> &NodeName {
        &self.inner.node
    }

    /// Once started, the script is seen to its end even if the caller stops waiting, so that
    /// its output never stalls the others; before that, it is not started any more.
    async fn run(&self, script: &Script) -> Result<Output, RemoteError> {
        let begun = Instant::now();
        let permit = self.inner.permit(&self.inner.channels, script).await?;
        let (answer, answered) = oneshot::channel();
        let (inner, task_script) = (Arc::clone(&self.inner), script.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let result = inner.run(&task_script, &|| !answer.is_closed()).await;
            let _nobody_waits = answer.send(result);
        });
        let result = match answered.await {
            Ok(result) => result,
            Err(_) => Err(self.inner.unreachable(script, "its task panicked".into())),
        };
        tracing::debug!(
            node = %self.inner.node,
            purpose = script.purpose,
            ms = begun.elapsed().as_millis(),
            ok = result.is_ok(),
            "ran"
        );
        result
    }

    async fn open(&self, script: &Script) -> Result<Box<dyn Process>, RemoteError> {
        let permit = self.inner.permit(&self.inner.conversations, script).await?;
        let mut exchange = self.inner.start(script, false, &|| true).await?;
        exchange.feed(&script.stdin).await?;
        Ok(Box::new(Conversation {
            exchange,
            _permit: permit,
        }))
    }

    async fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), RemoteError> {
        self.run(&put_script(path, mode, bytes)).await.map(drop)
    }

    async fn close(&self) {
        let session = self.inner.session.lock().await.take();
        if let Some(session) = session {
            session.close().await;
        }
    }
}

/// Writes beside the target and renames; what arrived is counted, since a lost connection
/// looks like the end of the input.
fn put_script(path: &str, mode: u32, bytes: &[u8]) -> Script {
    let text = r#"umask 077
part=$(mktemp "$(dirname "$1")/.jtest-put.XXXXXX")
trap 'rm -f "$part"' EXIT
cat >"$part"
size=$(wc -c <"$part")
[ "$size" -eq "$3" ] || { echo "only $size of $3 bytes arrived" >&2; exit 1; }
chown root:root "$part"
chmod "$2" "$part"
mv -fT "$part" "$1""#;
    Script::new(format!("write {path}"), text)
        .arg(path)
        .arg(format!("{mode:04o}"))
        .arg(bytes.len().to_string())
        .stdin(bytes)
        .deadline(PUT_DEADLINE)
}

/// A script with a connection of its own.
struct Conversation {
    exchange: Exchange,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Process for Conversation {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        self.exchange.write(bytes).await
    }

    async fn read_line(&mut self) -> Result<Option<String>, RemoteError> {
        self.exchange.read_line().await
    }

    async fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, RemoteError> {
        self.exchange.read_chunk().await
    }

    async fn finish(self: Box<Self>) -> Result<Output, RemoteError> {
        let session = self.exchange.session();
        let result = self.exchange.finish().await;
        session.close().await;
        result
    }
}
