//! What anybody would do with a shell: a command on all five hosts, side by side.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Five `ssh` over connections that are open already.
pub struct Ssh {
    state: PathBuf,
    sockets: tempfile::TempDir,
}

impl Ssh {
    pub fn connect() -> Self {
        let state = PathBuf::from("/var/lib/jtest-lab").join(crate::lab::name());
        let ssh = Self {
            state,
            sockets: tempfile::tempdir().unwrap(),
        };
        ssh.all(|_| "true".to_owned());
        ssh
    }

    fn start(&self, n: usize, line: &str) -> Child {
        let path = |name: &str| self.state.join(name).display().to_string();
        Command::new("ssh")
            .args([
                "-F",
                "/dev/null",
                "-i",
                &path("id_ed25519"),
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(["-o", &format!("UserKnownHostsFile={}", path("known_hosts"))])
            .args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60"])
            .args([
                "-o",
                &format!("ControlPath={}/%h", self.sockets.path().display()),
            ])
            .arg(format!("jtest@10.77.0.1{n}"))
            .arg(format!("sudo sh -c '{line}; date +%s%N'"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs a line on all five, side by side, and returns last minus first of their ends.
    pub fn all(&self, line: impl Fn(usize) -> String) -> u64 {
        let children: Vec<Child> = (1..=5).map(|n| self.start(n, &line(n))).collect();
        let mut stamps = Vec::new();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            stamps.push(text.trim().parse::<u64>().unwrap() / 1000);
        }
        stamps.iter().max().unwrap() - stamps.iter().min().unwrap()
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        for n in 1..=5 {
            let socket = self.sockets.path().join(format!("10.77.0.1{n}"));
            let mut exit = Command::new("ssh");
            exit.arg("-S").arg(socket).args(["-O", "exit", "lab"]);
            let _gone = exit.stderr(Stdio::null()).status();
        }
    }
}
