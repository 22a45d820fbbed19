//! The files that a node of the cluster is given. Pure text.

use std::fmt::Write;

use crate::inventory::NodeName;
use crate::scenario::{Cluster, PartitionHandling};

/// Bytes of disk below which a broker stops taking messages; the default, the size of memory,
/// stops a lab.
const DISK_FREE_LIMIT: &str = "50MB";

/// What one node's files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFiles {
    /// `/etc/rabbitmq/rabbitmq.conf`.
    pub rabbitmq_conf: String,
    /// `/etc/rabbitmq/advanced.config`.
    pub advanced_config: String,
    /// `/etc/rabbitmq/rabbitmq-env.conf`.
    pub env_conf: String,
    /// The systemd drop-in of the broker's unit.
    pub unit: String,
    /// The names of all nodes, for `/etc/hosts`.
    pub hosts: String,
}

/// The Erlang name of a node.
pub fn erlang_name(node: &NodeName) -> String {
    format!("rabbit@{node}")
}

/// The files of `node` in a cluster of `members` (names with the addresses for their peers).
pub fn render(node: &NodeName, members: &[(NodeName, String)], cluster: &Cluster) -> NodeFiles {
    NodeFiles {
        rabbitmq_conf: rabbitmq_conf(members, cluster),
        advanced_config: format!(
            "%% Written by jtest.\n[{{kernel, [{{net_ticktime, {}}}]}}].\n",
            cluster.net_ticktime_s
        ),
        env_conf: format!("# Written by jtest.\nNODENAME={}\n", erlang_name(node)),
        unit: unit(cluster),
        hosts: hosts(members),
    }
}

fn rabbitmq_conf(members: &[(NodeName, String)], cluster: &Cluster) -> String {
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
    for (number, (name, _)) in members.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "cluster_formation.classic_config.nodes.{} = {}",
            number + 1,
            erlang_name(name)
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

fn hosts(members: &[(NodeName, String)]) -> String {
    members
        .iter()
        .map(|(name, address)| format!("{address} {name}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Source;

    #[test]
    fn the_files_of_a_node() {
        let members = [("n1", "10.0.0.1"), ("n2", "fd00::2")]
            .map(|(name, address)| (NodeName(name.into()), address.into()));
        let cluster = Cluster {
            source: Source::Apt,
            version: None,
            partition_handling: PartitionHandling::PauseMinority,
            net_ticktime_s: 8,
            systemd_restart: false,
            deploy_timeout: Duration::from_secs(60),
        };
        let files = render(&members[1].0, &members, &cluster);
        insta::assert_snapshot!(format!(
            "{}---\n{}---\n{}---\n{}---\n{}",
            files.rabbitmq_conf, files.advanced_config, files.env_conf, files.unit, files.hosts
        ), @r"
        # Written by jtest.
        cluster_partition_handling = pause_minority
        loopback_users = none
        disk_free_limit.absolute = 50MB
        log.file.level = info
        cluster_formation.peer_discovery_backend = classic_config
        cluster_formation.classic_config.nodes.1 = rabbit@n1
        cluster_formation.classic_config.nodes.2 = rabbit@n2
        ---
        %% Written by jtest.
        [{kernel, [{net_ticktime, 8}]}].
        ---
        # Written by jtest.
        NODENAME=rabbit@n2
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
