//! What must hold across hosts, and for the file as a whole.

use std::collections::HashMap;
use std::net::IpAddr;

use super::variables::{OWN, Read};
use crate::diagnostic::{Collector, Place, did_you_mean, quoted};
use crate::yaml::Entry;

/// Fewer have no majority without one of them.
const NODES_MIN: usize = 3;
/// More than jtest was ever tried with.
const NODES_TRIED_MAX: usize = 9;

/// Whether the first line that says something is a section header.
pub(super) fn is_ini(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        .is_some_and(|line| {
            line.strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
                .is_some_and(|name| {
                    !name.is_empty()
                        && name
                            .chars()
                            .all(|c| c.is_alphanumeric() || "_-:.".contains(c))
                })
        })
}

/// Tells variables that look like jtest's own and are not.
pub(super) fn settings(settings: &[&Entry], to: &mut Collector<'_>) {
    for entry in settings {
        let key = entry.key.to_ascii_lowercase();
        let ours = key.starts_with("jtest_") || key.starts_with("jtest-");
        if ours && !OWN.contains(&entry.key.as_str()) {
            to.error(
                entry.place,
                format!("jtest has no variable {}", quoted(&entry.key)),
                did_you_mean(&entry.key, OWN),
            );
        }
    }
}

/// Checks that no two hosts are the same, and their number.
pub(super) fn hosts(hosts: &[Read], to: &mut Collector<'_>) {
    if hosts.is_empty() {
        // A file that is wrong elsewhere may well have named hosts.
        if !to.has_errors() {
            to.error(
                None,
                "the inventory names no hosts",
                "begin with `all:`, then `hosts:` indented below it, then one key for each host",
            );
        }
        return;
    }
    names(hosts, to);
    addresses(hosts, to);
    control_netns(hosts, to);
    number(hosts.len(), to);
}

fn names(hosts: &[Read], to: &mut Collector<'_>) {
    let mut seen: HashMap<String, &Read> = HashMap::new();
    for host in hosts {
        let name = host.node.name.0.as_str();
        if let Some(first) = seen.get(&name.to_ascii_lowercase()) {
            to.error(
                host.place,
                format!(
                    "{} and {} (line {}) are the same host name",
                    quoted(name),
                    quoted(&first.node.name.0),
                    first.place.line
                ),
                "host names do not tell upper from lower case: choose another",
            );
        } else {
            seen.insert(name.to_ascii_lowercase(), host);
        }
    }
}

fn addresses(hosts: &[Read], to: &mut Collector<'_>) {
    const SSH_PORT: u16 = 22;
    let mut doors: HashMap<(String, u16), &Read> = HashMap::new();
    let mut peers: HashMap<String, &Read> = HashMap::new();
    for host in hosts {
        let node = &host.node;
        let port = node.port.unwrap_or(SSH_PORT);
        if let Some(first) = doors.get(&(canonical(&node.address), port)) {
            same(host, first, host.address_place, "address", to);
            continue;
        }
        doors.insert((canonical(&node.address), port), host);
        let peer = canonical(node.peer_address());
        if let Some(first) = peers.get(&peer) {
            same(host, first, host.peer_place, "peer address", to);
            continue;
        }
        peers.insert(peer, host);
    }
}

/// The value is not in the message: it may come from the environment.
fn same(host: &Read, first: &Read, place: Place, what: &str, to: &mut Collector<'_>) {
    to.error(
        place,
        format!(
            "{} has the same {what} as {} (line {})",
            quoted(&host.node.name.0),
            quoted(&first.node.name.0),
            first.place.line
        ),
        if what == "address" {
            "give each host an `ansible_host` of its own"
        } else {
            "say by `jtest_peer_address` where the other nodes reach each of them"
        },
    );
}

/// One form for what is the same address.
fn canonical(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => address.trim_end_matches('.').to_ascii_lowercase(),
    }
}

fn control_netns(hosts: &[Read], to: &mut Collector<'_>) {
    let Some((first, name, first_place)) = hosts.iter().find_map(|host| {
        let (name, place) = host.control_netns.as_ref()?;
        Some((host, name, *place))
    }) else {
        return;
    };
    for host in hosts {
        let (place, said) = match &host.control_netns {
            Some((other, _)) if other == name => continue,
            Some((_, place)) => (*place, "another"),
            None => (host.place, "no"),
        };
        to.error(
            place,
            format!(
                "{} has {said} control namespace, unlike {} (line {})",
                quoted(&host.node.name.0),
                quoted(&first.node.name.0),
                first_place.line
            ),
            "jtest runs in one place: set `jtest_control_netns` once, under the `vars` of `all`",
        );
    }
}

fn number(nodes: usize, to: &mut Collector<'_>) {
    if nodes < NODES_MIN {
        to.warning(
            None,
            format!("the inventory has {nodes} of at least {NODES_MIN} nodes: no partition leaves a majority"),
            "five nodes are the usual number",
        );
    } else if nodes > NODES_TRIED_MAX {
        to.warning(
            None,
            format!(
                "the inventory has {nodes} nodes; more than {NODES_TRIED_MAX} were never tried"
            ),
            "five nodes are the usual number",
        );
    }
    if nodes.is_multiple_of(2) && nodes >= NODES_MIN {
        to.warning(
            None,
            format!("the inventory has {nodes} nodes, an even number: cut in halves, neither side has a majority"),
            "take an odd number of nodes, five are usual",
        );
    }
}
