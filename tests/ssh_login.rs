//! Whom `Ssh` trusts and how it is let in: keys, host keys and jump hosts against a real sshd.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/sshd.rs"]
mod sshd;

use std::fs;
use std::process::{Child, Command, Stdio};

use jtest::inventory::{HostKeyPolicy, Secret};
use jtest::remote::{RemoteError, Script, connect};
use sshd::{Sshd, keygen, public_key, wait_until};

const KINDS: [(&str, Option<u32>); 6] = [
    ("ed25519", None),
    ("ecdsa", Some(256)),
    ("ecdsa", Some(384)),
    ("ecdsa", Some(521)),
    ("rsa", Some(2048)),
    ("rsa", Some(3072)),
];

async fn works(sshd: &Sshd) {
    let host = connect(&sshd.node(), &sshd.options()).await.unwrap();
    assert_eq!(
        host.run(&Script::new("greet", "echo hello"))
            .await
            .unwrap()
            .text(),
        "hello"
    );
}

async fn refused(sshd: &Sshd) -> RemoteError {
    connect(&sshd.node(), &sshd.options()).await.err().unwrap()
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn each_kind_of_key_serves_host_and_user() {
    for kind in KINDS {
        works(&Sshd::start_with(&[kind], kind, "")).await;
    }
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn the_host_key_that_is_known_is_asked_for() {
    for known in [0, 1, 2] {
        let hosts = [("ed25519", None), ("ecdsa", None), ("rsa", Some(2048))];
        let sshd = Sshd::start_with(&hosts, ("ed25519", None), "");
        let key = public_key(&sshd.path(&format!("host_{known}")));
        fs::write(
            sshd.path("known_hosts"),
            format!("[127.0.0.1]:{} {key}\n", sshd.port),
        )
        .unwrap();
        works(&sshd).await;
    }
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn four_ways_not_to_be_the_known_host() {
    let sshd = Sshd::start();
    let port = sshd.port;
    let own = public_key(&sshd.path("host_0"));
    let other = public_key(&keygen(&sshd.path("other"), "ed25519", None, ""));
    let ecdsa = public_key(&keygen(&sshd.path("ecdsa"), "ecdsa", None, ""));
    for (known, expected) in [
        (String::new(), "is unknown"),
        (format!("[127.0.0.1]:{port} {other}\n"), "has CHANGED"),
        (
            format!("[127.0.0.1]:{port} {own}\n@revoked * {own}\n"),
            "is REVOKED",
        ),
        (
            format!("[127.0.0.1]:{port} {ecdsa}\n"),
            "another algorithm only",
        ),
    ] {
        fs::write(sshd.path("known_hosts"), &known).unwrap();
        for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
            if expected == "is unknown" && policy == HostKeyPolicy::AcceptNew {
                continue;
            }
            let mut options = sshd.options();
            options.host_keys = Some(policy);
            let error = connect(&sshd.node(), &options).await.err().unwrap();
            assert!(matches!(error, RemoteError::HostKey { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{expected}: {error}");
            assert_eq!(fs::read_to_string(sshd.path("known_hosts")).unwrap(), known);
        }
        let mut options = sshd.options();
        options.host_keys = Some(HostKeyPolicy::Off);
        connect(&sshd.node(), &options).await.unwrap();
        assert_eq!(fs::read_to_string(sshd.path("known_hosts")).unwrap(), known);
    }
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_new_host_is_accepted_once_and_held_to_its_key() {
    let sshd = Sshd::start();
    fs::remove_file(sshd.path("known_hosts")).unwrap();
    let mut options = sshd.options();
    options.host_keys = Some(HostKeyPolicy::AcceptNew);
    for _ in 0..2 {
        connect(&sshd.node(), &options).await.unwrap();
    }
    let text = fs::read_to_string(sshd.path("known_hosts")).unwrap();
    assert_eq!(
        text,
        format!(
            "[127.0.0.1]:{} {}\n",
            sshd.port,
            public_key(&sshd.path("host_0"))
        )
    );
    works(&sshd).await;

    let hashed = Command::new("ssh-keygen")
        .arg("-H")
        .arg("-f")
        .arg(sshd.path("known_hosts"))
        .output()
        .unwrap();
    assert!(hashed.status.success());
    assert!(
        fs::read_to_string(sshd.path("known_hosts"))
            .unwrap()
            .starts_with("|1|")
    );
    works(&sshd).await;
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_refused_login_lists_what_was_tried() {
    let sshd = Sshd::start();
    fs::write(sshd.path("authorized_keys"), "").unwrap();
    keygen(&sshd.path("absent"), "ecdsa", None, "");
    let mut node = sshd.node();
    node.password = Some(Secret::new("hunter2"));
    let error = connect(&node, &sshd.options()).await.err().unwrap();
    assert!(matches!(error, RemoteError::Login { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "cannot log in as root",
        &format!("key {}: refused", sshd.path("user").display()),
        &format!("key {}: refused", sshd.path("absent").display()),
        "password: not taken by the server",
        "keyboard-interactive with the password: not taken by the server",
        "the server takes: publickey",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn keys_that_cannot_be_used_are_told() {
    let sshd = Sshd::start();
    let mut node = sshd.node();
    let encrypted = keygen(&sshd.path("encrypted"), "ed25519", None, "passphrase");
    let junk = sshd.path("junk");
    fs::write(&junk, b"\xff\xfejunk").unwrap();
    for (file, expected) in [
        (encrypted, "it is encrypted; add it to an agent"),
        (junk, "cannot read it"),
        (sshd.path("nowhere"), "no such file"),
        (sshd.path("known_hosts"), "no private key"),
    ] {
        node.private_key_file = Some(file);
        let error = connect(&node, &sshd.options()).await.err().unwrap();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    node.private_key_file = None;
    let error = connect(&node, &sshd.options()).await.err().unwrap();
    assert!(
        error
            .to_string()
            .contains("set ansible_ssh_private_key_file"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_server_that_counts_attempts_is_told() {
    let sshd = Sshd::start_with(&[("ed25519", None)], ("ed25519", None), "MaxAuthTries 2\n");
    let mut config = fs::read_to_string(sshd.path("ssh_config")).unwrap();
    for index in 0..4 {
        let key = keygen(&sshd.path(&format!("wrong_{index}")), "ed25519", None, "");
        config.push_str(&format!("IdentityFile {}\n", key.display()));
    }
    fs::write(sshd.path("ssh_config"), config).unwrap();
    fs::write(sshd.path("authorized_keys"), "").unwrap();
    let error = refused(&sshd).await;
    assert!(error.to_string().contains("MaxAuthTries"), "{error}");
    assert!(
        error
            .to_string()
            .contains("Too many authentication failures"),
        "{error}"
    );
}

/// An ssh-agent with some keys.
struct Agent(Child);

impl Agent {
    fn start(sshd: &Sshd, keys: &[&str]) -> Self {
        let socket = sshd.path("agent");
        let mut command = Command::new("ssh-agent");
        command
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null());
        let agent = Self(command.spawn().unwrap());
        wait_until("the agent listens", || socket.exists());
        for key in keys {
            let mut add = Command::new("ssh-add");
            add.arg("-q")
                .arg(sshd.path(key))
                .env("SSH_AUTH_SOCK", &socket);
            wait_until("the agent takes the key", || {
                add.status().unwrap().success()
            });
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn the_agent_s_keys_are_tried() {
    for user in [("ed25519", None), ("rsa", Some(2048))] {
        let sshd = Sshd::start_with(&[("ed25519", None)], user, "");
        keygen(&sshd.path("wrong"), "ed25519", None, "");
        let _agent = Agent::start(&sshd, &["wrong", "user"]);
        let config = fs::read_to_string(sshd.path("ssh_config")).unwrap();
        let config = config.replace(
            "IdentityAgent none",
            &format!("IdentityAgent {}", sshd.path("agent").display()),
        );
        fs::write(sshd.path("ssh_config"), &config).unwrap();
        let mut node = sshd.node();
        node.private_key_file = None;
        connect(&node, &sshd.options()).await.unwrap();

        fs::write(
            sshd.path("ssh_config"),
            format!("{config}IdentitiesOnly yes\n"),
        )
        .unwrap();
        let error = connect(&node, &sshd.options()).await.err().unwrap();
        assert!(error.to_string().contains("no key to offer"), "{error}");
        fs::copy(sshd.path("user.pub"), sshd.path("absent.pub")).unwrap();
        connect(&node, &sshd.options()).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn through_jump_hosts() {
    let gates = [Sshd::start(), Sshd::start()];
    let sshd = Sshd::start();
    let config = |gates: &[Sshd]| {
        let mut text = String::new();
        for (index, gate) in gates.iter().enumerate() {
            text.push_str(&format!(
                "Host gate{index}\nHostName 127.0.0.1\nPort {}\nIdentityFile {}\nUserKnownHostsFile {}\n",
                gate.port,
                gate.path("user").display(),
                gate.path("known_hosts").display()
            ));
        }
        text + &fs::read_to_string(sshd.path("ssh_config")).unwrap()
    };
    let mut options = sshd.options();
    options.ssh_config = Some(sshd.path("jump_config"));
    fs::write(sshd.path("jump_config"), config(&gates)).unwrap();
    let mut node = sshd.node();
    for jumps in ["root@gate0", "root@gate0,root@gate1"] {
        node.ssh_args.proxy_jump = Some(jumps.into());
        let host = connect(&node, &options).await.unwrap();
        let client = host
            .run(&Script::new("ask", "echo $SSH_CLIENT"))
            .await
            .unwrap()
            .text();
        let last = &gates[usize::from(jumps.contains("gate1"))];
        assert!(last.log().contains("Accepted publickey"), "{client}");
        let mut process = host
            .open(&Script::new("talk", "echo hi; cat"))
            .await
            .unwrap();
        assert_eq!(process.read_line().await.unwrap().as_deref(), Some("hi"));
        host.close().await;
    }

    // Each hop's own key is checked.
    fs::write(gates[1].path("known_hosts"), "").unwrap();
    let error = connect(&node, &options).await.err().unwrap().to_string();
    assert!(
        error.contains("through jump host 127.0.0.1: ") && error.contains("is unknown"),
        "{error}"
    );
    assert!(error.contains(&gates[1].port.to_string()), "{error}");

    // A target that the jump host does not reach.
    node.ssh_args.proxy_jump = Some("root@gate0".into());
    node.port = Some(1);
    let error = connect(&node, &options).await.err().unwrap().to_string();
    assert!(
        error.contains("the jump host does not connect to 127.0.0.1 port 1"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_jump_host_that_dies_is_told() {
    let mut gate = Sshd::start();
    let sshd = Sshd::start();
    let text = format!(
        "Host gate\nHostName 127.0.0.1\nPort {}\nUser root\nIdentityFile {}\nUserKnownHostsFile {}\n{}",
        gate.port,
        gate.path("user").display(),
        gate.path("known_hosts").display(),
        fs::read_to_string(sshd.path("ssh_config")).unwrap()
    );
    fs::write(sshd.path("ssh_config"), text).unwrap();
    let mut node = sshd.node();
    node.ssh_args.proxy_jump = Some("gate".into());
    let host = connect(&node, &sshd.options()).await.unwrap();
    gate.kill();
    let error = host
        .run(&Script::new("go on", "true"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Connection refused") && error.contains("through jump host"),
        "{error}"
    );
    gate.restart();
    host.run(&Script::new("go on", "true")).await.unwrap();
}
