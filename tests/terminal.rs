//! The status of a run on a real terminal: tmux shows what a recorded run told, and its screen is read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jtest::event::Record;
use jtest::inventory::NodeName;
use jtest::progress::{self, Outlook};
use jtest::{scenario, schedule};

/// Set in the process that tmux runs: until which second of the recording it shows.
const SHOW_UNTIL: &str = "JTEST_TEST_SHOW_UNTIL";
/// The same process ends when this file is there.
const END_FILE: &str = "JTEST_TEST_END_FILE";
/// For the screen to become what it should be, and for the process to be told to end.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A server of its own with one terminal.
struct Tmux {
    directory: tempfile::TempDir,
}

impl Tmux {
    /// Shows the recording up to a second, on a terminal of 24 rows.
    fn show(test: &str, until: u32, columns: u32, environment: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tmux = Self { directory };
        let this = std::env::current_exe().unwrap();
        let this = this.to_str().unwrap();
        let until = format!("{SHOW_UNTIL}={until}");
        let end = format!("{END_FILE}={}", tmux.end_file().display());
        let columns = columns.to_string();
        let mut arguments = vec!["new-session", "-d", "-x", &columns, "-y", "24"];
        // The shell stays, so that the screen can be read when the process is over.
        arguments.extend(["sh", "-c", "\"$@\"; exec sleep 100", "sh"]);
        arguments.extend(["env", "-u", "CI", "-u", "NO_COLOR", &until, &end]);
        arguments.extend(environment);
        arguments.extend([this, "--exact", test, "--include-ignored", "--nocapture"]);
        tmux.run(&arguments);
        tmux
    }

    fn end_file(&self) -> PathBuf {
        self.directory.path().join("end")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.directory.path().join("socket"))
            .args(["-f", "/dev/null"])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The screen, once it is as it should be.
    fn screen(&self, is_right: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.run(&["capture-pane", "-p"]);
            if is_right(&screen) {
                return screen;
            }
            assert!(
                Instant::now() < until,
                "the screen is not as it should be:\n{screen}"
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// As it was written, with its colours.
    fn coloured(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

/// Whether this process is the one that tmux runs; it has then shown the recording.
fn has_shown() -> bool {
    let Ok(until) = std::env::var(SHOW_UNTIL) else {
        return false;
    };
    let until = until.parse::<i64>().unwrap() * 1_000_000_000;
    let end = std::env::var(END_FILE).unwrap();
    let mut show = progress::on_standard_error(outlook()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal/events.jsonl");
    for line in BufReader::new(std::fs::File::open(path).unwrap()).lines() {
        let record: Record = serde_json::from_str(&line.unwrap()).unwrap();
        if record.time > until {
            break;
        }
        show.show(&record);
        // So that each has a frame of its own.
        std::thread::sleep(Duration::from_millis(10));
    }
    let began = Instant::now();
    while !Path::new(&end).exists() && began.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Of the run that was recorded.
fn outlook() -> Outlook {
    let nodes: Vec<_> = (1..=5)
        .map(|number| NodeName(format!("n{number}")))
        .collect();
    let known = scenario::builtin("mirrored-autoheal").unwrap();
    let (scenario, _) = known.parse(&[]).unwrap();
    let plan = schedule::plan(&scenario, &nodes, 1).unwrap();
    Outlook::of(&scenario, &plan, nodes, Duration::from_secs(60))
}

/// The rows of a screen that hold a text.
fn rows<'a>(screen: &'a str, text: &str) -> Vec<&'a str> {
    screen.lines().filter(|row| row.contains(text)).collect()
}

#[test]
#[ignore = "needs tmux; scripts/test runs it"]
fn a_cut_on_a_terminal_that_becomes_narrower() {
    const TEST: &str = "a_cut_on_a_terminal_that_becomes_narrower";
    if has_shown() {
        return;
    }
    let tmux = Tmux::show(TEST, 111, 80, &[]);
    let is_cut = |screen: &str| screen.contains("sees 2 of 5") && screen.contains("in force");
    let screen = tmux.screen(is_cut);
    for (text, count) in [
        ("load  0:", 1),
        ("node  side", 1),
        ("fault 1: partition", 2),
        ("confirmed; what is lost", 1),
    ] {
        assert_eq!(rows(&screen, text).len(), count, "{text} in\n{screen}");
    }
    let n1 = rows(&screen, "n1    A     sees 2 of 5");
    let n2 = rows(&screen, "n2    B     sees 3 of 5");
    assert_eq!((n1.len(), n2.len()), (1, 1), "{screen}");
    assert!(
        screen.contains("] load\n"),
        "what happened stays above:\n{screen}"
    );
    assert!(
        tmux.coloured().contains("\u{1b}[33m"),
        "{}",
        tmux.coloured()
    );

    tmux.run(&["resize-window", "-x", "50", "-y", "24"]);
    let narrower = tmux.screen(|screen| {
        rows(screen, "confirmed; ")
            .iter()
            .any(|row| row.ends_with('…'))
    });
    for text in ["node  side", "load  0:", "n5    B", "] load"] {
        assert_eq!(rows(&narrower, text).len(), 1, "{text} in\n{narrower}");
    }

    std::fs::write(tmux.end_file(), "").unwrap();
    let after = tmux.screen(|screen| screen.contains("test result: ok"));
    assert!(
        rows(&after, "node  side").is_empty(),
        "the status is gone:\n{after}"
    );
}

#[test]
#[ignore = "needs tmux; scripts/test runs it"]
fn the_end_of_a_drain_without_colours() {
    const TEST: &str = "the_end_of_a_drain_without_colours";
    if has_shown() {
        return;
    }
    let tmux = Tmux::show(TEST, 198, 80, &["NO_COLOR=1"]);
    let account = "9122 received of 12440 confirmed, 3318 still to come";
    let screen = tmux.screen(|screen| rows(screen, account).len() == 1);
    assert_eq!(rows(&screen, "at most ").len(), 1, "{screen}");
    assert!(!screen.contains("at least"), "not known yet:\n{screen}");
    assert!(!tmux.coloured().contains("\u{1b}["), "{}", tmux.coloured());
}

#[test]
#[ignore = "needs tmux; scripts/test runs it"]
fn plain_lines_in_ci_though_there_is_a_terminal() {
    const TEST: &str = "plain_lines_in_ci_though_there_is_a_terminal";
    if has_shown() {
        return;
    }
    let tmux = Tmux::show(TEST, 100, 80, &["CI=true"]);
    let screen = tmux.screen(|screen| screen.contains(" ok/s"));
    assert!(screen.contains("[   69.3s] load\n"), "{screen}");
    assert!(rows(&screen, "node  side").is_empty(), "{screen}");
}
