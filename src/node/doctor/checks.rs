//! The table of checks: each makes a cell of what was seen of a host, and the shortfall if
//! there is one. Pure.

use super::probe::{Answer, Attempt, Probe};
use super::{Access, Cell, Clock, SSH_PORT, Seen, Severity, Shortfall};
use crate::catalog::{KINDS, Need};

/// The broker's ports, which the nodes need of each other: epmd, clients, distribution.
pub(super) const BROKER_PORTS: [u16; 3] = [4369, 5672, 25672];

const MIB: u64 = 1024 * 1024;
const DISK_MIN: u64 = 512 * MIB;
const DISK_SCARCE: u64 = 2048 * MIB;
const MEMORY_MIN: u64 = 192 * MIB;
const MEMORY_SCARCE: u64 = 512 * MIB;
/// Clocks farther apart make logs of several nodes hard to read side by side.
const CLOCK_OFF_US: u64 = 500_000;

/// A cell and what falls short.
type Finding = (Cell, Vec<Shortfall>);

/// One line of the table.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) find: fn(&Seen) -> Finding,
}

/// All of them, in the order of the table.
pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "reachable",
        find: reachable,
    },
    Check {
        name: "login",
        find: login,
    },
    Check {
        name: "sudo",
        find: sudo,
    },
    Check {
        name: "system",
        find: |seen| probed(seen, system),
    },
    Check {
        name: "kernel",
        find: |seen| probed(seen, |probe| fine(probe.get("kernel").unwrap_or("unknown"))),
    },
    Check {
        name: "systemd",
        find: |seen| probed(seen, systemd),
    },
    Check {
        name: "iptables",
        find: |seen| {
            probed(seen, |probe| {
                firewall_tool(probe, "iptables", Severity::Needed)
            })
        },
    },
    Check {
        name: "ip6tables",
        find: |seen| {
            probed(seen, |probe| {
                firewall_tool(probe, "ip6tables", Severity::Limits)
            })
        },
    },
    Check {
        name: "ipset",
        find: |seen| probed(seen, |probe| tool(probe, "ipset", "ipset")),
    },
    Check {
        name: "tc",
        find: |seen| probed(seen, |probe| tool(probe, "tc", "iproute2")),
    },
    Check {
        name: "netem",
        find: |seen| probed(seen, netem),
    },
    Check {
        name: "perl",
        find: |seen| probed(seen, |probe| tool(probe, "perl", "perl-base")),
    },
    Check {
        name: "faults",
        find: faults,
    },
    Check {
        name: "disk free",
        find: |seen| probed(seen, disk),
    },
    Check {
        name: "memory",
        find: |seen| probed(seen, memory),
    },
    Check {
        name: "clock",
        find: clock,
    },
    Check {
        name: "peers",
        find: peers,
    },
    Check {
        name: "firewall",
        find: |seen| probed(seen, foreign_rules),
    },
    Check {
        name: "rabbitmq",
        find: rabbitmq,
    },
    Check {
        name: "broker",
        find: |seen| probed(seen, broker),
    },
    Check {
        name: "leftover",
        find: |seen| probed(seen, leftover),
    },
];

fn fine(text: impl Into<String>) -> Finding {
    (
        Cell {
            text: text.into(),
            mark: None,
        },
        Vec::new(),
    )
}

fn short(
    text: impl Into<String>,
    severity: Severity,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    let shortfall = Shortfall {
        severity,
        what: what.into(),
        remedy: remedy.into(),
    };
    (
        Cell {
            text: text.into(),
            mark: Some(severity),
        },
        vec![shortfall],
    )
}

fn unknown() -> Finding {
    fine("-")
}

/// How many of the faults there are the host can have; what the others lack.
fn faults(seen: &Seen) -> Finding {
    let Some(abilities) = &seen.abilities else {
        return fine("-");
    };
    let possible = abilities.allows(KINDS).len();
    let text = format!("{possible} of {}", KINDS.len());
    let mut shortfalls = Vec::new();
    let mut unmet: Vec<&[Need]> = Vec::new();
    for any in KINDS
        .iter()
        .flat_map(|kind| kind.lacks(|need| abilities.has(need)))
    {
        if !unmet.contains(&any) {
            unmet.push(any);
        }
    }
    unmet.sort();
    for any in unmet {
        let wanting = KINDS.iter().filter(|kind| kind.needs.contains(&any));
        let names: Vec<_> = wanting.map(|kind| kind.name).collect();
        let needs: Vec<_> = any.iter().map(|need| need.name()).collect();
        let remedies: Vec<_> = any.iter().map(|need| need.remedy()).collect();
        shortfalls.push(Shortfall {
            severity: Severity::Limits,
            what: format!(
                "no {}, so it cannot have the faults {}",
                needs.join(" or "),
                names.join(", ")
            ),
            remedy: remedies.join(", or "),
        });
    }
    let mark = shortfalls.first().map(|shortfall| shortfall.severity);
    (Cell { text, mark }, shortfalls)
}

fn probed(seen: &Seen, find: impl Fn(&Probe) -> Finding) -> Finding {
    seen.probe.as_ref().map_or_else(unknown, find)
}

fn reachable(seen: &Seen) -> Finding {
    match &seen.access {
        Access::Unreachable(why) => short(
            "no",
            Severity::Needed,
            format!("not reachable over SSH: {why}"),
            "is it up, is sshd running, and is `ansible_host` of the inventory right?",
        ),
        Access::HostKeyRefused(_) | Access::LoginRefused(_) | Access::NotRoot(_) | Access::Root => {
            fine("yes")
        }
    }
}

fn login(seen: &Seen) -> Finding {
    match &seen.access {
        Access::Unreachable(_) => unknown(),
        Access::HostKeyRefused(why) => short(
            "host key",
            Severity::Needed,
            format!("host key refused: {why}"),
            "compare the key's fingerprint with the host's own before accepting it",
        ),
        Access::LoginRefused(why) => short(
            "refused",
            Severity::Needed,
            why.clone(),
            "check `ansible_user`, `ansible_ssh_private_key_file` and the host's authorized_keys",
        ),
        Access::NotRoot(_) | Access::Root => fine("yes"),
    }
}

fn sudo(seen: &Seen) -> Finding {
    match &seen.access {
        Access::NotRoot(why) => short(
            "no",
            Severity::Needed,
            format!("no root on it: {why}"),
            "jtest installs packages and changes the firewall: log in as root, or with sudo",
        ),
        Access::Root => fine("yes"),
        Access::Unreachable(_) | Access::HostKeyRefused(_) | Access::LoginRefused(_) => unknown(),
    }
}

fn system(probe: &Probe) -> Finding {
    let name = probe.get("os").unwrap_or("unknown");
    if probe.get("apt").is_some() {
        return fine(name);
    }
    short(
        name,
        Severity::Limits,
        format!("no apt-get here ({name}), so jtest cannot install RabbitMQ"),
        "install it yourself and use `source: installed`, or take a Debian or Ubuntu host",
    )
}

fn systemd(probe: &Probe) -> Finding {
    match probe.get("systemd") {
        Some(version) => fine(version),
        None => short(
            "no",
            Severity::Needed,
            "systemd is not its service manager",
            "take a host that systemd has booted: the lease that undoes faults is a timer of it",
        ),
    }
}

fn firewall_tool(probe: &Probe, name: &str, severity: Severity) -> Finding {
    let Some(version) = probe.get(name) else {
        return short(
            "missing",
            severity,
            format!("no {name}"),
            "install it: `apt-get install iptables`",
        );
    };
    let text = version.replace("nf_tables", "nft");
    if let Some(why) = probe.get(&format!("{name}-fails")) {
        return short(
            text,
            severity,
            format!("{name} does not work: {why}"),
            format!(
                "try `update-alternatives --set {name} /usr/sbin/{name}-legacy`, or load its kernel modules"
            ),
        );
    }
    fine(text)
}

fn tool(probe: &Probe, name: &str, package: &str) -> Finding {
    match probe.get(name) {
        Some(version) => fine(version),
        None => short(
            "missing",
            Severity::Limits,
            format!("no {name}; some faults need it, partitions do not"),
            format!("install it: `apt-get install {package}`"),
        ),
    }
}

fn netem(probe: &Probe) -> Finding {
    if probe.get("netem").is_some() {
        return fine("yes");
    }
    match probe.get("netem-fails") {
        Some(_) => short(
            "no",
            Severity::Limits,
            "the kernel has no netem: slow and lossy networks are not to be had",
            "use a kernel with the module sch_netem, if you need them",
        ),
        None => unknown(),
    }
}

fn disk(probe: &Probe) -> Finding {
    let Some(_) = probe.get("disk-free-kib") else {
        return unknown();
    };
    let free = probe.count("disk-free-kib").saturating_mul(1024);
    let severity = match free {
        _ if free < DISK_MIN => Severity::Needed,
        _ if free < DISK_SCARCE => Severity::Limits,
        _ => return fine(bytes(free)),
    };
    short(
        bytes(free),
        severity,
        format!("only {} of disk free for the broker's data", bytes(free)),
        format!("free some: {} are enough", bytes(DISK_SCARCE)),
    )
}

fn memory(probe: &Probe) -> Finding {
    let Some(_) = probe.get("memory-kib") else {
        return unknown();
    };
    let all = probe.count("memory-kib").saturating_mul(1024);
    let free = probe.count("memory-available-kib").saturating_mul(1024);
    let severity = match free {
        _ if probe.get("memory-available-kib").is_none() => return fine(bytes(all)),
        _ if free < MEMORY_MIN => Severity::Needed,
        _ if free < MEMORY_SCARCE => Severity::Limits,
        _ => return fine(bytes(all)),
    };
    short(
        bytes(all),
        severity,
        format!(
            "only {} of its {} of memory available",
            bytes(free),
            bytes(all)
        ),
        format!(
            "stop something, or give it more: {} are enough",
            bytes(MEMORY_SCARCE)
        ),
    )
}

fn clock(seen: &Seen) -> Finding {
    let Clock::Measured(offset) = &seen.clock else {
        return unknown();
    };
    let text = milliseconds(offset.offset_us);
    if offset.offset_us.unsigned_abs() <= CLOCK_OFF_US {
        return fine(text);
    }
    short(
        text.clone(),
        Severity::Limits,
        format!(
            "its clock is off by {text} against the control node's (within {})",
            milliseconds(i64::try_from(offset.error_us).unwrap_or(i64::MAX))
                .trim_start_matches('+')
        ),
        "let it be synchronized (systemd-timesyncd, chrony): logs of several nodes are read side by side",
    )
}

fn peers(seen: &Seen) -> Finding {
    let Some(probe) = &seen.probe else {
        return unknown();
    };
    let mut names: Vec<&str> = probe.attempts.iter().map(|a| a.peer.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let reached = |attempt: &&Attempt| matches!(attempt.answer, Answer::Open | Answer::Refused);
    let mut found = Vec::new();
    let mut whole = 0;
    for &name in &names {
        let of_peer = || probe.attempts.iter().filter(|attempt| attempt.peer == name);
        let silent: Vec<String> = of_peer()
            .filter(|attempt| !reached(attempt) && attempt.port != SSH_PORT)
            .map(|attempt| attempt.port.to_string())
            .collect();
        let (what, remedy) = if of_peer().any(|a| a.answer == Answer::Unresolved) {
            (
                format!("it does not know the name of its peer {name}"),
                "give the peer's address in `jtest_peer_address`",
            )
        } else if of_peer().all(|attempt| !reached(&attempt)) {
            (
                format!("it does not reach its peer {name} on any port"),
                "is `jtest_peer_address` right, is the peer up, is there a firewall between them?",
            )
        } else if !silent.is_empty() {
            (
                format!(
                    "its peer {name} does not answer on port {}",
                    silent.join(", ")
                ),
                "let the nodes reach each other's ports 4369, 5672 and 25672",
            )
        } else {
            whole += 1;
            continue;
        };
        // A peer that is down falls short itself; this host may still be in order.
        let severity = if seen.down.iter().any(|down| down == name) {
            Severity::Limits
        } else {
            Severity::Needed
        };
        found.push(Shortfall {
            severity,
            what,
            remedy: remedy.to_owned(),
        });
    }
    let cell = Cell {
        text: format!("{whole} of {}", names.len()),
        mark: found.iter().map(|shortfall| shortfall.severity).max(),
    };
    (cell, found)
}

fn foreign_rules(probe: &Probe) -> Finding {
    if !probe.is_root() {
        return unknown();
    }
    let count = |tool: &str| {
        let all = probe.count(&format!("{tool}-foreign"));
        all.saturating_sub(probe.count(&format!("{tool}-ours")))
    };
    let rules = count("iptables") + count("ip6tables");
    let tables = probe.count("nft-tables");
    if rules == 0 && tables == 0 {
        return fine("empty");
    }
    let mut parts = Vec::new();
    for (count, noun) in [(rules, "rule"), (tables, "nft table")] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {noun}")),
            _ => parts.push(format!("{count} {noun}s")),
        }
    }
    short(
        parts[0].clone(),
        Severity::Limits,
        format!("its firewall has {} of others", parts.join(" and ")),
        "jtest leaves them alone; they must not come before its own, nor be written anew during a run",
    )
}

/// The version of the installed broker without the packager's additions.
fn version(probe: &Probe) -> Option<&str> {
    match (probe.get("rabbitmq"), probe.get("rabbitmqctl")) {
        (Some(version), _) => version.split(['-', '+', '~']).next(),
        (None, Some(_)) => Some("unpackaged"),
        (None, None) => None,
    }
}

fn rabbitmq(seen: &Seen) -> Finding {
    let Some(probe) = &seen.probe else {
        return unknown();
    };
    match version(probe) {
        None => fine("none"),
        Some(version) if seen.disposable => fine(version),
        Some(version) => short(
            version,
            Severity::Limits,
            format!("RabbitMQ {version} is here already, and its data must not be wiped"),
            "set `jtest_disposable: true` for this host if it may be, or test the cluster as it is with `source: existing`",
        ),
    }
}

/// Whether the broker runs, and among how many.
fn broker(probe: &Probe) -> Finding {
    match (version(probe), probe.get("unit"), probe.cluster_size()) {
        (None, _, _) => unknown(),
        (Some(_), Some("active"), Some(1)) => fine("alone"),
        (Some(_), Some("active"), Some(nodes)) => fine(format!("of {nodes} nodes")),
        (Some(_), Some("active"), None) => fine("no answer"),
        (Some(_), unit, _) => fine(unit.unwrap_or("unknown")),
    }
}

fn leftover(probe: &Probe) -> Finding {
    let mut found = Vec::new();
    if probe.count("iptables-chains") + probe.count("ip6tables-chains") > 0 {
        found.push("chains in its firewall".to_owned());
    }
    if probe.get("units").is_some() {
        found.push("a lease's timer".to_owned());
    }
    let holder = probe.get("hold");
    if holder.is_none() && probe.get("hold-run").is_some() {
        found.push("the record of a hold in /run/jtest".to_owned());
    }
    if let Some(faults) = probe.get("faults") {
        let faults = faults.trim_end_matches(';').replace(';', "; ");
        found.push(format!("faults that nobody has undone ({faults})"));
    }
    if let Some(holder) = holder {
        return short(
            "held",
            Severity::Needed,
            format!("in the hands of another jtest: {holder}"),
            "wait for its end; if it is dead, the host undoes everything by itself within the lease, or `jtest heal` does at once",
        );
    }
    if found.is_empty() && probe.get("deployed").is_some() {
        return short(
            "deployed",
            Severity::Limits,
            "jtest has deployed here: its names are in /etc/hosts",
            "`jtest teardown` undoes it; another run goes on from it",
        );
    }
    if found.is_empty() {
        return fine("none");
    }
    short(
        "yes",
        Severity::Needed,
        format!("left by an earlier run: {}", found.join(", ")),
        "run `jtest heal --inventory FILE`",
    )
}

/// `12 GiB`, `512 MiB`.
fn bytes(count: u64) -> String {
    if count >= 1024 * MIB {
        format!("{:.1} GiB", count as f64 / (1024 * MIB) as f64)
    } else {
        format!("{} MiB", count / MIB)
    }
}

/// `+0.3 ms`, `-2.5 s`.
fn milliseconds(us: i64) -> String {
    let ms = us as f64 / 1000.0;
    if ms.abs() < 0.05 {
        "0.0 ms".to_owned()
    } else if ms.abs() < 1000.0 {
        format!("{ms:+.1} ms")
    } else {
        format!("{:+.1} s", ms / 1000.0)
    }
}
