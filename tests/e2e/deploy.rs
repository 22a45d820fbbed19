//! `jtest deploy` and `jtest teardown`: what they change, and that they leave nothing.

use crate::lab::{Lab, finish};

/// Everything that a deployment may change outside its own directories.
fn traces(lab: &Lab) -> Vec<String> {
    (1..=5)
        .map(|host| {
            lab.on(
                host,
                "sha256sum /etc/hosts; ls -d /etc/rabbitmq /var/lib/rabbitmq /var/lib/jtest /usr/sbin/policy-rc.d \
                 /etc/systemd/system/rabbitmq-server.service.d /run/jtest 2>/dev/null; \
                 findmnt --noheadings --output TARGET,FSTYPE,OPTIONS /var/lib/rabbitmq; \
                 dpkg-query -W -f '${db:Status-Status} ${Package}\\n' | grep '^installed' | sha256sum",
            )
        })
        .collect()
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_deployment_is_made_once_and_undone_without_a_trace() {
    let lab = Lab::hold();
    lab.script(&["reset"]);
    let bare = traces(&lab);

    let (code, printed) = finish(&lab, lab.jtest("deploy", &[]));
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("installing RabbitMQ 3.") && printed.contains(" on 5 hosts"),
        "{printed}"
    );
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
