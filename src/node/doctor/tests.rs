use super::probe::Probe;
use super::*;

/// What a fresh Debian 12 host says.
const FRESH: &str = "uid=0
os=debian 12
kernel=6.1.0-28-amd64
container=none
systemd=252
apt=yes
iptables=1.8.9 nf_tables
iptables-works=yes
iptables-foreign=0
iptables-ours=0
iptables-chains=0
ip6tables=1.8.9 nf_tables
ip6tables-works=yes
ip6tables-foreign=0
ip6tables-ours=0
ip6tables-chains=0
nft-tables=0
ipset=7.17
tc=6.1.0
netem=yes
perl=5.36.0
disk-free-kib=20971520
memory-kib=4194304
memory-available-kib=3145728
rabbitmq=
units=
peer=n2 22 open
peer=n2 4369 refused
peer=n2 5672 refused
peer=n3 4369 refused
peer=n2 25672 refused
peer=n3 22 open
peer=n3 5672 refused
peer=n3 25672 refused
";

fn seen(text: &str) -> Seen {
    Seen {
        access: Access::Root,
        probe: Some(Probe::parse(text)),
        clock: Clock::Measured(ClockOffset {
            offset_us: -1250,
            error_us: 300,
        }),
        abilities: None,
        disposable: false,
        down: Vec::new(),
    }
}

#[test]
fn faults_that_cannot_be_had_are_told_with_what_they_need() {
    let mut seen = seen(FRESH);
    seen.abilities = Some(Abilities::parse("iptables\nxt_statistic\nsystemd\nperl\n"));
    let checkup = judged(&seen);
    assert!(cell(&checkup, "faults").ends_with(&format!(" of {}", crate::catalog::KINDS.len())));
    let told = |what: &str| {
        checkup
            .shortfalls
            .iter()
            .any(|shortfall| shortfall.what == what)
    };
    assert!(told(
        "no libfaketime or own-clock, so it cannot have the faults clock-bump, clock-drift, clock-strobe, clock-reset"
    ));
    assert!(told(
        "no sch_netem, so it cannot have the faults loss-bursts, delay, duplicate, corrupt, reorder"
    ));
    assert!(told(
        "no tc, so it cannot have the faults loss-bursts, delay, duplicate, corrupt, reorder, rate"
    ));
    assert!(checkup.is_in_order());
}

fn judged(seen: &Seen) -> Checkup {
    judge(&NodeName("n1".to_owned()), seen)
}

/// The fresh host, but these keys say something else; an empty value: they say nothing.
fn changed(changes: &[(&str, &str)]) -> Seen {
    let mut text = String::new();
    for (key, value) in changes {
        text.push_str(&format!("{key}={value}\n"));
    }
    for line in FRESH.lines() {
        let known = changes
            .iter()
            .any(|(key, _)| line.split_once('=').is_some_and(|(other, _)| other == *key));
        if !known {
            text.push_str(&format!("{line}\n"));
        }
    }
    seen(&text)
}

fn cell(checkup: &Checkup, name: &str) -> String {
    let index = check_names().position(|known| known == name).unwrap();
    checkup.cells[index].text.clone()
}

#[test]
fn a_fresh_host_is_in_order() {
    let checkup = judged(&seen(FRESH));
    assert_eq!(checkup.shortfalls, []);
    assert!(checkup.is_in_order());
    let shown: Vec<String> = check_names()
        .zip(&checkup.cells)
        .map(|(name, cell)| format!("{name}: {}", cell.text))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    reachable: yes
    login: yes
    sudo: yes
    system: debian 12
    kernel: 6.1.0-28-amd64
    systemd: 252
    iptables: 1.8.9 nft
    ip6tables: 1.8.9 nft
    ipset: 7.17
    tc: 6.1.0
    netem: yes
    perl: 5.36.0
    faults: -
    disk free: 20.0 GiB
    memory: 4.0 GiB
    clock: -1.2 ms
    peers: 2 of 2
    firewall: empty
    rabbitmq: none
    broker: -
    leftover: none
    ");
}

#[test]
fn each_shortfall_is_seen_and_weighed() {
    use Severity::{Limits, Needed};
    for (changes, check, shown, severity, told) in [
        (&[("systemd", "")][..], "systemd", "no", Needed, "systemd"),
        (
            &[("iptables", "")],
            "iptables",
            "missing",
            Needed,
            "no iptables",
        ),
        (
            &[("iptables-fails", "denied")],
            "iptables",
            "1.8.9 nft",
            Needed,
            "denied",
        ),
        (
            &[("ip6tables", "")],
            "ip6tables",
            "missing",
            Limits,
            "no ip6tables",
        ),
        (&[("apt", "")], "system", "debian 12", Limits, "no apt-get"),
        (&[("ipset", "")], "ipset", "missing", Limits, "no ipset"),
        (&[("perl", "")], "perl", "missing", Limits, "no perl"),
        (
            &[("netem", ""), ("netem-fails", "Error")],
            "netem",
            "no",
            Limits,
            "netem",
        ),
        (
            &[("disk-free-kib", "102400")],
            "disk free",
            "100 MiB",
            Needed,
            "only 100 MiB",
        ),
        (
            &[("disk-free-kib", "1048576")],
            "disk free",
            "1.0 GiB",
            Limits,
            "only 1.0 GiB",
        ),
        (
            &[("memory-available-kib", "65536")],
            "memory",
            "4.0 GiB",
            Needed,
            "64 MiB",
        ),
        (
            &[("memory-available-kib", "400000")],
            "memory",
            "4.0 GiB",
            Limits,
            "390 MiB",
        ),
        (
            &[("iptables-foreign", "3"), ("ip6tables-foreign", "1")],
            "firewall",
            "4 rules",
            Limits,
            "4 rules",
        ),
        (
            &[("nft-tables", "1")],
            "firewall",
            "1 nft table",
            Limits,
            "1 nft table",
        ),
        (
            &[("iptables-chains", "2")],
            "leftover",
            "yes",
            Needed,
            "chains",
        ),
        (
            &[("deployed", "yes")],
            "leftover",
            "deployed",
            Limits,
            "jtest teardown",
        ),
        (
            &[("units", "jtest-lease.timer")],
            "leftover",
            "yes",
            Needed,
            "lease",
        ),
        (
            &[("faults", "fill-disk n2, to 90%;partition n2 | n1 n3;")],
            "leftover",
            "yes",
            Needed,
            "undone (fill-disk n2, to 90%; partition n2 | n1 n3)",
        ),
        (
            &[("hold", "me@here"), ("hold-run", "r")],
            "leftover",
            "held",
            Needed,
            "me@here",
        ),
        (
            &[
                ("rabbitmq", "3.10.8-1.1+deb12u3"),
                ("rabbitmqctl", "yes"),
                ("unit", "inactive"),
            ],
            "rabbitmq",
            "3.10.8",
            Limits,
            "jtest_disposable",
        ),
    ] {
        let checkup = judged(&changed(changes));
        assert_eq!(cell(&checkup, check), shown, "{changes:?}");
        let [shortfall] = checkup.shortfalls.as_slice() else {
            panic!("{changes:?}: {:?}", checkup.shortfalls);
        };
        assert_eq!(shortfall.severity, severity, "{changes:?}");
        let text = format!("{} {}", shortfall.what, shortfall.remedy);
        assert!(text.contains(told), "{changes:?}: {text}");
        assert_eq!(checkup.is_in_order(), severity == Limits);
    }
}

#[test]
fn own_rules_are_no_foreign_ones() {
    let checkup = judged(&changed(&[
        ("iptables-foreign", "6"),
        ("iptables-ours", "6"),
    ]));
    assert_eq!(cell(&checkup, "firewall"), "empty");
}

#[test]
fn a_running_cluster_is_told() {
    let status = r#"{"running_nodes":["rabbit@n1","rabbit@n2","rabbit@n3"]}"#;
    let mut seen = changed(&[
        ("rabbitmq", "4.0.5-8"),
        ("rabbitmqctl", "yes"),
        ("unit", "active"),
        ("cluster", status),
    ]);
    let checkup = judged(&seen);
    assert_eq!(cell(&checkup, "rabbitmq"), "4.0.5");
    assert_eq!(cell(&checkup, "broker"), "of 3 nodes");
    assert!(
        checkup.shortfalls[0]
            .what
            .contains("RabbitMQ 4.0.5 is here already")
    );
    seen.disposable = true;
    assert_eq!(judged(&seen).shortfalls, []);
}

#[test]
fn peers_that_do_not_answer() {
    let refused = FRESH.replace("peer=n3 22 open", "peer=n3 22 refused");
    assert_eq!(judged(&seen(&refused)).shortfalls, []);
    for (from, to, told) in [
        (
            "n3 25672 refused",
            "n3 25672 silent",
            "peer n3 does not answer on port 25672",
        ),
        (
            "n3 22 open",
            "n3 22 unresolved",
            "does not know the name of its peer n3",
        ),
    ] {
        let checkup = judged(&seen(&FRESH.replace(from, to)));
        assert!(checkup.shortfalls[0].what.contains(told), "{checkup:?}");
        assert_eq!(cell(&checkup, "peers"), "1 of 2");
    }
    let cut: String = FRESH
        .lines()
        .map(|line| match line.strip_prefix("peer=n2 ") {
            Some(rest) => format!("peer=n2 {} silent\n", rest.split(' ').next().unwrap()),
            None => format!("{line}\n"),
        })
        .collect();
    let checkup = judged(&seen(&cut));
    assert!(checkup.shortfalls[0].what.contains("peer n2 on any port"));
    assert!(!checkup.is_in_order());
    let of_one_that_is_down = Seen {
        down: vec!["n2".to_owned()],
        ..seen(&cut)
    };
    assert!(judged(&of_one_that_is_down).is_in_order());
}

#[test]
fn a_clock_far_off_is_told() {
    let mut seen = seen(FRESH);
    seen.clock = Clock::Measured(ClockOffset {
        offset_us: 93_000_000,
        error_us: 300,
    });
    let checkup = judged(&seen);
    assert_eq!(cell(&checkup, "clock"), "+93.0 s");
    assert!(checkup.is_in_order());
    assert_eq!(checkup.shortfalls.len(), 1);
}

#[test]
fn access_ends_where_it_ends() {
    for (access, check) in [
        (Access::Unreachable("why".to_owned()), "reachable"),
        (Access::HostKeyRefused("why".to_owned()), "login"),
        (Access::LoginRefused("why".to_owned()), "login"),
        (Access::NotRoot("why".to_owned()), "sudo"),
    ] {
        let checkup = judged(&Seen {
            access,
            probe: None,
            clock: Clock::Unknown,
            abilities: None,
            disposable: true,
            down: Vec::new(),
        });
        assert!(!checkup.is_in_order());
        assert_eq!(checkup.shortfalls.len(), 1);
        let marked: Vec<&str> = check_names()
            .zip(&checkup.cells)
            .filter(|(_, cell)| cell.mark.is_some())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(marked, [check]);
    }
}

#[test]
fn a_hostile_host_does_not_drive_the_terminal() {
    let checkup = judged(&seen(
        "os=\u{1b}[2Jevil\nkernel=\u{202e}x\nuid=0\npeer=a b c\npeer=\n=\n",
    ));
    for cell in &checkup.cells {
        assert!(!cell.text.contains(['\u{1b}', '\u{202e}']), "{cell:?}");
    }
}

#[test]
fn each_node_asks_for_its_peers_only() {
    let node = |n: u8, peer_address: Option<&str>| Node {
        name: NodeName(format!("n{n}")),
        address: format!("10.0.0.{n}"),
        port: None,
        user: None,
        private_key_file: None,
        password: None,
        use_sudo: true,
        sudo_password: None,
        ssh_args: crate::inventory::SshArgs::default(),
        peer_address: peer_address.map(str::to_owned),
        disposable: true,
    };
    let nodes = [node(1, None), node(2, None), node(3, Some("fd77::3"))];
    let script = script(&nodes[0], &nodes);
    insta::assert_snapshot!(script.args.join("\n"), @r#"
        n2/10.0.0.2/22
        n2/10.0.0.2/4369
        n2/10.0.0.2/5672
        n2/10.0.0.2/25672
        n3/fd77::3/22
        n3/fd77::3/4369
        n3/fd77::3/5672
        n3/fd77::3/25672
        "#);
}
