//! Operations: what a client did and what became of it.
//!
//! An operation has two entries: it is invoked, then completes. Deliveries are completed
//! at once, so they have one entry, `Ok`.

use serde::{Deserialize, Serialize};

/// Nanoseconds since the run's zero, on the control node's monotonic clock.
pub type Nanos = i64;

/// What an entry says of its operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Phase {
    /// It begins.
    #[default]
    Invoke,
    /// It happened.
    Ok,
    /// It surely did not happen.
    Fail,
    /// Nobody knows.
    Info,
}

/// What the client did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Action {
    /// Published one attempt at a value.
    #[default]
    Publish,
    /// Received a message while the load was on.
    Deliver,
    /// Received a message in the final drain.
    Drain,
    /// Asked the queue for its first message, and got it or was told that there is none.
    Get,
    /// Tried to get the message that is the lock.
    Acquire,
    /// Gave it back, or lost it with the connection.
    Release,
    /// Acknowledged a message that it had received.
    Ack,
    /// Began to consume.
    Subscribe,
    /// Stopped consuming, or lost that with the connection.
    Cancel,
    /// Made something that a broker keeps besides messages.
    Create,
    /// Removed it.
    Delete,
    /// Looked whether a node has it.
    Observe,
}

/// Why an operation did not end `Ok`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Cause {
    /// Nothing to explain.
    #[default]
    None,
    /// `basic.nack`.
    Nacked,
    /// `basic.return`: no queue took it.
    Returned,
    /// No confirm within the deadline.
    ConfirmTimeout,
    /// The connection or the channel was lost before the confirm.
    ConnectionLost,
    /// The run ended before its confirm.
    RunEnded,
    /// A received message that this run did not send, or whose body is damaged.
    Foreign,
    /// The queue had no message.
    Empty,
    /// The broker was asked and did not begin with it.
    Refused,
}

/// One entry of the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// When it was recorded.
    pub time: Nanos,
    /// The logical process: a producer's or consumer's connection; a reconnect is a new one.
    pub process: u32,
    /// The index (in the run's list of nodes) of the node the client is connected to.
    pub node: u16,
    /// See [`Phase`].
    pub phase: Phase,
    /// See [`Action`].
    pub action: Action,
    /// The producer of the message, from 0.
    pub producer: u32,
    /// The producer's sequence number, from 0. With `producer` it is the value.
    pub sequence: u64,
    /// Which attempt at the value, from 0.
    pub attempt: u16,
    /// See [`Cause`].
    pub cause: Cause,
    /// For an open-loop `Publish` invoke: when it was due.
    pub intended: Option<Nanos>,
    /// For a delivery: whether the broker marked it redelivered.
    pub redelivered: bool,
    /// The place of the queue in the scenario's list of queues; of what is no message, the
    /// [kind](super::object::ObjectKind) of the object.
    pub queue: u16,
    /// For a delivery and its ack: the delivery tag; from a stream: the offset.
    pub tag: Option<u64>,
}
