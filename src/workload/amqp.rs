//! A connection to one broker with one channel on it, and the only place where it is made.
//!
//! Set explicitly because the library's defaults are wrong for a test of failures: a heartbeat
//! (else a frozen broker is never noticed), a deadline on connecting (the library has none), no
//! recovery by the library (a reconnect is a new logical process). The socket is made here and
//! a second handle of it kept, so that a connection that is given up is cut at once, whatever
//! state the library's own thread is in.

use std::io;
use std::net::Shutdown;
use std::sync::Mutex;
use std::time::Duration;

use async_compat::CompatExt;
use lapin::options::ConfirmSelectOptions;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Credentials, Endpoint};

/// From the first packet to an open channel.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long an orderly close may take before the socket is cut.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// Asked of the broker; a peer silent for twice as long is given up.
pub const HEARTBEAT_S: u16 = 6;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The broker's port cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Socket {
        /// Address and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The broker refused.
    #[error("no AMQP session with {address}: {source}")]
    Refused {
        /// Address and port.
        address: String,
        /// What the library says.
        source: Box<lapin::Error>,
    },
    /// It does not confirm publishes.
    #[error("no publisher confirms: {0}")]
    NoConfirms(String),
    /// It took too long.
    #[error("no AMQP session with {address} within {} s", CONNECT_DEADLINE.as_secs())]
    Deadline {
        /// Address and port.
        address: String,
    },
}

/// A connection with its one channel. Dropping it cuts the socket.
pub struct Link {
    channel: Channel,
    connection: Connection,
    _cut: CutOnDrop,
}

/// Cuts a socket, whoever holds it.
pub(super) struct CutOnDrop(std::net::TcpStream);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        // An error means that the socket is gone already.
        let _gone = self.0.shutdown(Shutdown::Both);
    }
}

impl Link {
    /// Connects to the endpoint itself and opens a channel, within [`CONNECT_DEADLINE`].
    pub async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, ConnectError> {
        let address = format!("{}:{}", endpoint.address, endpoint.port);
        let opening = Self::open_without_deadline(endpoint, credentials, name, &address);
        match timeout(CONNECT_DEADLINE, opening).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ConnectError::Deadline { address }),
        }
    }

    /// The same, with the channel in confirm mode; for that it has as long again.
    pub async fn open_confirming(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, ConnectError> {
        let link = Self::open(endpoint, credentials, name).await?;
        let selecting = link.channel.confirm_select(ConfirmSelectOptions::default());
        match timeout(CONNECT_DEADLINE, selecting).await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(error)) => Err(ConnectError::NoConfirms(error.to_string())),
            Err(_elapsed) => Err(ConnectError::NoConfirms("no answer".to_owned())),
        }
    }

    async fn open_without_deadline(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        address: &str,
    ) -> Result<Self, ConnectError> {
        let no_socket = |source| ConnectError::Socket {
            address: address.to_owned(),
            source,
        };
        let refused = |source| ConnectError::Refused {
            address: address.to_owned(),
            source: Box::new(source),
        };
        let (stream, cut) = socket(&endpoint.address, endpoint.port)
            .await
            .map_err(no_socket)?;
        let stream = Mutex::new(Some(stream));
        let connection = Connection::connector(
            uri(endpoint, credentials),
            lapin::runtime::default_runtime().map_err(refused)?,
            async move |_uri, _runtime| {
                let stream = stream.lock().ok().and_then(|mut stream| stream.take());
                let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
                Ok(AsyncTcpStream::Plain(stream.compat()))
            },
            ConnectionProperties::default().with_connection_name(name.into()),
        )
        .await
        .map_err(refused)?;
        let channel = connection.create_channel().await.map_err(refused)?;
        Ok(Self {
            channel,
            connection,
            _cut: cut,
        })
    }

    /// The channel.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Whether both connection and channel are still open, as far as is known here.
    pub fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Closes in good order, so that the broker has seen all that was sent before; whether it
    /// did so in [`CLOSE_DEADLINE`].
    pub async fn close(self) -> bool {
        let closing = self.connection.close(200, "done".into());
        matches!(timeout(CLOSE_DEADLINE, closing).await, Ok(Ok(())))
    }
}

/// A new socket, and what cuts it.
pub(super) async fn socket(host: &str, port: u16) -> io::Result<(TcpStream, CutOnDrop)> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let cut = CutOnDrop(stream.try_clone()?);
    Ok((TcpStream::from_std(stream)?, cut))
}

fn uri(endpoint: &Endpoint, credentials: &Credentials) -> AMQPUri {
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: credentials.user.clone(),
                password: credentials.password.expose().to_owned(),
            },
            host: endpoint.address.clone(),
            port: endpoint.port,
        },
        vhost: credentials.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: Some(HEARTBEAT_S),
            ..AMQPQueryString::default()
        },
    }
}
