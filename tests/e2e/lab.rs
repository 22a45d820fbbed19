//! The five real hosts that the end-to-end tests share, one test at a time.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "../support/slot.rs"]
mod slot;

/// How long any command of a test may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(420);

/// How long a command that a failed test has left may take to heal the hosts.
const GOING_DEADLINE: Duration = Duration::from_secs(30);

/// How long the tests before this one may take.
const TURN_DEADLINE: Duration = Duration::from_secs(3600);

/// Asks a broker in its own language, for a small part of what its command line takes.
const ASK: &str = include_str!("../../src/rabbitmq/shell.sh");

/// How often a process of ours is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often hosts are asked for a condition: each time costs them, and this machine, a login or more.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The lab, held by this test until it is dropped.
pub struct Lab {
    name: String,
    directory: tempfile::TempDir,
    _held: File,
}

/// What its host and its broker are at, for a test that failed.
const AFTERMATH: &str = "date +%T; systemctl is-active rabbitmq-server; ls -d /run/jtest /var/lib/jtest-faults/* 2>/dev/null; \
     journalctl --unit=rabbitmq-server --no-pager --output=short-iso --lines=8; \
     tail -n 60 /var/log/rabbitmq/rabbit@*.log | grep -v '^$' | cut -c1-300 | tail -n 40";

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for host in ["1", "2", "3", "4", "5"] {
            let mut asked = Command::new("timeout");
            let lab = self.lab_command(&["root", host, AFTERMATH]);
            asked.arg("20").arg(lab.get_program()).args(lab.get_args());
            if let Ok(said) = asked.stdin(Stdio::null()).output() {
                eprintln!("n{host}: {}", String::from_utf8_lossy(&said.stdout));
            }
        }
    }
}

impl Lab {
    /// Waits for one of the labs that `JTEST_TEST_LAB` names; all its hosts are up.
    pub fn hold() -> Self {
        Self::hold_of("JTEST_TEST_LAB")
    }

    /// The same, of those that another variable names.
    pub fn hold_of(variable: &str) -> Self {
        let (name, held) = free_lab(variable);
        let lab = Self {
            name,
            directory: tempfile::tempdir().unwrap(),
            _held: held,
        };
        lab.script(&["up"]);
        let inventory = lab.script(&["inventory"]);
        std::fs::write(lab.inventory(), inventory).unwrap();
        lab
    }

    /// The inventory of its hosts.
    pub fn inventory(&self) -> PathBuf {
        self.directory.path().join("lab.yaml")
    }

    /// A directory that is gone after the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the runs of this test go.
    pub fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// Runs `scripts/lab` for this lab and returns what it printed.
    pub fn script(&self, arguments: &[&str]) -> String {
        succeed(self.lab_command(arguments))
    }

    /// `scripts/lab` for this lab, not yet started.
    pub fn lab_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab"));
        command.args(["--name", &self.name]).args(arguments);
        command
    }

    /// Runs a shell line as root on a host, by its number.
    pub fn on(&self, host: u8, line: &str) -> String {
        self.script(&["root", &host.to_string(), line])
    }

    /// What the broker on a host says to an Erlang expression whose value is a text; empty where it says nothing.
    pub fn ask(&self, host: u8, expression: &str) -> String {
        let expression = shlex::try_quote(expression).unwrap();
        let said = self.on(host, &format!("{ASK}\nrabbit_eval {expression} || true"));
        said.trim().to_owned()
    }

    /// Runs a shell line as root on all five hosts at once; what each said, in their order.
    pub fn on_all(&self, line: &str) -> Vec<String> {
        std::thread::scope(|scope| {
            let running: Vec<_> = (1..=5)
                .map(|host| scope.spawn(move || self.on(host, line)))
                .collect();
            running
                .into_iter()
                .map(|host| host.join().unwrap())
                .collect()
        })
    }

    /// A jtest command with this lab's inventory, not yet started.
    pub fn jtest(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = self.jtest_at(&[verb], arguments);
        if verb == "run" {
            command.arg("--runs").arg(self.runs());
        }
        command
    }

    /// The same for a verb of several words; the first of the arguments may be one, too.
    pub fn jtest_at(&self, verb: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jtest"));
        command.args(verb).args(arguments);
        command.arg("--inventory").arg(self.inventory());
        command
    }

    /// The directory of the newest run of this test.
    pub fn latest(&self) -> PathBuf {
        self.runs().join("latest").canonicalize().unwrap()
    }

    /// The firewall of every host, as its own tools print it, without counters and dates.
    pub fn firewalls(&self) -> Vec<String> {
        self.on_all(
            "for s in iptables-save ip6tables-save; do $s | sed -e '/^#/d' -e 's/\\[[0-9]*:[0-9]*\\]//'; done",
        )
    }
}

/// A started jtest, ended with the test if it still runs.
pub struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts a command whose output is kept in a file.
    pub fn start(lab: &Lab, mut command: Command) -> Self {
        let output = lab
            .directory()
            .join(format!("output-{:?}", Instant::now()).replace(' ', ""));
        let file = File::create(&output).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        let mut text = String::new();
        File::open(&self.output)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    /// Waits until it has printed this.
    pub fn await_printed(&mut self, wanted: &str, deadline: Duration) {
        let begun = Instant::now();
        while !self.printed().contains(wanted) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "ended ({status}) before it printed {wanted:?}:\n{}",
                    self.printed()
                );
            }
            assert!(
                begun.elapsed() < deadline,
                "did not print {wanted:?}:\n{}",
                self.printed()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let mut command = Command::new("kill");
        command.args(["-s", name, &self.id().to_string()]);
        succeed(command);
    }

    /// Waits for its end.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.printed());
            }
            assert!(
                begun.elapsed() < COMMAND_DEADLINE,
                "did not end:\n{}",
                self.printed()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Running {
    /// Two signals let it heal the hosts and go, for the next test; killed, it would hold them until the lease ends.
    fn drop(&mut self) {
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < GOING_DEADLINE {
            let _ = Command::new("kill")
                .args(["-s", "INT", &self.id().to_string()])
                .status();
            std::thread::sleep(ASK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A lab that no other test has. Where no slots are given out, tests side by side find one each all the same.
fn free_lab(variable: &str) -> (String, File) {
    let labs = slot::labs(&[variable]);
    let begun = Instant::now();
    loop {
        for name in &labs {
            let turn = std::env::temp_dir().join(format!("jtest-e2e-{name}.lock"));
            let turn = File::create(turn).unwrap();
            if turn.try_lock().is_ok() {
                return (name.clone(), turn);
            }
        }
        assert!(
            begun.elapsed() < TURN_DEADLINE,
            "no lab of {labs:?} is free"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Runs a command to its end, whatever that is.
pub fn finish(lab: &Lab, command: Command) -> (Option<i32>, String) {
    let (status, printed) = Running::start(lab, command).end();
    (status.code(), printed)
}

/// Waits until a condition holds.
pub fn eventually(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::sleep(ASK_EVERY);
    }
}

fn succeed(mut command: Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        status.success(),
        "{command:?}: {status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).unwrap()
}
