//! Five hosts of `scripts/lab --name NAME up`, connected. `crate::LAB` holds the environment variables of
//! which the first that is set names them.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jtest::event::{Emit, Event};
use jtest::fault::hold::{Hold, HoldError, Holder};
use jtest::fault::{self, Target};
use jtest::inventory::{HostKeyPolicy, Node, NodeName, SshArgs};
use jtest::remote::{ConnectOptions, Host, Script, connect};

#[path = "slot.rs"]
mod slot;

pub fn name() -> String {
    slot::labs(crate::LAB).swap_remove(0)
}

/// Runs this test again inside the lab's control namespace, from where the hosts can be reached.
fn enter(lab: &str) {
    if std::env::var_os("JTEST_TEST_INSIDE").is_some() {
        return;
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &format!("jtest-{lab}")]);
    command.arg(std::env::current_exe().unwrap());
    command.args(std::env::args_os().skip(1));
    let error = command.env("JTEST_TEST_INSIDE", lab).exec();
    panic!("cannot enter the lab {lab}: {error}");
}

/// The hosts, connected. Only one test has them at a time.
pub struct Lab {
    pub targets: Arc<Vec<Target>>,
    pub control: Vec<IpAddr>,
    _turn: File,
}

/// What a test did to the hosts is mended even if it panics: others use them after it.
impl Drop for Lab {
    fn drop(&mut self) {
        let mending = std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                for n in 1..=5 {
                    let node = node(&name(), n);
                    let host = connect(&node, &ConnectOptions::default()).await.unwrap();
                    host.run(&Script::new("mend it", MEND)).await.unwrap();
                    fault::hold::heal_all(&[host], "test@here").await;
                }
            });
        });
        if mending.join().is_err() {
            eprintln!("the hosts could not be mended");
        }
    }
}

impl Lab {
    /// Connects, and leaves behind whatever an earlier test left in force.
    pub async fn connect() -> Self {
        let lab = name();
        enter(&lab);
        // The end-to-end tests take turns by the same file.
        let turn = std::env::temp_dir().join(format!("jtest-e2e-{lab}.lock"));
        let turn = File::create(turn).unwrap();
        turn.lock().unwrap();
        let mut targets = Vec::new();
        let mut control = Vec::new();
        for n in 1..=5 {
            let node = node(&lab, n);
            let host = connect(&node, &ConnectOptions::default()).await.unwrap();
            let addresses = fault::addresses(&host, node.peer_address()).await.unwrap();
            control.extend(addresses.control);
            targets.push(Target {
                name: node.name,
                host,
                addresses: addresses.own,
                is_disposable: true,
            });
        }
        let lab = Self {
            targets: Arc::new(targets),
            control,
            _turn: turn,
        };
        lab.sh_all(MEND).await;
        for (_, report) in fault::hold::heal_all(&lab.hosts(), "test@here").await {
            report.unwrap();
        }
        lab
    }

    pub fn hosts(&self) -> Vec<Host> {
        self.targets
            .iter()
            .map(|target| target.host.clone())
            .collect()
    }

    pub fn host(&self, n: usize) -> &Host {
        &self.targets[n - 1].host
    }

    /// Runs a script as root on one host.
    pub async fn sh(&self, n: usize, text: &str) -> String {
        let script = Script::new("test", text);
        self.host(n).run(&script).await.unwrap().text()
    }

    /// Runs a script as root on all hosts.
    pub async fn sh_all(&self, text: &str) -> Vec<String> {
        let mut said = Vec::new();
        for n in 1..=self.targets.len() {
            said.push(self.sh(n, text).await);
        }
        said
    }

    /// Whether a host answers a new connection.
    pub async fn answers(&self, n: usize) -> bool {
        let node = node(&name(), u8::try_from(n).unwrap());
        connect(&node, &ConnectOptions::default()).await.is_ok()
    }

    /// Something to connect to at 25672 of every host, over both families.
    pub async fn listen(&self) {
        self.sh_all(LISTEN).await;
    }

    /// A connection over which one host sends to another all the time.
    pub async fn stream(&self, from: usize, to: usize) {
        self.sh(from, STREAM).await;
        let take = format!(
            "systemd-run --quiet --collect --unit=test-streamed bash -c \
             'exec 3<>/dev/tcp/10.77.0.1{from}/9876; while read -r -u 3 x; do echo >>/run/test-stream; done'"
        );
        self.sh(to, &take).await;
    }

    /// Whether anything of the stream arrives.
    pub async fn is_streaming(&self, to: usize) -> bool {
        let count =
            "touch /run/test-stream; wc -l </run/test-stream; sleep 0.7; wc -l </run/test-stream";
        let counts = self.sh(to, count).await;
        let (before, after) = counts.split_once('\n').unwrap();
        before != after
    }

    pub async fn acquire(
        &self,
        run_id: &str,
        lease: Duration,
        emit: Arc<dyn Emit>,
    ) -> Result<Hold, HoldError> {
        let holder = Holder {
            run_id: run_id.into(),
            who: "kim@desk".into(),
            pid: std::process::id(),
            command: "jtest run".into(),
            since: "2026-11-23T09:00:00Z".into(),
        };
        Hold::acquire(
            Arc::clone(&self.targets),
            holder,
            lease,
            self.control.clone(),
            emit,
        )
        .await
    }
}

const MEND: &str = r"rm -f /usr/local/sbin/iptables-restore /usr/local/sbin/sync /run/test-stream /run/test-synced
if [ -e /usr/sbin/ip6tables-restore.off ]; then mv /usr/sbin/ip6tables-restore.off /usr/sbin/ip6tables-restore; fi
systemctl stop test-listener test-stream test-streamed test-busy 2>/dev/null || true
ip -6 addr replace fd77::$(hostname | sed 's/n/1/')/64 dev eth0 nodad
for family in ip ip6; do
  update-alternatives --quiet --set ${family}tables /usr/sbin/${family}tables-nft
  if ${family}tables-save | grep -q FOREIGN; then
    for flavour in nft legacy; do printf '*filter\nCOMMIT\n*mangle\nCOMMIT\n' | ${family}tables-$flavour-restore; done
  fi
done";

const STREAM: &str = r"systemd-run --quiet --collect --unit=test-stream perl -e '
    use Socket;
    socket(my $l, AF_INET, SOCK_STREAM, 0) or die;
    setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($l, pack_sockaddr_in(9876, INADDR_ANY)) or die;
    listen($l, 1) or die;
    accept(my $c, $l);
    while (syswrite($c, qq(x\n))) { select(undef, undef, undef, 0.05) }'
for i in $(seq 50); do ss -ltn | grep -q :9876 && exit 0; sleep 0.1; done; exit 1";

const LISTEN: &str = r"systemctl is-active --quiet test-listener || systemd-run --quiet --collect \
  --unit=test-listener perl -e '
    use Socket qw(:DEFAULT IPPROTO_IPV6 IPV6_V6ONLY inet_pton pack_sockaddr_in6);
    socket(my $l, AF_INET6, SOCK_STREAM, 0) or die;
    setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1);
    setsockopt($l, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    bind($l, pack_sockaddr_in6(25672, inet_pton(AF_INET6, q(::)))) or die;
    listen($l, 64) or die;
    while (accept(my $c, $l)) { close $c }'
for i in $(seq 50); do bash -c '</dev/tcp/127.0.0.1/25672' 2>/dev/null && exit 0; sleep 0.1; done; exit 1";

fn node(lab: &str, n: u8) -> Node {
    let state = PathBuf::from("/var/lib/jtest-lab").join(lab);
    Node {
        name: NodeName(format!("n{n}")),
        address: format!("10.77.0.{}", 10 + n),
        port: None,
        user: Some("jtest".into()),
        private_key_file: Some(state.join("id_ed25519")),
        password: None,
        use_sudo: true,
        sudo_password: None,
        ssh_args: SshArgs {
            user_known_hosts_files: vec![state.join("known_hosts")],
            host_keys: Some(HostKeyPolicy::Strict),
            ..SshArgs::default()
        },
        peer_address: None,
        disposable: true,
    }
}

/// Keeps the events.
#[derive(Default)]
pub struct Events(Mutex<Vec<Event>>);

impl Emit for Events {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// Waits until `condition` holds, a tenth of a second between the looks; fails after `deadline`.
pub async fn eventually<F: Future<Output = bool>>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> F,
) {
    let began = Instant::now();
    while !condition().await {
        assert!(
            began.elapsed() < deadline,
            "after {deadline:?} still not: {what}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
