//! The only room that knows RabbitMQ's files and commands.
//!
//! - [`deploy`]: from bare hosts to a cluster that is proven ready, and back; [`survey`] looks first,
//!   [`config`] writes the files, [`packages`] reads packages, [`setup`] makes user and policy,
//!   [`ready`] the queue and the proof
//! - [`evaluate`]: how a broker is asked
//! - [`status`]: what each node says of the cluster and of the queue
//! - [`watch`]: the same in short, again and again while a run goes on, with the nodes' clocks
//! - [`metadata`]: policies, users and virtual hosts, and what each node has of them
//! - [`recover`]: waiting for a whole cluster, and the restart that `ignore` needs
//! - [`collect`]: logs and configuration come home, and [`queues`]: all queues as their leaders have them

pub mod collect;
mod config;
pub mod deploy;
mod evaluate;
mod metadata;
mod packages;
mod queues;
mod ready;
pub mod recover;
mod setup;
pub mod status;
mod survey;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inventory::NodeName;
use crate::remote::Host;
use crate::scenario::Queue;
use crate::workload::{Credentials, Endpoint};

/// Where brokers listen for AMQP.
pub const AMQP_PORT: u16 = 5672;

/// Where brokers listen for each other.
pub const PEER_PORT: u16 = 25672;

/// Shell functions by which scripts ask the broker on their host.
pub const SHELL: &str = include_str!("shell.sh");

const VHOST: &str = "/";

/// Users, policies and queues of these names are jtest's on a cluster that is not.
const OWN_PREFIX: &str = "jtest.";

/// The user that jtest makes on the brokers.
const USER: &str = "jtest.user";

/// The policy that jtest sets.
const POLICY_NAME: &str = "jtest.policy";

/// A node of the cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name in the inventory.
    pub name: NodeName,
    /// The way to it.
    pub host: Host,
    /// Where the control node reaches its AMQP port.
    pub address: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Whether its broker's data may be wiped.
    pub is_disposable: bool,
}

/// A cluster that was deployed, or found.
#[derive(Debug, Clone)]
pub struct Broker {
    members: Arc<Vec<Member>>,
    erlang_names: Arc<BTreeMap<NodeName, String>>,
    credentials: Credentials,
    /// Whether the user is jtest's own.
    makes_user: bool,
    /// Whether jtest did not configure the brokers.
    is_existing: bool,
    /// Whether its quorum queues drop a message that was delivered too often, unless told not to.
    limits_deliveries: bool,
    queue: Queue,
}

impl Broker {
    /// The user of the tests.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The nodes.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Where clients connect, a node each, numbered as the members are.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.members
            .iter()
            .enumerate()
            .map(|(index, member)| Endpoint {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                name: member.name.clone(),
                address: member.address.clone(),
                port: AMQP_PORT,
            })
            .collect()
    }

    fn by_erlang_name(&self) -> BTreeMap<String, NodeName> {
        self.erlang_names
            .iter()
            .map(|(name, erlang_name)| (erlang_name.clone(), name.clone()))
            .collect()
    }

    fn erlang_name(&self, name: &NodeName) -> String {
        self.erlang_names.get(name).cloned().unwrap_or_default()
    }
}
