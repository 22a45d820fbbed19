//! What the clients do: one file per workload, the AMQP client beside them.
//!
//! - [`load`]: the table of workloads, and what each is given
//! - [`queue`]: producers with publisher confirms, and consumers; also of `order`, `dead-letter` and
//!   `transient`; [`lock`]: one message is a lock; [`fifo`]: enqueues and dequeues in turn; [`metadata`]:
//!   what brokers keep besides messages, with [`administration`]; [`drain`]: reading to the end; [`stream`]: logs
//!   that are read by offset, with its own protocol and drain
//! - [`attempts`]: what becomes of a publish, pure; [`demand`]: what is published when, pure
//! - [`tally`]: counts while it runs, for those who watch
//! - [`message`]: how a message names itself and checks itself
//! - [`amqp`], `amqp10`, [`confirms`], [`publisher`], `consumer`: everything that knows the AMQP libraries
//!
//! A client of a node talks to that node's own address only and never to another node. Each
//! connection is a logical process of its own in the history.

pub mod administration;
pub mod amqp;
mod amqp10;
pub mod attempts;
mod client;
pub mod confirms;
mod connections;
mod consumer;
pub mod demand;
pub mod drain;
mod drainer;
pub mod fifo;
mod ledger;
pub mod load;
pub mod lock;
pub mod message;
pub mod metadata;
mod producer;
pub mod publisher;
pub mod queue;
mod receipts;
pub mod stream;
pub mod tally;
mod wake;
mod window;

use tokio::sync::watch;

use crate::history::operation::Entry;
use crate::history::recorder::Recorder;
use crate::inventory::{NodeName, Secret};

pub use self::tally::Tally;

/// Where a node's broker is reached from the control node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The node's index in the run's list of nodes.
    pub index: u16,
    /// Its name.
    pub name: NodeName,
    /// Its address or host name.
    pub address: String,
    /// The port of its AMQP listener.
    pub port: u16,
}

/// How clients log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The broker's user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The virtual host.
    pub vhost: String,
}

/// Where entries of the history go.
pub trait Record: Send + Sync {
    /// Hands an entry over; blocks briefly while the way behind it is full.
    fn record(&self, entry: Entry);
}

impl Record for Recorder {
    fn record(&self, entry: Entry) {
        Recorder::record(self, entry);
    }
}

/// Returns when the flag is raised; one that nobody can raise any more counts as raised.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _closed = flag.wait_for(|raised| *raised).await;
}
