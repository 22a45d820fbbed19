//! Whom a fault or a condition means, as far as only the cluster can tell.

use super::world::{Answers, leader};
use crate::inventory::NodeName;
use crate::scenario::step::Whom;
use crate::schedule::{FaultId, Nodes, PlannedAim, PlannedFault};

/// A partition in force.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// Which.
    pub(super) id: FaultId,
    /// Its sides.
    pub(super) groups: Vec<Vec<NodeName>>,
}

/// What is known at a moment; of the partitions in force the one that came last.
pub(super) struct Known<'a> {
    pub(super) nodes: &'a [NodeName],
    pub(super) answers: &'a Answers,
    pub(super) cut: Option<&'a Cut>,
}

impl Known<'_> {
    /// The fault with its nodes named.
    pub(super) fn resolve(&self, planned: &PlannedFault) -> Result<PlannedFault, String> {
        let PlannedAim::On(nodes) = &planned.aim else {
            return Ok(planned.clone());
        };
        let named = match nodes {
            Nodes::Named(named) => named.clone(),
            Nodes::Leader => vec![self.leader()?],
            Nodes::Followers => self.followers()?,
            Nodes::LeaderSide => self.leader_side(true)?,
            Nodes::OtherSide => self.leader_side(false)?,
        };
        if named.is_empty() {
            return Err(format!("there are no nodes that are {nodes}"));
        }
        Ok(PlannedFault {
            aim: PlannedAim::On(Nodes::Named(named)),
            ..planned.clone()
        })
    }

    /// The nodes that a condition means.
    pub(super) fn whom(&self, whom: &Whom) -> Result<Vec<NodeName>, String> {
        match whom {
            Whom::Named(named) => Ok(self.ordered(|node| named.contains(node))),
            Whom::All => Ok(self.nodes.to_vec()),
            Whom::Nobody => Ok(Vec::new()),
            Whom::Leader => Ok(vec![self.leader()?]),
            Whom::LeaderSide => self.leader_side(true),
            Whom::OtherSide => self.leader_side(false),
            Whom::MajoritySide => self.majority_side(true),
            Whom::MinoritySide => self.majority_side(false),
        }
    }

    fn leader(&self) -> Result<NodeName, String> {
        leader(self.answers).ok_or_else(|| "no node says who leads the queue".to_owned())
    }

    fn followers(&self) -> Result<Vec<NodeName>, String> {
        let leader = self.leader()?;
        let by_leader = self
            .answers
            .values()
            .filter(|said| said.leader.as_ref() == Some(&leader) && said.members.contains(&leader));
        let members = by_leader
            .map(|said| &said.members)
            .max_by_key(|members| members.len());
        let members = members.ok_or("no node says who holds the queue")?;
        Ok(self.ordered(|node| *node != leader && members.contains(node)))
    }

    fn leader_side(&self, is_leaders: bool) -> Result<Vec<NodeName>, String> {
        let leader = self.leader()?;
        self.side(|group| group.contains(&leader), is_leaders)
            .ok_or_else(|| format!("no side of a partition in force has the leader {leader}"))
    }

    fn majority_side(&self, is_majority: bool) -> Result<Vec<NodeName>, String> {
        self.side(|group| group.len() * 2 > self.nodes.len(), is_majority)
            .ok_or_else(|| "no side of a partition in force has a majority".to_owned())
    }

    /// The nodes of the side that fits, or those of all others.
    fn side(&self, fits: impl Fn(&[NodeName]) -> bool, is_it: bool) -> Option<Vec<NodeName>> {
        let side = self.cut?.groups.iter().find(|group| fits(group))?;
        Some(self.ordered(|node| side.contains(node) == is_it))
    }

    /// Nodes in the inventory's order.
    fn ordered(&self, is_in: impl Fn(&NodeName) -> bool) -> Vec<NodeName> {
        self.nodes
            .iter()
            .filter(|node| is_in(node))
            .cloned()
            .collect()
    }
}
