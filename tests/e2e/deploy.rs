//! `jtest deploy` and `jtest teardown`: what they change, and that they leave nothing.

use crate::lab::{Lab, finish};

/// Somebody else installs something for 15 s: the lock is the one that apt and dpkg take.
const HOLD_DPKG: &str = r"systemd-run --quiet --collect --unit=test-dpkg perl -MFcntl=:DEFAULT,:seek -e '
    open(my $lock, q(+>), q(/var/lib/dpkg/lock-frontend)) or die;
    my $how = pack(q(s s x4 q q l x4), F_WRLCK, SEEK_SET, 0, 0, 0);
    fcntl($lock, F_SETLK, $how) or die;
    open(my $held, q(>), q(/run/test-held)); close($held);
    sleep 15;
    open(my $released, q(>), q(/run/test-released)); print $released time, qq(\n)'
for i in $(seq 50); do [ -e /run/test-held ] && exit; sleep 0.1; done; exit 1";

/// Everything that a deployment may change outside its own directories.
fn traces(lab: &Lab) -> Vec<String> {
    lab.on_all(
                "sha256sum /etc/hosts; ls -d /etc/rabbitmq /var/lib/rabbitmq /var/lib/jtest /usr/sbin/policy-rc.d \
                 /etc/systemd/system/rabbitmq-server.service.d /run/jtest 2>/dev/null; \
                 findmnt --noheadings --output TARGET,FSTYPE,OPTIONS /var/lib/rabbitmq; \
                 dpkg-query -W -f '${db:Status-Status} ${Package}\\n' | grep '^installed' | sha256sum",
    )
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_deployment_is_made_once_and_undone_without_a_trace() {
    let lab = Lab::hold();
    lab.script(&["reset"]);
    let bare = traces(&lab);

    let offered = lab.on(
        2,
        "apt-get -qq update && apt-cache policy rabbitmq-server | sed -n 's/^  Candidate: //p'",
    );
    let offered = offered.trim();
    let exactly = format!("cluster.version={offered}");
    lab.on(2, HOLD_DPKG);
    let (code, printed) = finish(&lab, lab.jtest("deploy", &["--set", &exactly]));
    assert_eq!(code, Some(0), "{printed}");
    let installing = format!("installing RabbitMQ {offered} on 5 hosts");
    assert!(printed.contains(&installing), "{printed}");
    let times = lab.on(
        2,
        "cat /run/test-released; stat -c %W /var/lib/dpkg/info/rabbitmq-server.list",
    );
    let times: Vec<u64> = times.lines().map(|time| time.parse().unwrap()).collect();
    assert!(times[0] <= times[1], "{times:?}");
    for host in 1..=5 {
        let version = lab.on(host, "dpkg-query -W -f '${Version}' rabbitmq-server");
        assert_eq!(version, offered);
    }
    assert!(
        printed.contains("ready: every node sees all running"),
        "{printed}"
    );

    let (code, printed) = finish(&lab, lab.jtest("deploy", &[]));
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("the cluster is as it should be"),
        "{printed}"
    );
    assert!(!printed.contains("starting"), "{printed}");

    let more = ["--set", "cluster.net_ticktime=9s"];
    let (code, printed) = finish(&lab, lab.jtest("deploy", &more));
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("starting 5 brokers from nothing"),
        "{printed}"
    );
    let ticktime = lab.on(4, "rabbitmqctl -q eval 'net_kernel:get_net_ticktime().'");
    assert_eq!(ticktime.trim(), "9");

    let (code, printed) = finish(&lab, lab.jtest("teardown", &[]));
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(traces(&lab), bare);
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn hosts_that_are_not_disposable_are_refused_before_anything_is_touched() {
    let lab = Lab::hold();
    let before = traces(&lab);
    let inventory = std::fs::read_to_string(lab.inventory()).unwrap();
    let kept = inventory.replace("jtest_disposable: true", "jtest_disposable: false");
    assert_ne!(inventory, kept);
    std::fs::write(lab.inventory(), kept).unwrap();
    for verb in ["deploy", "run"] {
        let (code, printed) = finish(&lab, lab.jtest(verb, &[]));
        assert_eq!(code, Some(254), "{printed}");
        assert!(printed.contains("jtest_disposable: true"), "{printed}");
    }
    assert_eq!(traces(&lab), before);
}
