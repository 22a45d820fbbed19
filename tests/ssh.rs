//! `Ssh` against a real sshd on loopback. Needs root and openssh-server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/sshd.rs"]
mod sshd;

use std::time::{Duration, Instant};

use jtest::remote::{Host, RemoteError, Script, connect};
use sshd::{Sshd, is_alive, wait_until};

async fn host(sshd: &Sshd) -> Host {
    connect(&sshd.node(), &sshd.options()).await.unwrap()
}

fn script(text: &str) -> Script {
    Script::new("try it", text)
}

#[tokio::test]
async fn runs_a_script_with_arguments_and_input() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let output = host
        .run(
            &script("printf '%s|' \"$@\"; cat; echo oops >&2")
                .arg("a b")
                .arg("$(id)")
                .stdin("in"),
        )
        .await
        .unwrap();
    assert_eq!(output.text(), "a b|$(id)|in");
    assert_eq!(output.stderr, "oops");
    let failed = host.run(&script("echo why >&2; exit 7")).await.unwrap_err();
    assert!(
        matches!(&failed, RemoteError::Failed { status: 7, stderr, .. } if stderr == "why"),
        "{failed}"
    );
    host.close().await;
}

#[tokio::test]
async fn talks_with_a_process_and_puts_a_file() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let mut process = host
        .open(&script("while read -r line; do echo \"got $line\"; done; echo bye").stdin("one\n"))
        .await
        .unwrap();
    assert_eq!(
        process.read_line().await.unwrap().as_deref(),
        Some("got one")
    );
    process.write(b"two\n").await.unwrap();
    assert_eq!(
        process.read_line().await.unwrap().as_deref(),
        Some("got two")
    );
    let rest = process.finish().await.unwrap();
    assert_eq!(rest.text(), "bye");

    let path = sshd.path("put");
    host.put(path.to_str().unwrap(), 0o640, b"content")
        .await
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(
        (std::fs::read(&path).unwrap(), mode & 0o7777),
        (b"content".to_vec(), 0o640)
    );
}

#[tokio::test]
async fn the_deadline_ends_the_remote_process_and_its_children() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let pid_file = sshd.path("pid");
    let started = Instant::now();
    let error = host
        .run(
            &script("sleep 600 & echo $! >\"$1\"; wait; :")
                .arg(pid_file.to_str().unwrap())
                .deadline(Duration::from_secs(1)),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, RemoteError::Deadline { .. }), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let pid = std::fs::read_to_string(pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    wait_until("the remote process is gone", || !is_alive(pid));
}
