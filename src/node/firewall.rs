//! jtest's own part of a host's firewall: the chains `JTEST-IN` and `JTEST-OUT` in `filter`.
//!
//! Pure texts and their readers; the shell half is `firewall.sh`. Invariants: no rule but
//! ours is touched, nothing is flushed but our chains, and every chain begins by accepting the
//! control node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// The shell functions that scripts about the firewall begin with.
pub const SHELL: &str = include_str!("firewall.sh");

/// Which way a dropped packet went, as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It came from the address.
    In,
    /// It was going there.
    Out,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::In => "IN",
            Self::Out => "OUT",
        })
    }
}

/// Packets dropped so far, by direction and the peer's address.
pub type DropCounters = BTreeMap<(Direction, IpAddr), u64>;

/// The content of our chains, a family each, in the form of `iptables-save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// IPv4.
    pub v4: String,
    /// IPv6; empty where no address of the family is dropped.
    pub v6: String,
}

impl Rules {
    /// Accepts everything from and to `control`, then drops everything from and to `drop`.
    pub fn dropping(drop: &BTreeSet<IpAddr>, control: &[IpAddr]) -> Self {
        let family = |is_ours: fn(&IpAddr) -> bool| {
            let accepted = control.iter().copied().collect::<BTreeSet<_>>();
            let mut lines = Vec::new();
            for (addresses, target) in [(&accepted, "ACCEPT"), (drop, "DROP")] {
                for address in addresses.iter().filter(|address| is_ours(address)) {
                    lines.push(format!("-A JTEST-IN -s {address} -j {target}"));
                    lines.push(format!("-A JTEST-OUT -d {address} -j {target}"));
                }
            }
            lines.join("\n")
        };
        Self {
            v4: family(IpAddr::is_ipv4),
            v6: if drop.iter().any(IpAddr::is_ipv6) {
                family(IpAddr::is_ipv6)
            } else {
                String::new()
            },
        }
    }
}

/// Reads a line `dropped IN 10.0.0.1 17` of a probe.
pub fn parse_dropped(line: &str) -> Option<((Direction, IpAddr), u64)> {
    let mut words = line.strip_prefix("dropped ")?.split(' ');
    let direction = match words.next()? {
        "IN" => Direction::In,
        "OUT" => Direction::Out,
        _ => return None,
    };
    let address = words.next()?.parse().ok()?;
    let packets = words.next()?.parse().ok()?;
    words
        .next()
        .is_none()
        .then_some(((direction, address), packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_control_node_is_accepted_before_anything_is_dropped() {
        let control = addresses(&["10.77.0.1", "fd77::1"]);
        let drop = addresses(&["10.77.0.14", "fd77::14", "10.77.0.15"]);
        let rules = Rules::dropping(&drop.into_iter().collect(), &control);
        insta::assert_snapshot!(format!("{}\n\n{}", rules.v4, rules.v6), @r"
        -A JTEST-IN -s 10.77.0.1 -j ACCEPT
        -A JTEST-OUT -d 10.77.0.1 -j ACCEPT
        -A JTEST-IN -s 10.77.0.14 -j DROP
        -A JTEST-OUT -d 10.77.0.14 -j DROP
        -A JTEST-IN -s 10.77.0.15 -j DROP
        -A JTEST-OUT -d 10.77.0.15 -j DROP

        -A JTEST-IN -s fd77::1 -j ACCEPT
        -A JTEST-OUT -d fd77::1 -j ACCEPT
        -A JTEST-IN -s fd77::14 -j DROP
        -A JTEST-OUT -d fd77::14 -j DROP
        ");
    }

    #[test]
    fn a_family_without_a_drop_is_left_alone() {
        let drop = addresses(&["10.77.0.14"]).into_iter().collect();
        assert_eq!(Rules::dropping(&drop, &addresses(&["fd77::1"])).v6, "");
    }

    #[test]
    fn reads_counters() {
        let address = "fd77::14".parse().unwrap();
        assert_eq!(
            parse_dropped("dropped OUT fd77::14 17"),
            Some(((Direction::Out, address), 17))
        );
        for wrong in [
            "dropped",
            "dropped OUT x 1",
            "dropped UP ::1 1",
            "dropped IN ::1 1 2",
        ] {
            assert_eq!(parse_dropped(wrong), None, "{wrong}");
        }
    }
}
