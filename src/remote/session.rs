//! One authenticated SSH connection: TCP or through jump hosts, handshake, host key, login.
//!
//! russh says little about why a connection ended; [`Client`] keeps the cause. A
//! connection that is given up takes its socket with it, so that a host that hangs in
//! the middle of a handshake leaves no task behind.

use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{Channel, Preferred};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::RemoteError;
use super::config::{Route, Target};
use super::host_keys::{Finding, HostName, Known, remember};
use crate::inventory::{HostKeyPolicy, NodeName};

/// For the name to resolve and TCP to connect.
const TCP_DEADLINE: Duration = Duration::from_secs(10);
/// From the server's banner to the end of the key exchange.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(15);
/// For all methods together; PAM may delay a refusal by seconds.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// For the server to confirm a channel.
pub(super) const CHANNEL_DEADLINE: Duration = Duration::from_secs(10);
/// For an orderly goodbye.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);
/// A silent server is asked after this time, and given up after three more.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_MAX: usize = 3;

/// An open connection, logged in.
pub(super) struct Session {
    handle: Handle<Client>,
    /// Why it ended, once it has.
    ended: watch::Receiver<Option<String>>,
    /// Declared after the handle: it is to fall with the connection, not before.
    carrier: Carrier,
}

/// What the connection's bytes travel on.
enum Carrier {
    Tcp(std::net::TcpStream),
    Jump(Box<Session>),
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Self::Tcp(socket) = self {
            let _already_gone = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Why no channel could be opened.
pub(super) enum ChannelError {
    /// The connection is dead; nothing was sent.
    Dead(String),
    /// The server refuses.
    Refused(String),
}

impl Session {
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Why it ended, as far as known.
    pub(super) fn cause(&self) -> String {
        if let Carrier::Jump(session) = &self.carrier
            && session.is_closed()
        {
            return format!("jump host: {}", session.cause());
        }
        match &*self.ended.borrow() {
            Some(cause) => format!("the connection was lost: {cause}"),
            None => "the connection was lost".into(),
        }
    }

    pub(super) async fn channel(&self) -> Result<Channel<client::Msg>, ChannelError> {
        match timeout(CHANNEL_DEADLINE, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(ChannelError::Refused(format!(
                "the server opens no channel ({why:?}); MaxSessions in its sshd_config has to be 10, its default"
            ))),
            Ok(Err(_)) => Err(ChannelError::Dead(self.cause())),
            Err(_) => Err(ChannelError::Dead(format!(
                "no answer on the connection within {} s",
                CHANNEL_DEADLINE.as_secs()
            ))),
        }
    }

    /// Says goodbye and waits a moment for the server's end.
    pub(super) async fn close(&self) {
        let mut ended = self.ended.clone();
        let goodbye = async {
            let reason = russh::Disconnect::ByApplication;
            if self.handle.disconnect(reason, "done", "en").await.is_ok() {
                let _cause = ended.wait_for(Option::is_some).await;
            }
        };
        if timeout(GOODBYE_DEADLINE, goodbye).await.is_err() {
            tracing::debug!("no orderly end of the connection");
        }
    }
}

/// Connects along the route and logs in at each hop.
pub(super) async fn establish(node: &NodeName, route: &Route) -> Result<Session, RemoteError> {
    let mut carrier: Option<Session> = None;
    for jump in &route.jumps {
        let via = format!("through jump host {}: ", jump.hostname);
        carrier = Some(hop(node, jump, carrier, &via).await?);
    }
    hop(node, &route.node, carrier, "").await
}

async fn hop(
    node: &NodeName,
    target: &Target,
    carrier: Option<Session>,
    via: &str,
) -> Result<Session, RemoteError> {
    let unreachable = |reason: String| RemoteError::Unreachable {
        node: node.clone(),
        purpose: "connect".into(),
        reason: format!("{via}{reason}"),
    };
    let refused = |reason: String| RemoteError::HostKey {
        node: node.clone(),
        reason: format!("{via}{reason}"),
    };
    let known =
        known(target).map_err(|error| refused(format!("cannot read known hosts: {error}")))?;
    let config = Arc::new(config(&known));
    let (said, ended) = watch::channel(None);
    let client = Client {
        target: target.clone(),
        known,
        said,
    };
    let (handle, carrier) = match carrier {
        None => {
            let stream = tcp(target).await.map_err(unreachable)?;
            let (stream, socket) = with_socket(stream).map_err(|e| unreachable(e.to_string()))?;
            let carrier = Carrier::Tcp(socket);
            (handshake(config, stream, client).await, carrier)
        }
        Some(session) => {
            let stream = tunnel(&session, target).await.map_err(unreachable)?;
            let carrier = Carrier::Jump(Box::new(session));
            (handshake(config, stream, client).await, carrier)
        }
    };
    let mut handle = match handle {
        Ok(handle) => handle,
        Err(ClientError::HostKey(reason)) => return Err(refused(reason)),
        Err(ClientError::Ssh(error)) => {
            let place = format!("{} port {}", target.hostname, target.port);
            return Err(unreachable(format!("{place}: {}", explain(&error))));
        }
        Err(ClientError::Hangs) => {
            return Err(unreachable(format!(
                "{} port {} takes the connection but does not finish the SSH handshake within {} s",
                target.hostname,
                target.port,
                HANDSHAKE_DEADLINE.as_secs()
            )));
        }
    };
    let login = timeout(LOGIN_DEADLINE, super::auth::login(&mut handle, target)).await;
    let no_end = || Err(format!("no end after {} s", LOGIN_DEADLINE.as_secs()));
    match login.unwrap_or_else(|_| no_end()) {
        Ok(()) => Ok(Session {
            handle,
            ended,
            carrier,
        }),
        Err(reason) => {
            let cause = ended
                .borrow()
                .clone()
                .map_or(String::new(), |c| format!(" ({c})"));
            Err(RemoteError::Login {
                node: node.clone(),
                user: target.user.clone(),
                reason: format!("{via}{reason}{cause}"),
            })
        }
    }
}

fn known(target: &Target) -> std::io::Result<Known> {
    let host = HostName {
        name: target.known_as.clone(),
        port: target.port,
    };
    if target.host_keys == HostKeyPolicy::Off {
        return Known::read(host, &[]);
    }
    let files: Vec<PathBuf> = target
        .user_known_hosts
        .iter()
        .chain(&target.global_known_hosts)
        .cloned()
        .collect();
    Known::read(host, &files)
}

fn config(known: &Known) -> client::Config {
    let listed = known.algorithms();
    let mut key: Vec<Algorithm> = Preferred::DEFAULT.key.to_vec();
    // RSA is one algorithm as a key and three as a signature.
    let is_listed = |algorithm: &Algorithm| {
        listed
            .iter()
            .any(|l| l == algorithm || (l.clone().is_rsa() && algorithm.clone().is_rsa()))
    };
    key.sort_by_key(|algorithm| !is_listed(algorithm));
    client::Config {
        nodelay: true,
        keepalive_interval: Some(KEEPALIVE_INTERVAL),
        keepalive_max: KEEPALIVES_MAX,
        inactivity_timeout: None,
        preferred: Preferred {
            key: key.into(),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    }
}

async fn tcp(target: &Target) -> Result<TcpStream, String> {
    let address = (target.hostname.as_str(), target.port);
    let place = format!("{} port {}", target.hostname, target.port);
    match timeout(TCP_DEADLINE, TcpStream::connect(address)).await {
        Err(_) => Err(format!(
            "{place} does not answer within {} s",
            TCP_DEADLINE.as_secs()
        )),
        Ok(Err(error)) => Err(format!("{place}: {error}")),
        Ok(Ok(stream)) => {
            stream
                .set_nodelay(true)
                .map_err(|error| format!("{place}: {error}"))?;
            Ok(stream)
        }
    }
}

/// A second handle to the socket, by which the connection is cut whatever russh is doing.
fn with_socket(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = stream.into_std()?;
    let socket = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, socket))
}

async fn tunnel(
    session: &Session,
    target: &Target,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, String> {
    let place = format!("{} port {}", target.hostname, target.port);
    let port = u32::from(target.port);
    let open = session
        .handle
        .channel_open_direct_tcpip(&target.hostname, port, "127.0.0.1", 0);
    match timeout(TCP_DEADLINE, open).await {
        Err(_) => Err(format!(
            "the jump host does not reach {place} within {} s",
            TCP_DEADLINE.as_secs()
        )),
        Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(format!(
            "the jump host does not connect to {place} ({why:?}); it must reach it and have AllowTcpForwarding"
        )),
        Ok(Err(_)) => Err(format!("the jump host is gone: {}", session.cause())),
        Ok(Ok(channel)) => Ok(channel.into_stream()),
    }
}

async fn handshake<S>(
    config: Arc<client::Config>,
    stream: S,
    client: Client,
) -> Result<Handle<Client>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match timeout(
        HANDSHAKE_DEADLINE,
        client::connect_stream(config, stream, client),
    )
    .await
    {
        Ok(result) => result,
        Err(_) => Err(ClientError::Hangs),
    }
}

/// Why a handshake failed or a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error("{0}")]
    HostKey(String),
    #[error("it hangs")]
    Hangs,
}

fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::HUP | russh::Error::Disconnect => {
            "it closed the connection (sshd restarting, or its MaxStartups reached)".into()
        }
        russh::Error::KeepaliveTimeout => format!(
            "no sign of life for {} s",
            KEEPALIVE_INTERVAL.as_secs() * (KEEPALIVES_MAX as u64 + 1)
        ),
        russh::Error::Version => "it does not speak SSH".into(),
        other => other.to_string(),
    }
}

/// russh's callbacks: judges the host key, keeps the cause of the end.
pub(super) struct Client {
    target: Target,
    known: Known,
    said: watch::Sender<Option<String>>,
}

impl client::Handler for Client {
    type Error = ClientError;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> Result<bool, ClientError> {
        if self.target.host_keys == HostKeyPolicy::Off {
            return Ok(true);
        }
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else {
            return Err(ClientError::HostKey(
                "it presented a certificate that was not asked for".into(),
            ));
        };
        let reason = match self.known.check(key) {
            Finding::Match => return Ok(true),
            Finding::Unknown(_) if self.target.host_keys == HostKeyPolicy::AcceptNew => {
                let host = HostName {
                    name: self.target.known_as.clone(),
                    port: self.target.port,
                };
                let Some(file) = self.target.user_known_hosts.first() else {
                    return Ok(true);
                };
                return match remember(&host, file, key) {
                    Ok(()) => Ok(true),
                    Err(error) => Err(ClientError::HostKey(format!(
                        "cannot remember its key in {}: {error}",
                        file.display()
                    ))),
                };
            }
            Finding::Unknown(reason)
            | Finding::Changed(reason)
            | Finding::Revoked(reason)
            | Finding::OtherAlgorithm(reason) => reason,
        };
        Err(ClientError::HostKey(reason))
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<ClientError>,
    ) -> Result<(), ClientError> {
        let cause = match &reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                format!("the server said: {}", said.message.trim())
            }
            DisconnectReason::Error(ClientError::Ssh(error)) => explain(error),
            DisconnectReason::Error(error) => error.to_string(),
        };
        self.said.send_replace(Some(cause));
        Ok(())
    }
}
