//! Where the commands of a page are run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// How long a command may take; none of them has hosts to wait for.
const DEADLINE_S: &str = "60";

/// A directory of its own, with a home and a run in it.
pub struct Session {
    directory: tempfile::TempDir,
}

impl Session {
    pub fn new() -> Self {
        let session = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let ssh = session.path().join("home/.ssh");
        fs::create_dir_all(&ssh).unwrap();
        session.write("home/.ssh/id_ed25519", "a key, as far as anybody looks\n");
        let key = fs::Permissions::from_mode(0o600);
        fs::set_permissions(ssh.join("id_ed25519"), key).unwrap();
        let left = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/runs");
        copy(&left, &session.path().join("runs"));
        session
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file that the commands find.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Runs a shell line; what it printed, also where it failed.
    pub fn run(&self, line: &str) -> Result<String, String> {
        let program = Path::new(env!("CARGO_BIN_EXE_jtest"));
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let ran = Command::new("timeout")
            .args([DEADLINE_S, "bash", "-o", "pipefail", "-c"])
            .arg(format!("exec 2>&1; {line}"))
            .current_dir(self.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path().join("home"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
        if ran.status.success() {
            Ok(printed)
        } else {
            Err(printed)
        }
    }

    /// Whether jtest takes what a shell line says to it, and the scripts that it names exist.
    pub fn parses(&self, line: &str) -> Result<(), String> {
        let line = without_variables(&line.replace("\\\n", " "));
        for command in simple_commands(&line) {
            let Some(program) = command.first() else {
                continue;
            };
            if program.starts_with("scripts/")
                && !Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join(program)
                    .is_file()
            {
                return Err(format!("there is no {program}"));
            }
            let Some(arguments) = arguments_of_jtest(&command) else {
                continue;
            };
            // Help ends the reading of a command line; what comes before it was taken.
            let ran = Command::new(env!("CARGO_BIN_EXE_jtest"))
                .args(arguments)
                .arg("--help")
                .output()
                .unwrap();
            if !ran.status.success() {
                return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
            }
        }
        Ok(())
    }
}

/// What a command says to jtest, if it runs it.
fn arguments_of_jtest(command: &[String]) -> Option<&[String]> {
    let is_jtest = |word: &String| word == "jtest" || word.ends_with("/jtest");
    let at = match command {
        [cargo, run, ..] if cargo == "cargo" && run == "run" => {
            command.iter().position(|word| word == "--")
        }
        _ => command.iter().position(is_jtest),
    };
    at.map(|at| &command[at + 1..])
}

/// A number in place of each variable, of the shell's or a CI system's.
fn without_variables(line: &str) -> String {
    let mut parts = line.split("${{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push('1');
        text.push_str(part.split_once("}}").map_or("", |(_, rest)| rest));
    }
    let words = text
        .split(' ')
        .map(|word| if word.starts_with('$') { "1" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// The words of each command of a shell line, without redirections and comments.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_default();
    let mut commands = vec![Vec::new()];
    for word in words {
        let ends = word.ends_with(';') && word.len() > 1;
        match word.as_str() {
            "|" | "||" | "&&" | ";" | "&" => commands.push(Vec::new()),
            _ if word.starts_with(['>', '<']) || word.starts_with("2>") => {}
            _ => {
                let word = word.trim_end_matches(';').to_owned();
                commands.last_mut().unwrap().push(word);
            }
        }
        if ends {
            commands.push(Vec::new());
        }
    }
    commands
}

/// A directory with all that is in it; links stay links.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
