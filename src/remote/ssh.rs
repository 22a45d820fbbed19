//! A host over SSH: one connection for its scripts, shared by channels, made again when
//! it is found dead.
//!
//! The first scripts on a connection have a channel each, those that follow what stands by there ([`runner`]).
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
use super::runner::{self, Runner, Step};
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
/// A connection over which so many scripts ran as root is worth a program that runs the others.
const SCRIPTS_BEFORE_RUNNER: u32 = 2;
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
    shared: Mutex<Option<Shared>>,
    channels: Arc<Semaphore>,
    conversations: Arc<Semaphore>,
}

/// The connection for scripts.
struct Shared {
    session: Arc<Session>,
    /// How many scripts ran as root over a channel of their own.
    ran_as_root: u32,
    /// Stands by for the next ones, once it answers.
    runner: Option<Arc<Runner>>,
}

/// A script on its way over the shared connection.
enum Begun {
    Exchange(Box<Exchange>),
    Step(Step),
}

/// How often and until when what was surely not sent is tried again.
struct Retries {
    until: Instant,
    waits: std::array::IntoIter<Duration, 4>,
    first_cause: Option<String>,
}

impl Retries {
    fn of(script: &Script) -> Self {
        Self {
            until: Instant::now() + RECONNECT_DEADLINE.min(script.deadline),
            waits: RECONNECT_WAITS.into_iter(),
            first_cause: None,
        }
    }

    /// Waits for the time of the next attempt; an error says why there is none.
    async fn wait_after(&mut self, cause: String) -> Result<(), String> {
        let next = self.waits.next();
        if let Some(wait) = next.filter(|wait| Instant::now() + *wait < self.until) {
            sleep(wait).await;
            self.first_cause.get_or_insert(cause);
            return Ok(());
        }
        Err(match self.first_cause.take() {
            Some(first) if first != cause => format!("{first}; then {cause}"),
            Some(_) | None => cause,
        })
    }
}

impl Shared {
    fn new(session: Session) -> Self {
        Self {
            session: Arc::new(session),
            ran_as_root: 0,
            runner: None,
        }
    }

    fn is_over(&self, session: &Arc<Session>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }
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
            shared: Mutex::new(Some(Shared::new(session))),
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

    /// Runs a script over the shared connection; again after a reconnect, as long as it surely was not sent.
    async fn run(
        self: &Arc<Self>,
        script: &Script,
        wanted: Wanted<'_>,
    ) -> Result<Output, RemoteError> {
        let mut retries = Retries::of(script);
        loop {
            if !wanted() {
                return Err(self.unreachable(script, NOT_WANTED.into()));
            }
            match self.begin(script, retries.until, wanted).await {
                Ok(begun) => return self.finish(script, begun).await,
                Err(StartError::Final(error)) => return Err(error),
                Err(StartError::NotSent(cause)) => {
                    let retry = retries.wait_after(cause).await;
                    retry.map_err(|reason| self.unreachable(script, reason))?;
                }
            }
        }
    }

    /// Starts a script by what stands by for it, else over a channel.
    async fn begin(
        &self,
        script: &Script,
        until: Instant,
        wanted: Wanted<'_>,
    ) -> Result<Begun, StartError> {
        let shared = timeout_at(until, self.shared_session()).await;
        let (session, runner) = shared.map_err(|_| too_late())??;
        let begun = match runner.filter(|_| runner::is_fit(script)) {
            Some(runner) => runner.begin(script, wanted).await.map(Begun::Step),
            None => {
                let session = Arc::clone(&session);
                let exchange =
                    Exchange::start(&self.node, session, script, &self.privilege, wanted).await;
                exchange.map(Box::new).map(Begun::Exchange)
            }
        };
        if matches!(begun, Err(StartError::NotSent(_))) {
            self.retire(&session).await;
        }
        begun
    }

    async fn finish(
        self: &Arc<Self>,
        script: &Script,
        begun: Begun,
    ) -> Result<Output, RemoteError> {
        let mut exchange = match begun {
            Begun::Step(step) => return step.finish().await,
            Begun::Exchange(exchange) => exchange,
        };
        let session = exchange.session();
        if let Err(error) = exchange.feed(&script.stdin).await {
            exchange.close().await;
            return Err(error);
        }
        let output = exchange.finish().await?;
        if script.root {
            self.stand_by(session).await;
        }
        Ok(output)
    }

    /// Root can be become over this connection; soon something stands by there. Where that fails (there is no perl),
    /// scripts go on over channels.
    async fn stand_by(self: &Arc<Self>, session: Arc<Session>) {
        let mut slot = self.shared.lock().await;
        let Some(shared) = slot.as_mut().filter(|shared| shared.is_over(&session)) else {
            return;
        };
        shared.ran_as_root += 1;
        if shared.ran_as_root != SCRIPTS_BEFORE_RUNNER {
            return;
        }
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let started = Runner::start(&inner.node, Arc::clone(&session), &inner.privilege).await;
            match started {
                Ok(runner) => {
                    let mut slot = inner.shared.lock().await;
                    if let Some(shared) = slot.as_mut().filter(|shared| shared.is_over(&session)) {
                        shared.runner = Some(Arc::new(runner));
                    }
                }
                Err(reason) => {
                    tracing::debug!(node = %inner.node, reason, "nothing stands by for scripts");
                }
            }
        });
    }

    /// Starts a script over a connection of its own; again as long as it surely was not sent.
    async fn open(&self, script: &Script) -> Result<Exchange, RemoteError> {
        let mut retries = Retries::of(script);
        loop {
            match self.begin_alone(script, retries.until).await {
                Ok(exchange) => return Ok(exchange),
                Err(StartError::Final(error)) => return Err(error),
                Err(StartError::NotSent(cause)) => {
                    let retry = retries.wait_after(cause).await;
                    retry.map_err(|reason| self.unreachable(script, reason))?;
                }
            }
        }
    }

    async fn begin_alone(&self, script: &Script, until: Instant) -> Result<Exchange, StartError> {
        let session = timeout_at(until, self.establish()).await;
        let session = session.map_err(|_| too_late())??;
        Exchange::start(
            &self.node,
            Arc::new(session),
            script,
            &self.privilege,
            &|| true,
        )
        .await
    }

    /// A new connection. A host key that is refused is final; a login is not, it worked before (a host that boots
    /// refuses it).
    async fn establish(&self) -> Result<Session, StartError> {
        let session = establish(&self.node, &self.route).await;
        session.map_err(|error| match error {
            RemoteError::Unreachable { reason, .. } => {
                StartError::NotSent(format!("no new connection: {reason}"))
            }
            login @ RemoteError::Login { .. } => StartError::NotSent(login.to_string()),
            other => StartError::Final(other),
        })
    }

    /// The shared connection, made anew if it is gone, and what stands by there.
    async fn shared_session(&self) -> Result<(Arc<Session>, Option<Arc<Runner>>), StartError> {
        let mut slot = self.shared.lock().await;
        if let Some(shared) = slot.as_ref().filter(|shared| !shared.session.is_closed()) {
            let runner = shared.runner.clone().filter(|runner| runner.is_there());
            return Ok((Arc::clone(&shared.session), runner));
        }
        if let Some(lost) = slot.take() {
            tracing::debug!(node = %self.node, cause = lost.session.cause(), "reconnecting");
        }
        let shared = slot.insert(Shared::new(self.establish().await?));
        Ok((Arc::clone(&shared.session), None))
    }

    /// Parts with a connection on which no script can be started.
    async fn retire(&self, dead: &Arc<Session>) {
        let mut slot = self.shared.lock().await;
        if slot.as_ref().is_some_and(|shared| shared.is_over(dead)) {
            *slot = None;
        }
    }
}

fn too_late() -> StartError {
    StartError::NotSent("no new connection in time".into())
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
        let mut exchange = self.inner.open(script).await?;
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
        let shared = self.inner.shared.lock().await.take();
        if let Some(shared) = shared {
            shared.session.close().await;
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
