//! `scripts/lab` itself: the hosts are as they are said to be, and gone when they are gone.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A lab of its own, apart from the one that the other tests share.
const NAME: &str = "life";

/// The first `up` on a machine builds the root file system.
const UP_MAX: Duration = Duration::from_secs(300);

fn output(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a command that has to succeed, and returns what it printed.
fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = output(program, arguments);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{arguments:?}: {status}\n{stderr}");
    String::from_utf8(stdout).unwrap()
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab")
}

fn lab(arguments: &[&str]) -> String {
    run(script(), &[&["--name", NAME], arguments].concat())
}

/// Takes the lab down whatever happens; on the way of success that is looked at.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        output(script(), &["--name", NAME, "down"]);
    }
}

/// What the machine has that bears the lab's name, found without the lab's own scripts.
fn traces() -> Vec<String> {
    let name = format!("jtest-{NAME}");
    let mut sources = vec![
        fs::read_to_string("/proc/self/mountinfo").unwrap(),
        run("ip", &["netns", "list"]),
        run("ip", &["-details", "-oneline", "link", "show"]),
        run("nft", &["list", "ruleset"]),
        run("ps", &["-e", "-o", "pid,args"]),
    ];
    sources.push(run(
        "find",
        &[
            "/sys/fs/cgroup",
            "/run",
            "-ignore_readdir_race",
            "-maxdepth",
            "4",
            "-name",
            &format!("{name}*"),
        ],
    ));
    sources
        .iter()
        .flat_map(|source| source.lines())
        .filter(|line| line.contains(&name))
        .map(ToOwned::to_owned)
        .collect()
}

/// The machine's own addresses, one of the lab's uplink among them.
fn own_addresses() -> Vec<String> {
    run(
        "ip",
        &["-4", "-oneline", "address", "show", "scope", "global"],
    )
    .lines()
    .filter_map(|line| line.split_whitespace().nth(3))
    .filter_map(|network| Some(network.split_once('/')?.0.to_owned()))
    .collect()
}

#[test]
#[ignore = "needs root and builds hosts; scripts/test runs it"]
fn hosts_are_real_closed_in_and_leave_nothing() {
    let _down = Down;
    lab(&["down"]);
    assert_eq!(traces(), Vec::<String>::new());
    for reached in [" overlay jtest-life-n3 ", "--machine=jtest-life-n1"] {
        kill_up_midway(reached);
    }
    lab(&["--nodes", "3", "up"]);
    assert_ne!(traces(), Vec::<String>::new());
    let told = lab(&["status"]);
    assert_eq!(told.matches(" answers ").count(), 3, "{told}");
    lab(&["up"]);
    assert_eq!(lab(&["status"]), told, "the processes, too, are the same");
    only_root_enters();

    for host in ["1", "2", "3"] {
        let told = lab(&[
            "ssh",
            host,
            "id -un; sudo -n id -un; hostname; sudo -n cat /proc/1/comm; sudo -n systemctl is-system-running --wait",
        ]);
        assert_eq!(told, format!("jtest\nroot\nn{host}\nsystemd\nrunning\n"));
    }

    stays_inside();
    loses_power_and_comes_back();

    lab(&["down"]);
    assert_eq!(traces(), Vec::<String>::new());
}

/// Kills a lab's making as soon as it has got so far; what it started by then lives on.
fn kill_up_midway(reached: &str) {
    let mut up = Command::new(script())
        .args(["--name", NAME, "--nodes", "3", "up"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !traces().iter().any(|trace| trace.contains(reached)) {
        assert!(begun.elapsed() < UP_MAX, "never came to {reached:?}");
        assert_eq!(
            up.try_wait().unwrap(),
            None,
            "before it came to {reached:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    run("kill", &["-s", "KILL", "--", &format!("-{}", up.id())]);
    assert!(!up.wait().unwrap().success());
    assert_eq!(lab(&["status"]), format!("lab {NAME}: down\n"));
}

/// Somebody else than root is told so by jtest, not by what jtest would call.
fn only_root_enters() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let inventory = home.path().join("lab.yaml");
    let text = format!(
        "all:\n  hosts:\n    n1:\n      ansible_host: 10.77.0.11\n  vars:\n    jtest_control_netns: jtest-{NAME}\n"
    );
    fs::write(&inventory, text).unwrap();
    let program = home.path().join("jtest");
    fs::copy(env!("CARGO_BIN_EXE_jtest"), &program).unwrap();
    let refused = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(["doctor", "--inventory"])
        .arg(inventory)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(254), "{told}");
    assert!(told.contains("run jtest as root"), "{told}");
}

/// A host reaches its peers, but no address of the machine; the machine does.
fn stays_inside() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let addresses = own_addresses();
    assert!(
        addresses
            .iter()
            .any(|address| address.starts_with("10.78."))
    );
    for address in addresses {
        TcpStream::connect((address.as_str(), port)).unwrap();
        let probe = format!("timeout 2 bash -c '</dev/tcp/{address}/{port}' && echo reached; true");
        assert_eq!(lab(&["ssh", "1", &probe]), "", "{address}");
    }
    let peer = lab(&[
        "ssh",
        "1",
        "timeout 2 bash -c '</dev/tcp/10.77.0.12/22' && echo reached",
    ]);
    assert_eq!(peer, "reached\n");
}

/// Power goes at once, firewall rules with it; what is on the disk stays until a reset.
fn loses_power_and_comes_back() {
    lab(&[
        "ssh",
        "2",
        "sudo iptables -A INPUT -s 192.0.2.9 -j DROP; sudo touch /etc/kept",
    ]);
    lab(&["stop", "n2"]);
    let refused = output(script(), &["--name", NAME, "ssh", "2", "true"]);
    assert!(!refused.status.success());
    lab(&["start", "n2"]);
    let after = "sudo iptables -S INPUT; ls /etc/kept";
    assert_eq!(lab(&["ssh", "2", after]), "-P INPUT ACCEPT\n/etc/kept\n");
    lab(&["reset"]);
    assert_eq!(lab(&["ssh", "2", "ls /etc | grep -c kept; true"]), "0\n");
}

#[test]
fn the_local_inventory_is_that_of_the_default_lab() {
    let told = run(script(), &["--name", "lab", "--nodes", "5", "inventory"]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory/local.yaml");
    assert_eq!(fs::read_to_string(file).unwrap(), told);
}

#[test]
#[ignore = "needs root; scripts/test runs it"]
fn each_missing_tool_is_named_with_its_package() {
    let path = tempfile::tempdir().unwrap();
    // What every Debian has; the lab's own tools are elsewhere.
    for tool in [
        "bash",
        "cut",
        "dirname",
        "readlink",
        "sha256sum",
        "sort",
        "tr",
    ] {
        symlink(Path::new("/usr/bin").join(tool), path.path().join(tool)).unwrap();
    }
    let refused = Command::new(script())
        .args(["--name", NAME, "up"])
        .env("PATH", path.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let (tools, packages) = told
        .split_once("; get them with: apt-get install -y ")
        .unwrap();
    for tool in [
        "ip",
        "nft",
        "systemd-nspawn",
        "mkfs.ext4",
        "mount",
        "losetup",
    ] {
        assert!(tools.split_whitespace().any(|told| told == tool), "{told}");
    }
    let packages: Vec<_> = packages.split_whitespace().collect();
    assert_eq!(
        packages,
        [
            "e2fsprogs",
            "findutils",
            "iproute2",
            "mawk",
            "mount",
            "nftables",
            "openssh-client",
            "procps",
            "systemd-container",
            "util-linux",
        ]
    );
}
