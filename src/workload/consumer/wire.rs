//! What a consumer that subscribes needs of a protocol.

use std::fmt::Display;

use super::super::{Credentials, Endpoint};

/// A connection that reads one queue. Dropping it cuts the socket.
pub(super) trait Wire: Sized + Send + 'static {
    /// Why there is no answer.
    type Error: Display + Send;

    /// Connects to the endpoint itself; an error tells why not. It has a deadline.
    fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
        source: Source,
    ) -> impl Future<Output = Result<Self, String>> + Send;

    /// Begins to be sent messages.
    fn subscribe(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What the broker sends next. Never returns while nothing happens: the caller sets the deadline. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Next> + Send;

    /// Acknowledges all that was delivered, the last of it under this tag.
    fn acknowledge(&mut self, last: u64) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// A request that changes nothing. Once it is answered, the broker has read all that was sent before it.
    fn ask(&self) -> impl Future<Output = Result<(), Self::Error>> + Send + use<Self>;

    /// Is no longer sent messages. Those under way still come, if the protocol keeps them for their subscriber.
    fn cancel(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Closes it in good order.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What is read.
pub(super) struct Source {
    /// The queue's name.
    pub(super) queue: String,
    /// How many messages may be unacknowledged.
    pub(super) prefetch: u16,
}

/// What the broker sent.
pub(super) enum Next {
    Delivery(Delivery),
    /// The subscription is over, the connection is not.
    Cancelled,
    /// The connection is lost, and why.
    Lost(String),
}

/// A message, as every protocol has it.
pub(super) struct Delivery {
    pub(super) body: Vec<u8>,
    /// Among those of its connection.
    pub(super) tag: u64,
    pub(super) redelivered: bool,
}
