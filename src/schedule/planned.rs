//! A fault with everything random decided. What only the cluster can tell (who leads the
//! queue, which partition is in force) stays symbolic until it is injected.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Kind, KindRef, Need, PARTITION, Settings};
use crate::inventory::NodeName;

/// A fault with everything random decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Which.
    pub kind: KindRef,
    /// To whom.
    pub aim: PlannedAim,
    /// What is set about it, defaults included.
    pub settings: Settings,
}

/// What a fault is aimed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedAim {
    /// The nodes, divided.
    Groups(Groups),
    /// Some nodes.
    On(Nodes),
}

/// How a partition divides the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// Every node of the inventory in exactly one group; at least two groups, none empty.
    Named(Vec<Vec<NodeName>>),
    /// The leader of the queue with the first `others` nodes of `order` (the leader
    /// left out) against the rest.
    WithLeader {
        /// All nodes, shuffled by the seed.
        order: Vec<NodeName>,
        /// How many nodes go with the leader.
        others: usize,
    },
    /// Each node reaches only its neighbours on a ring, as many of them as make a majority with it.
    MajoritiesRing(Vec<NodeName>),
    /// Two groups that only one node between them reaches.
    Bridge {
        /// The node between them.
        bridge: NodeName,
        /// The two groups.
        sides: [Vec<NodeName>; 2],
    },
}

/// The nodes that a fault is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nodes {
    /// These, in the inventory's order.
    Named(Vec<NodeName>),
    /// The leader of the queue.
    Leader,
    /// The other members of the queue.
    Followers,
    /// The leader's side of the partition in force.
    LeaderSide,
    /// The other sides of the partition in force.
    OtherSide,
}

/// What a host must have for a fault with these settings: of each inner list at least one.
pub fn needs(kind: KindRef, settings: &Settings) -> Vec<&'static [Need]> {
    let mut needs = kind.needs.to_vec();
    for (name, need) in [("ports", &[Need::Multiport]), ("flap", &[Need::Recent])] {
        if settings.contains_key(name) {
            needs.push(need);
        }
    }
    needs
}

impl PlannedFault {
    /// A fault as it is where nothing is set.
    pub fn new(kind: &'static Kind, aim: PlannedAim) -> Self {
        Self {
            kind: KindRef(kind),
            aim,
            settings: kind.defaults(),
        }
    }

    /// A partition as it is where nothing is set.
    pub fn partition(groups: Groups) -> Self {
        Self::new(&PARTITION, PlannedAim::Groups(groups))
    }

    /// What a host must have for it: of each inner list at least one.
    pub fn needs(&self) -> Vec<&'static [Need]> {
        needs(self.kind, &self.settings)
    }

    /// Whether it may be done to this node, as far as is known before the injection.
    pub fn may_touch(&self, node: &NodeName) -> bool {
        match &self.aim {
            PlannedAim::On(Nodes::Named(nodes)) => nodes.contains(node),
            PlannedAim::Groups(_)
            | PlannedAim::On(
                Nodes::Leader | Nodes::Followers | Nodes::LeaderSide | Nodes::OtherSide,
            ) => true,
        }
    }

    /// Whether the leader of the queue has to be looked up at injection.
    pub fn needs_leader(&self) -> bool {
        match &self.aim {
            PlannedAim::Groups(groups) => groups.needs_leader(),
            PlannedAim::On(Nodes::Named(_)) => false,
            PlannedAim::On(
                Nodes::Leader | Nodes::Followers | Nodes::LeaderSide | Nodes::OtherSide,
            ) => true,
        }
    }
}

impl Groups {
    /// Whether the leader of the queue has to be looked up at injection.
    pub fn needs_leader(&self) -> bool {
        match self {
            Self::Named(_) | Self::MajoritiesRing(_) | Self::Bridge { .. } => false,
            Self::WithLeader { .. } => true,
        }
    }
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.aim {
            PlannedAim::Groups(groups) => write!(f, "{groups}")?,
            PlannedAim::On(nodes) => write!(f, "{nodes}")?,
        }
        let defaults = self.kind.defaults();
        for parameter in self.kind.parameters {
            let setting = self.settings.get(parameter.name);
            if let Some(setting) = setting.filter(|set| defaults.get(parameter.name) != Some(set)) {
                write!(f, ", {} {setting}", parameter.name)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(groups) => f.write_str(&describe(groups)),
            Self::WithLeader { order, others } => {
                f.write_str("leader")?;
                if *others > 0 {
                    write!(f, " and the first {others} of {}", words(order))?;
                }
                f.write_str(" | the others")
            }
            Self::MajoritiesRing(ring) => write!(f, "ring {}", words(ring)),
            Self::Bridge { bridge, sides } => {
                write!(f, "{} over {bridge}", describe(sides))
            }
        }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => f.write_str(&words(names)),
            Self::Leader => f.write_str("leader"),
            Self::Followers => f.write_str("followers"),
            Self::LeaderSide => f.write_str("the leader's side"),
            Self::OtherSide => f.write_str("the other side"),
        }
    }
}

/// Groups in words: `n1 n2 | n3 n4 n5`.
pub fn describe(groups: &[Vec<NodeName>]) -> String {
    let groups: Vec<String> = groups.iter().map(|group| words(group)).collect();
    groups.join(" | ")
}

/// Nodes in words: `n1 n2`.
pub fn words(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    names.join(" ")
}
