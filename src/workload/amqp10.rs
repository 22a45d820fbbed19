//! AMQP 1.0 as RabbitMQ 4 serves it: a connection to one broker with one session on it, and the only place where it is made.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Session};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use super::amqp::{CLOSE_DEADLINE, CONNECT_DEADLINE, CutOnDrop, HEARTBEAT_S, socket};
use super::{Credentials, Endpoint};

/// A peer silent for so long is given up.
const IDLE_TIME_OUT: Duration = Duration::from_secs(HEARTBEAT_S as u64 * 2);

/// A connection with its one session. Dropping it cuts the socket.
pub(super) struct SessionLink {
    session: SessionHandle<()>,
    connection: ConnectionHandle<()>,
    _cut: CutOnDrop,
}

impl SessionLink {
    /// Connects to the endpoint itself and begins a session. The deadline is [`in_time`]'s.
    pub(super) async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, String> {
        let (stream, cut) = socket(&endpoint.address, endpoint.port)
            .await
            .map_err(|error| error.to_string())?;
        let vhost = format!("vhost:{}", credentials.vhost);
        let mut connection = Connection::builder()
            .container_id(name)
            .hostname(vhost.as_str())
            .scheme("amqp")
            .sasl_profile(SaslProfile::Plain {
                username: credentials.user.clone(),
                password: credentials.password.expose().to_owned(),
            })
            .idle_time_out(u32::try_from(IDLE_TIME_OUT.as_millis()).unwrap_or(u32::MAX))
            .open_with_stream(stream)
            .await
            .map_err(|error| error.to_string())?;
        let session = Session::begin(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            session,
            connection,
            _cut: cut,
        })
    }

    /// The session, to attach links to it.
    pub(super) fn session(&mut self) -> &mut SessionHandle<()> {
        &mut self.session
    }

    /// Whether both connection and session are still open, as far as is known here.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_closed() && !self.session.is_ended()
    }

    /// Why the session is over; the task is woken when it is.
    pub(super) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let ended = pin!(self.session.on_end());
        ended.poll(context).map(|ended| match ended {
            Ok(()) => "the session has ended".to_owned(),
            Err(error) => error.to_string(),
        })
    }

    /// Ends both in good order, if that takes no longer than [`CLOSE_DEADLINE`].
    pub(super) async fn close(&mut self) {
        let closing = async {
            // Whatever fails here, the socket is cut afterwards.
            let _ended = self.session.end().await;
            let _closed = self.connection.close().await;
        };
        let _late = timeout(CLOSE_DEADLINE, closing).await;
    }
}

/// What opens a session and attaches links to it, within [`CONNECT_DEADLINE`].
pub(super) async fn in_time<T>(
    endpoint: &Endpoint,
    opening: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let reason = match timeout(CONNECT_DEADLINE, opening).await {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(reason)) => format!(": {reason}"),
        Err(_elapsed) => format!(" within {} s", CONNECT_DEADLINE.as_secs()),
    };
    let Endpoint { address, port, .. } = endpoint;
    Err(format!("no AMQP 1.0 session with {address}:{port}{reason}"))
}

/// A queue's address.
pub(super) fn address(queue: &str) -> String {
    format!("/queues/{}", utf8_percent_encode(queue, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_any_name_has_an_address() {
        assert_eq!(address("jtest.queue"), "/queues/jtest%2Equeue");
        assert_eq!(address("a/b ü%"), "/queues/a%2Fb%20%C3%BC%25");
    }
}
