//! Whole runs: a valid one, a loss, and what they leave.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, Running, finish};

/// One cut that is long enough to be noticed at this ticktime, and short enough for a test.
pub const SHORT: &[&str] = &[
    "--set",
    "cluster.net_ticktime=5s",
    "--set",
    "schedule.0.at=5s",
    "--set",
    "schedule.0.duration=18s",
    // Brokers may hang for good after a cut. Then there is to be a verdict before the patience of a test ends.
    "--set",
    "recovery_timeout=2m",
    "--set",
    "drain_timeout=1m",
];

pub const UNTIL_CUT: Duration = Duration::from_secs(300);

/// Where the hosts can be reached from; nothing else listens there.
const METRICS: &str = "127.0.0.1:19464";

/// Stands in the inventory, where it is not needed: the key opens the hosts.
const PASSWORD: &str = "open-sesame-7261";

/// What a run judged.
pub fn results(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_cut_of_the_leader_loses_confirmed_messages_under_autoheal_and_none_of_a_quorum_queue() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let inventory = std::fs::read_to_string(lab.inventory()).unwrap();
    let password =
        format!("    ansible_password: {PASSWORD}\n    ansible_become_password: {PASSWORD}\n");
    std::fs::write(lab.inventory(), inventory + &password).unwrap();

    let arguments = [&["--scenario", "mirrored-autoheal", "--seed", "7"], SHORT].concat();
    let (code, printed) = finish(&lab, lab.jtest("run", &arguments));
    assert_eq!(code, Some(1), "{printed}");
    let lost = results(&lab.latest());
    assert_eq!(lost["verdict"], "invalid");
    assert!(lost["total_queue"]["data"]["lost"].as_u64().unwrap() > 0);
    assert!(
        !lost["total_queue"]["data"]["losses"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(lost["coverage"]["verdict"], "valid", "{lost:#}");
    assert_left_everything(&lab, &lab.latest());

    // Nobody ends the partition but jtest, which says so; and what cannot be collected changes no verdict.
    let more = [
        "--set",
        "queue.type=quorum",
        "--set",
        "cluster.partition_handling=ignore",
    ];
    let mut running = Running::start(&lab, lab.jtest("run", &[&arguments[..], &more].concat()));
    running.await_printed("fault 1: injected", UNTIL_CUT);
    let uncollectable = WithoutTar::new(&lab);
    let (status, printed) = running.end();
    drop(uncollectable);
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(
        printed.contains("collect failed: n3: cannot collect its logs"),
        "{printed}"
    );
    let kept = results(&lab.latest());
    assert_eq!(kept["verdict"], "valid");
    assert_eq!(restarted(&kept), small_side(&kept), "{kept:#}");
    assert_eq!(kept["total_queue"]["data"]["lost"], 0);
    assert_eq!(kept["coverage"]["verdict"], "valid", "{kept:#}");
    assert_left_everything(&lab, &lab.latest());

    assert_eq!(before, lab.firewalls());
}

fn assert_fits_the_schema(results: &Value) {
    let schema = serde_json::from_str(include_str!("../../docs/results.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(results).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn an_inventory_alone_runs_the_default_scenario_and_nothing_is_lost() {
    let lab = Lab::hold();
    let runs = lab.runs();
    let mut arguments = vec!["--runs", runs.to_str().unwrap(), "--seed", "1"];
    // Its own three cuts, in a sixth of the time.
    for set in [
        "schedule.0.at=3s",
        "schedule.0.duration=6s",
        "schedule.1.at=12s",
        "schedule.1.duration=6s",
        "schedule.2.at=21s",
        "schedule.2.duration=6s",
    ] {
        arguments.extend(["--set", set]);
    }
    let metrics = ["--json", "--metrics", METRICS];
    let mut running = Running::start(
        &lab,
        lab.jtest_at(&[], &[&arguments[..], &metrics].concat()),
    );
    running.await_printed("\"event\":\"fault-injected\",\"fault\":2", UNTIL_CUT);
    let page = scraped(&lab);
    crash_an_erlang(&lab);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(
        printed.contains("3 of 3 faults proven and undone"),
        "{printed}"
    );
    assert_told_while_it_ran(&page, &printed, &lab.latest());
    let kept = results(&lab.latest());
    assert_eq!(kept["scenario"], "partitions");
    assert!(kept["total_queue"]["data"]["confirmed"].as_u64() > Some(1000));
    assert_left_everything(&lab, &lab.latest());
    let queues = std::fs::read_to_string(lab.latest().join("nodes/n3/queues.txt")).unwrap();
    assert!(queues.contains("\n/\tjtest.queue\tquorum\t"), "{queues}");
    let dump = lab.latest().join("nodes/n1/log/erl_crash.dump");
    let dump = std::fs::read_to_string(dump).unwrap();
    assert!(
        dump.contains("Slogan: told to") && dump.contains("\n=proc:<"),
        "{dump}"
    );
}

/// n1 has a crash dump, with the brokers' cookie in it, where brokers leave theirs.
fn crash_an_erlang(lab: &Lab) {
    lab.on(
        1,
        "cd /var/log/rabbitmq && runuser -u rabbitmq -- env HOME=/var/lib/rabbitmq ERL_CRASH_DUMP=erl_crash.dump \
         erl -noinput -sname crashed -eval 'erlang:halt(\"told to\")' || true
         grep -qF \"$(cat /var/lib/rabbitmq/.erlang.cookie)\" erl_crash.dump",
    );
}

/// The metrics of a run of now; it serves them where its hosts can be reached from.
fn scraped(lab: &Lab) -> String {
    let (host, port) = METRICS.split_once(':').unwrap();
    let get = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    );
    lab.script(&["exec", "bash", "-c", &get])
}

/// Each event is on standard output as its file has it, and the metrics were those of a load under a fault.
fn assert_told_while_it_ran(page: &str, printed: &str, run: &Path) {
    let events = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    let told: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    assert_eq!(told, events.lines().collect::<Vec<_>>());
    for line in told {
        let _event: Value = serde_json::from_str(line).unwrap();
    }
    assert!(
        page.starts_with("HTTP/1.0 200 OK") || page.starts_with("HTTP/1.1 200 OK"),
        "{page}"
    );
    let value = |metric: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(metric));
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum()
    };
    assert!(value("jtest_operations_total{") > 100.0, "{page}");
    assert!(value("jtest_faults_in_force ") > 0.0, "{page}");
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_stream_is_the_same_for_all_readers_and_stores_once_what_is_sent_again() {
    let lab = Lab::hold();
    let before = lab.firewalls();
    let short = ["--set", "schedule.0.repeat=1"];
    let arguments = [&["--scenario", "stream", "--seed", "2"], SHORT, &short].concat();
    let (code, printed) = finish(&lab, lab.jtest("run", &arguments));
    assert_eq!(code, Some(0), "{printed}");
    let results = results(&lab.latest());
    assert_fits_the_schema(&results);
    assert_eq!(results["verdict"], "valid");
    let found = &results["stream"]["data"];
    let (stored, sent) = (
        &found["offsets"],
        &results["total_queue"]["data"]["attempts"],
    );
    // Some were sent more than once, since the leader was lost.
    assert!(
        stored.as_u64().unwrap() > 1000 && sent.as_u64() > stored.as_u64(),
        "{results:#}"
    );
    // A reader at each node during the load, and the drain of each.
    assert_eq!(found["readers"], 10, "{results:#}");
    assert_left_everything(&lab, &lab.latest());
    assert_eq!(before, lab.firewalls());
}

/// Makes n3 unable to pack its logs, until it is dropped.
struct WithoutTar<'a>(&'a Lab);

impl<'a> WithoutTar<'a> {
    fn new(lab: &'a Lab) -> Self {
        lab.on(3, "mv /usr/bin/tar /usr/bin/tar.away");
        Self(lab)
    }
}

impl Drop for WithoutTar<'_> {
    fn drop(&mut self) {
        self.0.on(3, "mv /usr/bin/tar.away /usr/bin/tar");
    }
}

/// The nodes whose applications jtest restarted to end a partition, as it recorded.
fn restarted(results: &Value) -> Vec<String> {
    let interventions = &results["evidence"]["data"]["interventions"];
    let told = interventions.as_array().unwrap().iter();
    told.map(|told| told.as_str().unwrap().split_once(": "))
        .filter(|told| told.is_some_and(|(_, what)| what.contains("as `ignore` needs")))
        .map(|told| told.unwrap().0.to_owned())
        .collect()
}

/// The nodes on the small side of the first cut, `partition n1 n4 | n2 n3 n5`.
fn small_side(results: &Value) -> Vec<String> {
    let fault = &results["coverage"]["data"]["faults"][0];
    let (small, _) = fault["description"]
        .as_str()
        .unwrap()
        .split_once(" | ")
        .unwrap();
    let small = small.strip_prefix("partition ").unwrap().split(' ');
    small.map(str::to_owned).collect()
}

/// A run left what it owes, told no secret, and judged again gives the same bytes.
pub fn assert_left_everything(lab: &Lab, directory: &Path) {
    assert_left_a_verdict(directory);
    for host in 1..=5 {
        let node = directory.join(format!("nodes/n{host}"));
        let files = std::fs::read_dir(&node).unwrap().count();
        assert!(files > 0, "{}", node.display());
    }
    let cookie = lab.on(1, "cat /var/lib/rabbitmq/.erlang.cookie");
    assert!(cookie.trim().len() >= 20, "{cookie}");
    assert_has_none_of(directory, &[cookie.trim(), PASSWORD]);
}

/// No file of a run has any of these in it.
pub fn assert_has_none_of(directory: &Path, secrets: &[&str]) {
    let mut searched = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read(&path).unwrap();
            for secret in secrets {
                let is_in = text.windows(secret.len()).any(|at| at == secret.as_bytes());
                assert!(!is_in, "{} tells a secret", path.display());
            }
            searched += 1;
        }
    }
    assert!(searched > 5, "{}", directory.display());
}

/// Everything that there is without hosts, too; judging it again gives the same bytes.
pub fn assert_left_a_verdict(directory: &Path) {
    for file in [
        "run.json",
        "history.arrow",
        "events.jsonl",
        "results.json",
        "junit.xml",
        "report.html",
        "jtest.log",
    ] {
        let length = std::fs::metadata(directory.join(file)).map_or(0, |file| file.len());
        assert!(length > 0, "{file}");
    }
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(jtest::run_dir::FILES.contains(&name.as_str()), "{name}");
    }
    assert_fits_the_schema(&results(directory));
    let judged = std::fs::read(directory.join("results.json")).unwrap();
    let code = match results(directory)["verdict"].as_str() {
        Some("valid") => 0,
        Some("invalid") => 1,
        _ => 2,
    };
    let mut check = Command::new(env!("CARGO_BIN_EXE_jtest"));
    let checked = check.arg("check").arg(directory).output().unwrap();
    let printed = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(code), "{printed}");
    let again = std::fs::read(directory.join("results.json")).unwrap();
    assert_eq!(judged, again);
}
