//! The files that a node of the cluster is given. Pure text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use crate::inventory::NodeName;
use crate::scenario::{Cluster, PartitionHandling, QueueType};

/// Bytes of disk below which a broker stops taking messages; the default, the size of memory,
/// stops a lab.
const DISK_FREE_LIMIT: &str = "50MB";

/// How often, and how many milliseconds apart, a broker that discovers its peers under a lock asks them for a
/// cluster before it begins one. All start at once and from nothing, so the first finds none; by default it asks for
/// 5 s, and the others wait for the lock, in steps that double.
const RETRIES_UNDER_LOCK: (u32, u32) = (4, 100);

/// What one node's files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFiles {
    /// `/etc/rabbitmq/rabbitmq.conf`.
    pub rabbitmq_conf: String,
    /// `/etc/rabbitmq/advanced.config`.
    pub advanced_config: String,
    /// `/etc/rabbitmq/rabbitmq-env.conf`.
    pub env_conf: String,
    /// [`PLUGINS_FILE`]; empty where the broker's own file holds.
    pub plugins: String,
    /// The systemd drop-in of the broker's unit.
    pub unit: String,
    /// The names of all nodes, for `/etc/hosts`.
    pub hosts: String,
}

/// The plugins that a run needs, in place of those that are enabled otherwise.
const PLUGINS_FILE: &str = "/etc/rabbitmq/jtest.plugins";

/// A node of the cluster as its peers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `rabbit@` and a name of the host.
    pub erlang_name: String,
    /// Where the name leads.
    pub address: IpAddr,
}

/// The Erlang names of nodes: `rabbit@` and the first part of each one's name, as long as that
/// is a host name and no other node's; else a number.
pub fn erlang_names(nodes: &[&NodeName]) -> BTreeMap<NodeName, String> {
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let first = node.0.split('.').next().unwrap_or_default();
        let is_host_name = first.starts_with(|c: char| c.is_ascii_alphabetic())
            && first
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let name = if is_host_name && taken.insert(first.to_ascii_lowercase()) {
            first.to_owned()
        } else {
            format!("jtest-node-{}", index + 1)
        };
        names.insert((*node).clone(), format!("rabbit@{name}"));
    }
    names
}

/// The files of the node of that name in a cluster of `peers`, itself included.
pub fn render(
    erlang_name: &str,
    peers: &[Peer],
    cluster: &Cluster,
    queue: QueueType,
    discovers_under_lock: bool,
) -> NodeFiles {
    let plugins = match queue {
        QueueType::Stream => "[rabbitmq_stream].\n",
        _ => "",
    };
    NodeFiles {
        rabbitmq_conf: rabbitmq_conf(peers, cluster, discovers_under_lock),
        advanced_config: format!(
            "%% Written by jtest.\n[{{kernel, [{{net_ticktime, {}}}]}}].\n",
            cluster.net_ticktime_s
        ),
        env_conf: env_conf(erlang_name, plugins),
        plugins: plugins.to_owned(),
        unit: unit(cluster),
        hosts: hosts(peers),
    }
}

fn env_conf(erlang_name: &str, plugins: &str) -> String {
    let mut text = format!("# Written by jtest.\nNODENAME={erlang_name}\n");
    if !plugins.is_empty() {
        text += &format!("ENABLED_PLUGINS_FILE={PLUGINS_FILE}\n");
    }
    text
}

fn rabbitmq_conf(peers: &[Peer], cluster: &Cluster, discovers_under_lock: bool) -> String {
    let handling = match cluster.partition_handling {
        PartitionHandling::Ignore => "ignore",
        PartitionHandling::PauseMinority => "pause_minority",
        PartitionHandling::Autoheal => "autoheal",
    };
    let mut text = format!(
        "# Written by jtest.\n\
         cluster_partition_handling = {handling}\n\
         loopback_users = none\n\
         disk_free_limit.absolute = {DISK_FREE_LIMIT}\n\
         log.file.level = info\n\
         cluster_formation.peer_discovery_backend = classic_config\n"
    );
    if discovers_under_lock {
        let (retries, interval) = RETRIES_UNDER_LOCK;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "cluster_formation.discovery_retry_limit = {retries}\n\
             cluster_formation.discovery_retry_interval = {interval}\n"
        );
    }
    for (number, peer) in peers.iter().enumerate() {
        let _ = writeln!(
            text,
            "cluster_formation.classic_config.nodes.{} = {}",
            number + 1,
            peer.erlang_name
        );
    }
    text
}

fn unit(cluster: &Cluster) -> String {
    let mut text = "# Written by jtest.\n[Service]\n".to_owned();
    if !cluster.systemd_restart {
        text.push_str("Restart=no\n");
    }
    text
}

fn hosts(peers: &[Peer]) -> String {
    peers
        .iter()
        .filter_map(|peer| {
            let (_, name) = peer.erlang_name.split_once('@')?;
            Some(format!("{} {name}\n", peer.address))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Source;

    #[test]
    fn erlang_names_are_short_and_differ() {
        let names = [
            "n1",
            "web1.example.com",
            "web1.example.org",
            "10.0.0.7",
            "N1",
        ]
        .map(|name| NodeName(name.into()));
        let all = erlang_names(&names.each_ref());
        assert_eq!(
            names.each_ref().map(|name| all[name].as_str()),
            [
                "rabbit@n1",
                "rabbit@web1",
                "rabbit@jtest-node-3",
                "rabbit@jtest-node-4",
                "rabbit@jtest-node-5"
            ]
        );
    }

    #[test]
    fn the_files_of_a_node() {
        let peers =
            [("rabbit@n1", "10.0.0.1"), ("rabbit@n2", "fd00::2")].map(|(name, address)| Peer {
                erlang_name: name.into(),
                address: address.parse().unwrap(),
            });
        let cluster = Cluster {
            source: Source::Apt,
            version: None,
            nodes: None,
            partition_handling: PartitionHandling::PauseMinority,
            net_ticktime_s: 8,
            systemd_restart: false,
            deploy_timeout: Duration::from_secs(60),
        };
        let files = render("rabbit@n2", &peers, &cluster, QueueType::Stream, true);
        insta::assert_snapshot!(format!(
            "{}---\n{}---\n{}---\n{}---\n{}---\n{}",
            files.rabbitmq_conf,
            files.advanced_config,
            files.env_conf,
            files.plugins,
            files.unit,
            files.hosts
        ), @r"
        # Written by jtest.
        cluster_partition_handling = pause_minority
        loopback_users = none
        disk_free_limit.absolute = 50MB
        log.file.level = info
        cluster_formation.peer_discovery_backend = classic_config
        cluster_formation.discovery_retry_limit = 4
        cluster_formation.discovery_retry_interval = 100
        cluster_formation.classic_config.nodes.1 = rabbit@n1
        cluster_formation.classic_config.nodes.2 = rabbit@n2
        ---
        %% Written by jtest.
        [{kernel, [{net_ticktime, 8}]}].
        ---
        # Written by jtest.
        NODENAME=rabbit@n2
        ENABLED_PLUGINS_FILE=/etc/rabbitmq/jtest.plugins
        ---
        [rabbitmq_stream].
        ---
        # Written by jtest.
        [Service]
        Restart=no
        ---
        10.0.0.1 n1
        fd00::2 n2
        ");
    }
}
