//! What proves that a cut bites, and that it is over: attempts to connect and counted packets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Target;
use super::probe::{Reach, Sight, Sights};
use crate::event::Proof;
use crate::inventory::NodeName;
use crate::node::firewall::Direction;

/// What is tried, and what has to become of it.
pub(super) struct Expectation<'a> {
    /// The nodes.
    pub targets: &'a [Target],
    /// Who cannot reach whom.
    pub severed: &'a BTreeSet<(NodeName, NodeName)>,
    /// Ports that are cut.
    pub cut_ports: &'a [u16],
    /// Which drops must be counted: of which nodes, in which direction.
    pub counted: &'a BTreeSet<(NodeName, Direction)>,
    /// How it was before.
    pub before: &'a Sights,
    /// The fault's key, which its rules carry.
    pub key: &'a str,
}

/// The ways from one node to another: the peer's addresses and ports that answered before.
struct Way<'a> {
    from: &'a NodeName,
    to: &'a NodeName,
    addresses: &'a [IpAddr],
    answered: Vec<(IpAddr, u16)>,
}

impl Expectation<'_> {
    fn ways(&self) -> Vec<Way<'_>> {
        let pairs = self
            .targets
            .iter()
            .flat_map(|from| self.targets.iter().map(move |to| (from, to)));
        pairs
            .filter(|(from, to)| from.name != to.name)
            .map(|(from, to)| Way {
                from: &from.name,
                to: &to.name,
                addresses: &to.addresses,
                answered: self.answered(&from.name, &to.addresses),
            })
            .collect()
    }

    fn answered(&self, from: &NodeName, to: &[IpAddr]) -> Vec<(IpAddr, u16)> {
        let reach = self.before.get(from).map(|sight| &sight.reach);
        let answered = reach
            .into_iter()
            .flatten()
            .filter(|((address, _), reach)| to.contains(address) && **reach != Reach::Silent);
        answered.map(|(way, _)| *way).collect()
    }

    fn is_severed(&self, way: &Way<'_>) -> bool {
        let pair = (way.from.clone(), way.to.clone());
        self.severed.contains(&pair)
    }

    /// Proven: every way that is cut and answered before is silent and its packets are counted as
    /// dropped, every other way that answered still does.
    pub fn judge_cut(&self, during: &Sights) -> Proof {
        let mut evidence = Vec::new();
        let mut proven = true;
        let (mut open, mut open_answered) = (0, 0);
        for way in self.ways() {
            let (from, to) = (way.from, way.to);
            let Some(sight) = during.get(from) else {
                proven = false;
                evidence.push(format!("{from}→{to}: {from} did not say what it sees"));
                continue;
            };
            let is_severed = self.is_severed(&way);
            if is_severed {
                let finding = self.across(&way, sight, during);
                proven &= finding.is_ok();
                let words = finding.unwrap_or_else(|reason| format!("not proven: {reason}"));
                evidence.push(format!("{from}→{to}: {words}"));
            }
            for (address, port) in &way.answered {
                if is_severed && self.cut_ports.contains(port) {
                    continue;
                }
                open += 1;
                if reach(sight, *address, *port) == Reach::Silent {
                    proven = false;
                    evidence.push(format!(
                        "{from}→{to}: cut, though it should not be ({address} port {port})"
                    ));
                } else {
                    open_answered += 1;
                }
            }
        }
        evidence.push(format!(
            "{open_answered} of {open} ways that are not cut still answer"
        ));
        Proof { proven, evidence }
    }

    fn across(&self, way: &Way<'_>, sight: &Sight, during: &Sights) -> Result<String, String> {
        let cut = |(_, port): &&(IpAddr, u16)| self.cut_ports.contains(port);
        let cut: Vec<_> = way.answered.iter().filter(cut).collect();
        for (address, port) in cut.iter().copied() {
            let answer = reach(sight, *address, *port);
            if answer != Reach::Silent {
                return Err(format!("{address} port {port} still answers ({answer})"));
            }
        }
        let addresses: BTreeSet<IpAddr> = cut.iter().map(|(address, _)| *address).collect();
        // One that another fault had cut before can show dropped packets only.
        let wanted: Vec<IpAddr> = if addresses.is_empty() {
            way.addresses.to_vec()
        } else {
            addresses.iter().copied().collect()
        };
        let mut packets = 0;
        for address in &wanted {
            let (dropped, is_counted) = self.dropped(way, *address, sight, during);
            let dropped = if addresses.is_empty() {
                dropped.of_all
            } else {
                dropped.own
            };
            if dropped == 0 && is_counted && !addresses.is_empty() {
                return Err(format!("silent, but nothing to {address} was dropped"));
            }
            packets += dropped;
        }
        if addresses.is_empty() {
            return if packets > 0 && self.has_rules(way, sight, during) {
                Ok(format!("silent before already, {packets} packets dropped"))
            } else {
                Err("it did not answer before either".into())
            };
        }
        let count = addresses.len();
        Ok(format!(
            "silent at {count} of {count} addresses, {packets} packets dropped"
        ))
    }

    /// Packets of attempts from one node to an address of another that either of them dropped, and
    /// whether any had to be.
    fn dropped(
        &self,
        way: &Way<'_>,
        address: IpAddr,
        sight: &Sight,
        during: &Sights,
    ) -> (Dropped, bool) {
        let counts = |node: &NodeName, direction| self.counted.contains(&(node.clone(), direction));
        let mut dropped = Dropped::default();
        let mut is_counted = false;
        for direction in [Direction::Out, Direction::In] {
            if counts(way.from, direction) {
                is_counted = true;
                dropped.add(sight, self.key, direction, address);
            }
        }
        // The peer counts by our addresses, of which any of the family may be the one that was used.
        let ours = self.addresses(way.from);
        for direction in [Direction::In, Direction::Out] {
            if dropped.own > 0 || !counts(way.to, direction) {
                continue;
            }
            is_counted = true;
            let family = ours
                .iter()
                .filter(|ours| ours.is_ipv4() == address.is_ipv4());
            if let Some(theirs) = during.get(way.to) {
                for ours in family {
                    dropped.add(theirs, self.key, direction, *ours);
                }
            }
        }
        (dropped, is_counted)
    }

    fn addresses(&self, node: &NodeName) -> &[IpAddr] {
        let target = self.targets.iter().find(|target| target.name == *node);
        target.map_or(&[], |target| &target.addresses)
    }

    /// Whether rules of this fault lie between two nodes, on either.
    fn has_rules(&self, way: &Way<'_>, sight: &Sight, during: &Sights) -> bool {
        let is_own = |sight: &Sight, of: &[IpAddr]| {
            let mut rules = sight.dropped.keys();
            rules.any(|(key, _, address)| key == self.key && of.contains(address))
        };
        let theirs = during.get(way.to);
        is_own(sight, way.addresses)
            || theirs.is_some_and(|theirs| is_own(theirs, self.addresses(way.from)))
    }

    /// Proven: packets were dropped on every way that flaps, and every other way answers.
    pub fn judge_flap(&self, during: &Sights) -> Proof {
        let mut evidence = Vec::new();
        let mut proven = true;
        for way in self.ways() {
            let (from, to) = (way.from, way.to);
            let Some(sight) = during.get(from) else {
                proven = false;
                evidence.push(format!("{from}→{to}: {from} did not say what it sees"));
                continue;
            };
            if self.is_severed(&way) {
                let addresses = way.addresses.iter();
                let dropped: u64 = addresses
                    .map(|address| self.dropped(&way, *address, sight, during).0.own)
                    .sum();
                proven &= dropped > 0;
                evidence.push(format!("{from}→{to}: {dropped} packets dropped so far"));
            } else if let Some((address, port)) = way
                .answered
                .iter()
                .find(|(address, port)| reach(sight, *address, *port) == Reach::Silent)
            {
                proven = false;
                evidence.push(format!(
                    "{from}→{to}: cut, though it should not be ({address} port {port})"
                ));
            }
        }
        Proof { proven, evidence }
    }

    /// Whether another fault's rules lie between two nodes.
    fn is_cut_still(&self, way: &Way<'_>, address: IpAddr, after: &Sights) -> bool {
        let drops = |node: &NodeName, of: &[IpAddr]| {
            let rules = after.get(node).map(|sight| sight.dropped.keys());
            let mut rules = rules.into_iter().flatten();
            rules.any(|(key, _, address)| key != self.key && of.contains(address))
        };
        drops(way.from, &[address]) || drops(way.to, self.addresses(way.from))
    }

    /// Proven: our rules are gone, and every way that answered before the cut answers, but for those that
    /// another cut holds apart.
    pub fn judge_reunion(&self, after: &Sights) -> Proof {
        let (mut all, mut answered) = (0, 0);
        let mut evidence = Vec::new();
        for (node, sight) in after {
            if sight.dropped.keys().any(|(key, ..)| key == self.key) {
                evidence.push(format!("{node}: rules of this cut are still there"));
            }
        }
        let is_clean = evidence.is_empty();
        for way in self.ways() {
            for (address, port) in &way.answered {
                if self.is_cut_still(&way, *address, after) {
                    continue;
                }
                all += 1;
                match after
                    .get(way.from)
                    .map(|sight| reach(sight, *address, *port))
                {
                    Some(Reach::Open | Reach::Refused) => answered += 1,
                    Some(Reach::Silent) | None => {
                        evidence.push(format!(
                            "{}→{}: {address} port {port} is silent",
                            way.from, way.to
                        ));
                    }
                }
            }
        }
        evidence.push(format!(
            "{answered} of {all} ways that answered before answer again"
        ));
        Proof {
            proven: is_clean && answered == all,
            evidence,
        }
    }
}

/// Packets that rules have dropped.
#[derive(Default)]
struct Dropped {
    /// By rules of the fault itself.
    own: u64,
    /// By rules of any fault.
    of_all: u64,
}

impl Dropped {
    fn add(&mut self, sight: &Sight, own: &str, direction: Direction, address: IpAddr) {
        for ((key, way, of), packets) in &sight.dropped {
            if *way == direction && *of == address {
                self.of_all += packets;
                self.own += if key == own { *packets } else { 0 };
            }
        }
    }
}

/// What was not tried counts as silent.
fn reach(sight: &Sight, address: IpAddr, port: u16) -> Reach {
    let reach = sight.reach.get(&(address, port));
    reach.copied().unwrap_or(Reach::Silent)
}

#[cfg(test)]
#[path = "cut_proof_tests.rs"]
mod tests;
