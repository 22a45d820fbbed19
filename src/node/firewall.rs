//! jtest's own part of a host's firewall: the chains `JTEST-IN` and `JTEST-OUT` in `filter`.
//!
//! Pure texts and their readers; the shell half is `firewall.sh`. Invariants: no rule but
//! ours is touched, nothing is flushed, every chain begins by accepting the control node, and
//! each rule that drops names the fault that it is of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
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

/// Packets dropped so far, by the fault's key, the direction and the peer's address.
pub type DropCounters = BTreeMap<(String, Direction, IpAddr), u64>;

/// What is dropped of one address's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drop {
    /// The peer's.
    pub address: IpAddr,
    /// What comes from it.
    pub is_in: bool,
    /// What goes to it.
    pub is_out: bool,
}

/// What our chains get by one fault, of one family, in the form of `iptables-save`. Where a rule
/// has `@IN@` or `@OUT@`, a match of its source or destination may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// What is accepted, without the `-A`.
    pub accept: String,
    /// What is dropped; empty where nothing is.
    pub drop: String,
}

/// The rules of a fault: both families, IPv4 first. `control` is accepted before anything is
/// dropped; of TCP only these `ports` are dropped, everything where there are none. Each
/// rule carries the fault's key.
pub fn rules(key: &str, drops: &BTreeSet<Drop>, ports: &[u16], control: &[IpAddr]) -> [Rules; 2] {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let only = if ports.is_empty() {
        String::new()
    } else {
        format!("-p tcp -m multiport --ports {} ", ports.join(","))
    };
    let control: BTreeSet<_> = control.iter().copied().collect();
    [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|is_ours: fn(&IpAddr) -> bool| {
        let mut rules = Rules::default();
        for address in control.iter().filter(|address| is_ours(address)) {
            // Writing to a string cannot fail.
            let _ = writeln!(rules.accept, "JTEST-IN -s {address} -j ACCEPT");
            let _ = writeln!(rules.accept, "JTEST-OUT -d {address} -j ACCEPT");
        }
        let mark = format!("-m comment --comment jtest-{key}");
        for drop in drops.iter().filter(|drop| is_ours(&drop.address)) {
            let address = drop.address;
            if drop.is_in {
                let _ = writeln!(
                    rules.drop,
                    "-A JTEST-IN -s {address} {only}{mark} @IN@-j DROP"
                );
            }
            if drop.is_out {
                let _ = writeln!(
                    rules.drop,
                    "-A JTEST-OUT -d {address} {only}{mark} @OUT@-j DROP"
                );
            }
        }
        rules
    })
}

/// Reads a line `dropped f1 IN 10.0.0.1 17` of a probe.
pub fn parse_dropped(line: &str) -> Option<((String, Direction, IpAddr), u64)> {
    let mut words = line.strip_prefix("dropped ")?.split(' ');
    let key = words.next()?.to_owned();
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
        .then_some(((key, direction, address), packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn drops(texts: &[&str], is_in: bool, is_out: bool) -> BTreeSet<Drop> {
        let drop = |address| Drop {
            address,
            is_in,
            is_out,
        };
        addresses(texts).into_iter().map(drop).collect()
    }

    #[test]
    fn the_control_node_is_accepted_and_its_own_rules_are_marked() {
        let control = addresses(&["10.77.0.1", "fd77::1"]);
        let drops = drops(&["10.77.0.14", "fd77::14", "10.77.0.15"], true, true);
        let [v4, v6] = rules("f1", &drops, &[], &control);
        insta::assert_snapshot!(format!("{}{}\n{}{}", v4.accept, v4.drop, v6.accept, v6.drop), @r"
        JTEST-IN -s 10.77.0.1 -j ACCEPT
        JTEST-OUT -d 10.77.0.1 -j ACCEPT
        -A JTEST-IN -s 10.77.0.14 -m comment --comment jtest-f1 @IN@-j DROP
        -A JTEST-OUT -d 10.77.0.14 -m comment --comment jtest-f1 @OUT@-j DROP
        -A JTEST-IN -s 10.77.0.15 -m comment --comment jtest-f1 @IN@-j DROP
        -A JTEST-OUT -d 10.77.0.15 -m comment --comment jtest-f1 @OUT@-j DROP

        JTEST-IN -s fd77::1 -j ACCEPT
        JTEST-OUT -d fd77::1 -j ACCEPT
        -A JTEST-IN -s fd77::14 -m comment --comment jtest-f1 @IN@-j DROP
        -A JTEST-OUT -d fd77::14 -m comment --comment jtest-f1 @OUT@-j DROP
        ");
    }

    #[test]
    fn one_way_and_some_ports_only() {
        let drops = drops(&["10.77.0.14"], true, false);
        let [v4, v6] = rules("f2", &drops, &[5672, 25672], &addresses(&["fd77::1"]));
        assert_eq!(v4.accept, "");
        assert_eq!(
            v4.drop,
            "-A JTEST-IN -s 10.77.0.14 -p tcp -m multiport --ports 5672,25672 \
             -m comment --comment jtest-f2 @IN@-j DROP\n"
        );
        assert_eq!(v6.drop, "");
    }

    #[test]
    fn reads_counters() {
        let address = "fd77::14".parse().unwrap();
        assert_eq!(
            parse_dropped("dropped f1 OUT fd77::14 17"),
            Some((("f1".to_owned(), Direction::Out, address), 17))
        );
        for wrong in [
            "dropped",
            "dropped f1 OUT x 1",
            "dropped f1 UP ::1 1",
            "dropped f1 IN ::1 1 2",
            "dropped IN ::1 1",
        ] {
            assert_eq!(parse_dropped(wrong), None, "{wrong}");
        }
    }
}
