//! What jtest says of itself, without a host that answers: events as JSON, the log, metrics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jtest::event::{Event, Record, Stage};

/// A directory with an inventory of hosts on which nothing listens.
struct Nowhere {
    directory: tempfile::TempDir,
}

impl Nowhere {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let inventory = format!(
            "all:
  hosts:
    n1: {{ansible_host: 127.0.0.1}}
    n2: {{ansible_host: 127.0.0.2}}
    n3: {{ansible_host: 127.0.0.3}}
  vars:
    ansible_port: {port}
    ansible_user: nobody
    ansible_password: secret
    jtest_disposable: true
"
        );
        std::fs::write(directory.path().join("lab.yaml"), inventory).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs jtest there; what it is told of logs in the environment of the test is taken away.
    fn jtest(&self, arguments: &[&str], rust_log: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jtest"));
        command.current_dir(self.directory.path()).args(arguments);
        match rust_log {
            Some(rust_log) => command.env("RUST_LOG", rust_log),
            None => command.env_remove("RUST_LOG"),
        };
        command.output().unwrap()
    }

    /// The newest run.
    fn latest(&self) -> PathBuf {
        self.path("runs/latest")
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn lines(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn json_is_the_events_of_the_run_and_nothing_else() {
    let nowhere = Nowhere::new();
    let ended = nowhere.jtest(&["run", "-i", "lab.yaml", "--json"], None);
    assert_eq!(ended.status.code(), Some(255), "{}", text(&ended.stderr));
    let written = lines(&nowhere.latest().join("events.jsonl"));
    assert_eq!(text(&ended.stdout), written);
    let records = written.lines().map(serde_json::from_str::<Record>);
    let events: Vec<Event> = records.map(|record| record.unwrap().event).collect();
    let stage = Stage::Connect;
    assert_eq!(events[1], Event::StageBegan { stage });
    assert!(
        matches!(&events[2], Event::StageEnded { error: Some(_), .. }),
        "{events:?}"
    );
}

#[test]
fn without_json_standard_output_is_left_alone() {
    let nowhere = Nowhere::new();
    let ended = nowhere.jtest(&["-i", "lab.yaml"], None);
    assert_eq!(text(&ended.stdout), "");
    assert!(
        text(&ended.stderr).contains("s] connect\n"),
        "{}",
        text(&ended.stderr)
    );
}

#[test]
fn a_history_on_which_the_library_panics_is_damaged_and_nothing_else_is_said() {
    let nowhere = Nowhere::new();
    nowhere.jtest(&["synth", "--ops", "100", "run"], None);
    let damaged = "fuzz/corpus/history/damaged-inside-a-dictionary.arrow";
    let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join(damaged);
    std::fs::copy(damaged, nowhere.path("run/history.arrow")).unwrap();
    let checked = nowhere.jtest(&["check", "run"], None);
    assert_eq!(checked.status.code(), Some(2));
    let told = text(&checked.stdout);
    assert!(told.contains("the history has no end"), "{told}");
    assert_eq!(text(&checked.stderr), "");
}

#[test]
fn a_run_logs_to_its_directory_and_to_the_file_that_is_named() {
    let nowhere = Nowhere::new();
    std::fs::write(nowhere.path("log"), "before\n").unwrap();
    let run = ["-v", "--log-file", "log", "-i", "lab.yaml"];
    let ended = nowhere.jtest(&run, None);
    let own = lines(&nowhere.latest().join("jtest.log"));
    assert!(own.contains("jtest begins"), "{own}");
    assert_eq!(nowhere.read("log"), format!("before\n{own}"));
    let stderr = text(&ended.stderr);
    assert!(!stderr.contains("jtest begins"), "{stderr}");

    nowhere.jtest(&["-i", "lab.yaml"], Some("off"));
    assert_eq!(lines(&nowhere.latest().join("jtest.log")), "");
    nowhere.jtest(&["-i", "lab.yaml", "--log-level", "info"], Some("off"));
    let own = lines(&nowhere.latest().join("jtest.log"));
    assert!(own.contains("jtest begins"), "{own}");
}

#[test]
fn other_verbs_log_where_that_is_asked_for() {
    const SAID: &str = " DEBUG jtest::remote::ssh: connecting node=n1 address=127.0.0.1\n";
    let nowhere = Nowhere::new();
    let heal = ["heal", "-i", "lab.yaml"];
    for (rust_log, is_said) in [
        (None, false),
        (Some(""), false),
        (Some("jtest=debug"), true),
    ] {
        let ended = nowhere.jtest(&heal, rust_log);
        let stderr = text(&ended.stderr);
        assert_eq!(stderr.contains(SAID), is_said, "{rust_log:?}: {stderr}");
    }
    let filed = [&heal[..], &["-v", "--log-file", "log"]].concat();
    let ended = nowhere.jtest(&filed, None);
    assert!(
        !text(&ended.stderr).contains(SAID),
        "{}",
        text(&ended.stderr)
    );
    assert!(
        nowhere.read("log").contains(SAID),
        "{}",
        nowhere.read("log")
    );
}

#[test]
fn what_cannot_be_logged_is_told() {
    let nowhere = Nowhere::new();
    let scenarios = nowhere.jtest(&["scenarios"], Some("jtest=loud"));
    assert_eq!(scenarios.status.code(), Some(0));
    let warning = "warning: RUST_LOG=jtest=loud is not used: ";
    assert!(
        text(&scenarios.stderr).starts_with(warning),
        "{}",
        text(&scenarios.stderr)
    );
    for refused in [
        &["scenarios", "--log-level", "jtest=loud"] as &[_],
        &["scenarios", "--log-file", "no/such/directory"],
    ] {
        let ended = nowhere.jtest(refused, None);
        assert_eq!(ended.status.code(), Some(254), "{refused:?}");
        assert!(
            text(&ended.stderr).contains(refused[2]),
            "{}",
            text(&ended.stderr)
        );
    }
}

#[test]
fn an_address_of_metrics_that_is_taken_is_refused_before_anything_else() {
    let nowhere = Nowhere::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = nowhere.jtest(&["-i", "lab.yaml", "--metrics", &address], None);
    assert_eq!(ended.status.code(), Some(254));
    let stderr = text(&ended.stderr);
    assert!(stderr.contains("Address already in use"), "{stderr}");
    assert!(!nowhere.path("runs").exists());
    let ended = nowhere.jtest(&["-i", "lab.yaml", "--metrics", "0.0.0.0:0"], None);
    let warning = "warning: --metrics 0.0.0.0:0: whoever reaches this address can read them";
    assert!(
        text(&ended.stderr).starts_with(warning),
        "{}",
        text(&ended.stderr)
    );
}
