//! Where the broker comes from: packages sent over SSH, one installed before, a running cluster.
//! On three of the hosts, which is a cluster as well and less work.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, finish};
use crate::verdicts::assert_has_none_of;

const HOSTS: [u8; 3] = [1, 2, 3];

/// A load without faults: short, and its drain is proven all the same.
pub const CALM: &str = "name: calm
cluster:
  net_ticktime: 8s
workload:
  amount: 40 messages
";

/// Of a user of the existing cluster.
const PASSWORD: &str = "swordfish-4093";

/// Makes the hosts unable to fetch a package, until it is dropped.
struct Offline<'a>(&'a Lab);

const PROXY: &str = "/etc/apt/apt.conf.d/99offline";

impl<'a> Offline<'a> {
    fn new(lab: &'a Lab) -> Self {
        let offline = format!(
            "rm -rf /var/lib/apt/lists/*; apt-get clean; \
             echo 'Acquire::http::Proxy \"http://127.0.0.1:9\";' >{PROXY}"
        );
        on_each(lab, &offline);
        Self(lab)
    }
}

impl Drop for Offline<'_> {
    fn drop(&mut self) {
        on_each(self.0, &format!("rm -f {PROXY}"));
    }
}

/// The packages that a host would install, fetched by it and taken to this machine.
fn packages(lab: &Lab) -> PathBuf {
    lab.on(
        1,
        "{ apt-get -qq update && apt-get -qq clean && \
         apt-get -qq -y --no-install-recommends --download-only install rabbitmq-server; } >&2",
    );
    let directory = lab.directory().join("debs");
    std::fs::create_dir(&directory).unwrap();
    let archive = lab.directory().join("debs.tar");
    let mut fetch = lab.lab_command(&[
        "ssh",
        "1",
        "cd /var/cache/apt/archives && tar -c -f - *.deb",
    ]);
    fetch.stdout(File::create(&archive).unwrap());
    assert!(fetch.status().unwrap().success());
    let mut unpack = Command::new("tar");
    unpack
        .arg("-x")
        .arg("-f")
        .arg(&archive)
        .arg("-C")
        .arg(&directory);
    assert!(unpack.status().unwrap().success());
    directory
}

/// Three of the lab's hosts; the rest of the inventory as it is.
fn keep_three(lab: &Lab) {
    let text = std::fs::read_to_string(lab.inventory()).unwrap();
    let mut lines = Vec::new();
    let mut is_left_out = false;
    for line in text.lines() {
        if line.starts_with("    ") && line.trim_start().starts_with('n') {
            is_left_out = line.contains("n4:") || line.contains("n5:");
        }
        if line.starts_with("  vars") {
            is_left_out = false;
        }
        if !is_left_out {
            lines.push(line);
        }
    }
    std::fs::write(lab.inventory(), lines.join("\n")).unwrap();
}

fn succeed(lab: &Lab, verb: &str, arguments: &[&str]) -> String {
    let (code, printed) = finish(lab, lab.jtest(verb, arguments));
    assert_eq!(code, Some(0), "{printed}");
    printed
}

fn deploy(lab: &Lab, source: &str) -> String {
    let source = format!("cluster.source={source}");
    succeed(lab, "deploy", &["--set", &source])
}

/// Runs a shell line on all of them at once.
fn on_each(lab: &Lab, line: &str) {
    std::thread::scope(|scope| {
        for host in HOSTS {
            scope.spawn(move || lab.on(host, line));
        }
    });
}

fn is_installed(lab: &Lab, host: u8) -> bool {
    lab.on(
        host,
        "dpkg-query -W -f '${db:Status-Status}' rabbitmq-server 2>/dev/null || true",
    ) == "installed"
}

fn queues(lab: &Lab) -> String {
    lab.on(
        2,
        "rabbitmqctl -q list_queues name messages --silent | sort",
    )
}

/// Runs a calm load against the cluster as it is, as a user that is there.
fn run_on_existing(lab: &Lab, scenario: &Path) {
    lab.on(
        1,
        &format!(
            "rabbitmqctl -q add_user them '{PASSWORD}' && rabbitmqctl -q set_permissions them '.*' '.*' '.*'"
        ),
    );
    let scenario = scenario.to_str().unwrap();
    let existing = ["--scenario", scenario, "--set", "cluster.source=existing"];
    let mut run = lab.jtest("run", &existing);
    run.env("JTEST_RABBITMQ_USER", "them");
    run.env("JTEST_RABBITMQ_PASSWORD", PASSWORD);
    let (code, printed) = finish(lab, run);
    assert_eq!(code, Some(0), "{printed}");
    assert_has_none_of(&lab.latest(), &[PASSWORD]);
    assert!(
        printed.contains("VALID: all 120 confirmed messages"),
        "{printed}"
    );
    assert!(
        !printed.contains("installing") && !printed.contains("from nothing"),
        "{printed}"
    );
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn brokers_come_by_ssh_from_the_host_or_are_there_already() {
    let lab = Lab::hold();
    lab.script(&["reset"]);
    keep_three(&lab);
    let scenario = lab.directory().join("calm.yaml");
    std::fs::write(&scenario, CALM).unwrap();

    let debs = packages(&lab);
    let offline = Offline::new(&lab);
    let (code, printed) = finish(&lab, lab.jtest("deploy", &[]));
    assert_eq!(code, Some(254), "{printed}");
    assert!(
        printed.contains("could not be read anew") && printed.contains("127.0.0.1:9"),
        "{printed}"
    );
    let printed = deploy(&lab, &format!("{{debs: {}}}", debs.display()));
    assert!(
        printed.contains(" on 3 hosts") && printed.contains("ready: every node"),
        "{printed}"
    );
    drop(offline);

    // Somebody else's queue and policy are on it, and nothing may be wiped.
    lab.on(
        1,
        "rabbitmqctl -q eval 'rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"jtests-orders\">>), \
         true, false, [], none, <<\"them\">>).' && rabbitmqctl -q set_policy theirs ^orders '{\"max-length\":9}'",
    );
    let inventory = std::fs::read_to_string(lab.inventory()).unwrap();
    let kept = inventory.replace("jtest_disposable: true", "jtest_disposable: false");
    std::fs::write(lab.inventory(), kept).unwrap();
    let started = lab.on(
        3,
        "systemctl show --property=ActiveEnterTimestampMonotonic rabbitmq-server",
    );
    run_on_existing(&lab, &scenario);
    assert_eq!(
        lab.on(
            3,
            "systemctl show --property=ActiveEnterTimestampMonotonic rabbitmq-server"
        ),
        started
    );
    assert!(
        queues(&lab).contains("jtests-orders\t0"),
        "{}",
        queues(&lab)
    );
    assert!(lab.on(2, "rabbitmqctl -q list_policies").contains("theirs"));

    std::fs::write(lab.inventory(), inventory).unwrap();
    succeed(&lab, "teardown", &[]);
    assert!(HOSTS.iter().all(|host| !is_installed(&lab, *host)));

    let (code, printed) = finish(
        &lab,
        lab.jtest("deploy", &["--set", "cluster.source=installed"]),
    );
    assert_eq!(code, Some(254), "{printed}");
    assert!(printed.contains("RabbitMQ is not installed"), "{printed}");
    on_each(
        &lab,
        "{ apt-get -qq update && apt-get -qq -y --no-install-recommends install rabbitmq-server && \
         echo '# theirs' >/etc/rabbitmq/rabbitmq.conf; } >&2",
    );
    let printed = deploy(&lab, "installed");
    assert!(!printed.contains("installing"), "{printed}");
    assert!(printed.contains("ready: every node"), "{printed}");
    succeed(&lab, "teardown", &[]);
    assert!(HOSTS.iter().all(|host| is_installed(&lab, *host)));
    assert_eq!(lab.on(2, "cat /etc/rabbitmq/rabbitmq.conf"), "# theirs\n");
}
