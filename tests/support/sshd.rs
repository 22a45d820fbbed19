//! A real sshd on loopback with a configuration, keys and known-hosts files of its own.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jtest::inventory::{Node, NodeName, SshArgs};
use jtest::remote::ConnectOptions;
use tempfile::TempDir;

/// For a process to be started, to listen, or to end.
const PROCESS_DEADLINE: Duration = Duration::from_secs(20);

/// An sshd, killed and reaped on drop.
pub struct Sshd {
    dir: TempDir,
    pub port: u16,
    listener: Option<Child>,
    log: Arc<Mutex<String>>,
}

/// Makes a key pair, returns the path of the private key.
pub fn keygen(path: &Path, kind: &str, bits: Option<u32>, passphrase: &str) -> PathBuf {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", passphrase, "-C", "test", "-t", kind]);
    if let Some(bits) = bits {
        command.arg("-b").arg(bits.to_string());
    }
    let status = command.arg("-f").arg(path).status().unwrap();
    assert!(status.success(), "ssh-keygen -t {kind}");
    path.to_owned()
}

/// The first two words of a public key file.
pub fn public_key(private: &Path) -> String {
    let text = fs::read_to_string(private.with_extension("pub")).unwrap();
    text.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

impl Sshd {
    /// With an ed25519 host key that is known, and an ed25519 user key that is allowed.
    pub fn start() -> Self {
        Self::start_with(&[("ed25519", None)], ("ed25519", None), "")
    }

    /// With host keys of these kinds, the user key of that kind, more lines of configuration.
    pub fn start_with(
        hosts: &[(&str, Option<u32>)],
        user: (&str, Option<u32>),
        extra: &str,
    ) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("jtest-sshd-")
            .tempdir()
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = |name: &str| dir.path().join(name);
        // Of a keyword that comes twice, sshd takes the first. Without a home of its own, each shell
        // would run what this machine's user has in ~/.bashrc, and be killed amid it.
        let mut config = format!(
            "{extra}SetEnv HOME={}\nPort {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             LogLevel VERBOSE\nAuthorizedKeysFile {}\n",
            dir.path().display(),
            at("authorized_keys").display()
        );
        let mut known = String::new();
        for (index, (kind, bits)) in hosts.iter().enumerate() {
            let key = keygen(&at(&format!("host_{index}")), kind, *bits, "");
            config.push_str(&format!("HostKey {}\n", key.display()));
            known.push_str(&format!("[127.0.0.1]:{port} {}\n", public_key(&key)));
        }
        fs::write(at("sshd_config"), config).unwrap();
        let user = keygen(&at("user"), user.0, user.1, "");
        fs::write(at("authorized_keys"), public_key(&user)).unwrap();
        fs::write(at("known_hosts"), known).unwrap();
        let ssh_config = format!(
            "Host *\nIdentityAgent none\nIdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
            at("absent").display(),
            at("known_hosts").display()
        );
        fs::write(at("ssh_config"), ssh_config).unwrap();
        let mut sshd = Self {
            dir,
            port,
            listener: None,
            log: Arc::default(),
        };
        sshd.restart();
        sshd
    }

    /// Starts the listener (again), and awaits that it listens.
    pub fn restart(&mut self) {
        fs::create_dir_all("/run/sshd").unwrap();
        fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)).unwrap();
        let mut listener = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sshd: apt-get install openssh-server");
        self.log.lock().unwrap().clear();
        let stderr = BufReader::new(listener.stderr.take().unwrap());
        let log = Arc::clone(&self.log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        self.listener = Some(listener);
        wait_until("sshd listens", || self.log().contains("Server listening"));
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The node that this server is, with the user's key.
    pub fn node(&self) -> Node {
        Node {
            name: NodeName("n1".into()),
            address: "127.0.0.1".into(),
            port: Some(self.port),
            user: Some("root".into()),
            private_key_file: Some(self.path("user")),
            password: None,
            use_sudo: false,
            sudo_password: None,
            ssh_args: SshArgs::default(),
            peer_address: None,
            disposable: false,
        }
    }

    /// Nothing of the user's own ssh_config, agent, keys or known hosts.
    pub fn options(&self) -> ConnectOptions {
        ConnectOptions {
            host_keys: None,
            ssh_config: Some(self.path("ssh_config")),
        }
    }

    /// The processes that serve connections.
    pub fn sessions(&self) -> Vec<u32> {
        self.listener
            .as_ref()
            .map_or(Vec::new(), |listener| descendants(listener.id()))
    }

    /// Ends the listener alone; connections live on.
    pub fn stop_listening(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            listener.kill().unwrap();
            listener.wait().unwrap();
        }
    }

    /// Ends the listener and all connections, without a word to anyone.
    pub fn kill(&mut self) {
        for pid in self.sessions() {
            kill9(pid);
        }
        self.stop_listening();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn kill9(pid: u32) {
    signal(pid, "KILL");
}

/// Sends a signal; no error if the process is gone already.
pub fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("kill");
    kill.arg("-s")
        .arg(name)
        .arg(pid.to_string())
        .stderr(Stdio::null());
    kill.status().unwrap();
}

pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z")
}

fn descendants(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut index = 0;
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat
                .rsplit(')')
                .next()?
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    while index < found.len() {
        let parent_pid = found[index];
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == parent_pid)
                .map(|(pid, _)| *pid),
        );
        index += 1;
    }
    found.split_off(1)
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PROCESS_DEADLINE, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
