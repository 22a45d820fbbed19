//! `Ssh` against a real sshd on loopback: what works, and how it ends when it does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/sshd.rs"]
mod sshd;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jtest::remote::{Host, RemoteError, Script, connect, connect_all};
use sshd::{Sshd, is_alive, kill9, signal, wait_until};

async fn host(sshd: &Sshd) -> Host {
    connect(&sshd.node(), &sshd.options()).await.unwrap()
}

fn script(text: &str) -> Script {
    Script::new("try it", text)
}

/// A host where the next script has a channel, and one where a program stands by that runs it.
async fn hosts(sshd: &Sshd) -> [Host; 2] {
    let standing_by = host(sshd).await;
    await_runner(&standing_by).await;
    [host(sshd).await, standing_by]
}

async fn await_runner(host: &Host) {
    let started = Instant::now();
    while !has_runner(host).await {
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

/// Whether a script is started by the program that stands by.
async fn has_runner(host: &Host) -> bool {
    let starter = script("cat /proc/$(ps -o ppid= -p $PPID | tr -d ' ')/comm");
    host.run(&starter).await.unwrap().text() == "perl"
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn runs_a_script_with_arguments_and_input() {
    let sshd = Sshd::start();
    for host in hosts(&sshd).await {
        let output = host
            .run(
                &script("printf '%s|' \"$@\"; cat; echo oops >&2")
                    .arg("it's")
                    .arg("$(id)\n")
                    .arg("é")
                    .arg("")
                    .stdin("in\0"),
            )
            .await
            .unwrap();
        assert_eq!(output.text(), "it's|$(id)\n|é||in\0");
        assert_eq!(output.stderr, "oops");
        host.close().await;
    }
    wait_until("the connection is closed", || sshd.sessions().is_empty());
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn exit_statuses_and_stderr_are_told() {
    let sshd = Sshd::start();
    for host in hosts(&sshd).await {
        assert_statuses(&host).await;
    }
}

async fn assert_statuses(host: &Host) {
    for (text, expected) in [
        ("exit 7", 7),
        ("exit 255", 255),
        ("false; echo not reached", 1),
        ("echo $unset", 2),
        ("/etc/passwd", 126),
        ("no-such-command", 127),
        ("kill -9 $$", 137),
        ("exit 124", 124),
    ] {
        let error = host.run(&script(text)).await.unwrap_err();
        assert!(
            matches!(error, RemoteError::Failed { status, .. } if status == expected),
            "{text}: {error}"
        );
    }
    let error = host.run(&script("echo why >&2; exit 1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "n1: cannot try it: exit status 1; it said: why"
    );
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn talks_with_a_process() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let mut process = host
        .open(
            &script("while read -r line; do echo \"got $line\"; done; echo bye; exit 3")
                .stdin("one\n"),
        )
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
    let error = process.finish().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Failed { status: 3, .. }),
        "{error}"
    );

    let mut ended = host.open(&script("printf 'a\\nb'")).await.unwrap();
    assert_eq!(ended.read_line().await.unwrap().as_deref(), Some("a"));
    assert_eq!(ended.read_line().await.unwrap().as_deref(), Some("b"));
    assert_eq!(ended.read_line().await.unwrap(), None);
    assert_eq!(ended.read_chunk().await.unwrap(), None);
    assert!(ended.write(b"x").await.is_err());
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_process_given_up_ends_on_the_host() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let mut process = host
        .open(&script("echo $$; read -r line; echo no"))
        .await
        .unwrap();
    let pid = process.read_line().await.unwrap().unwrap().parse().unwrap();
    assert!(is_alive(pid));
    drop(process);
    wait_until("it sees the end of its input", || !is_alive(pid));
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn puts_a_file_with_its_mode_or_not_at_all() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let path = sshd.path("it's a file");
    let content: Vec<u8> = (0..5_000_000_u32).map(|i| (i * 7 / 3) as u8).collect();
    host.put(path.to_str().unwrap(), 0o640, &content)
        .await
        .unwrap();
    let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o640);
    assert!(std::fs::read(&path).unwrap() == content);
    host.put(path.to_str().unwrap(), 0o600, b"").await.unwrap();
    assert_eq!(path.metadata().unwrap().len(), 0);
    let error = host
        .put("/nonexistent/dir/file", 0o600, b"x")
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot write /nonexistent/dir/file"),
        "{error}"
    );
    let parts = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let left = parts.filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("jtest-put")
    });
    assert_eq!(left.count(), 0);
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn the_deadline_ends_the_remote_process_and_its_children() {
    let sshd = Sshd::start();
    for host in hosts(&sshd).await {
        assert_ended_by_deadline(&sshd, &host).await;
    }
}

async fn assert_ended_by_deadline(sshd: &Sshd, host: &Host) {
    let pid_file = sshd.path("pid");
    let started = Instant::now();
    let text = "echo before >&2; sleep 600 & echo $! >\"$1\"; wait; :";
    let script = script(text)
        .arg(pid_file.to_str().unwrap())
        .deadline(Duration::from_secs(1));
    let error = host.run(&script).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "n1: cannot try it: no end after 1 s; it said: before"
    );
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

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_child_that_keeps_the_output_open_is_not_waited_for() {
    let sshd = Sshd::start();
    for host in hosts(&sshd).await {
        let started = Instant::now();
        let output = host
            .run(&script("setsid sleep 60 & echo $!"))
            .await
            .unwrap();
        let elapsed = started.elapsed();
        kill9(output.text().parse().unwrap());
        assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn much_output_on_both_channels_with_rekeying() {
    let extra = "RekeyLimit 1M\nLogLevel DEBUG1\n";
    let sshd = Sshd::start_with(&[("ed25519", None)], ("ed25519", None), extra);
    for host in hosts(&sshd).await {
        assert_much_output(&host).await;
    }
    let rekeyed = sshd.log().matches("rekeying out").count();
    assert!(rekeyed > 1, "{}", sshd.log());
}

async fn assert_much_output(host: &Host) {
    let text =
        "head -c 1000000 /dev/zero | tr '\\0' e >&2 & head -c 10000000 /dev/zero | tr '\\0' o
                wait; echo end >&2";
    let output = host.run(&script(text)).await.unwrap();
    assert_eq!(output.stdout.len(), 10_000_000);
    assert!(output.stdout.iter().all(|&b| b == b'o'));
    assert!(output.stderr.ends_with("eeeend"), "{}", output.stderr);
    assert!(output.stderr.len() <= 4096);
    assert_eq!(
        host.run(&script("echo still here")).await.unwrap().text(),
        "still here"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn much_input_read_or_not() {
    let sshd = Sshd::start();
    for host in hosts(&sshd).await {
        // What a runner is sent at most, and what has a channel in any case.
        for bytes in [64 * 1024, 5_000_000] {
            assert_much_input(&host, bytes).await;
        }
    }
}

async fn assert_much_input(host: &Host, bytes: usize) {
    let input = vec![b'x'; bytes];
    let read = host
        .run(&script("wc -c").stdin(input.clone()))
        .await
        .unwrap();
    assert_eq!(read.text(), bytes.to_string());
    let unread = host
        .run(&script("echo ignored").stdin(input.clone()))
        .await
        .unwrap();
    assert_eq!(unread.text(), "ignored");
    // Echoed while it is sent: each side has to take what the other has.
    let echoed = host.run(&script("cat").stdin(input.clone())).await.unwrap();
    assert_eq!(echoed.stdout, input);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn output_beyond_the_bound_is_an_error() {
    let sshd = Sshd::start();
    for host in hosts(&sshd).await {
        let error = host
            .run(&script("head -c 70000000 /dev/zero"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("more than 64 MiB"), "{error}");
        assert_eq!(host.run(&script("echo fine")).await.unwrap().text(), "fine");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn twenty_scripts_share_one_connection_eight_at_a_time() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let dir = sshd.path("running");
    std::fs::create_dir(&dir).unwrap();
    // The first eight wait for each other.
    let text = r#"touch "$1/run.$2"
while [ ! -e "$1/full" ]; do
    [ "$(ls "$1" | grep -c run)" -lt 8 ] || touch "$1/full"
    sleep 0.05
done
sleep 0.2
ls "$1" | grep -c run
rm "$1/run.$2""#;
    let runs = (0..20).map(|i| {
        let script = script(text).arg(dir.to_str().unwrap()).arg(i.to_string());
        let host = host.clone();
        async move {
            host.run(&script)
                .await
                .unwrap()
                .text()
                .parse::<usize>()
                .unwrap()
        }
    });
    let together = join_all(runs).await;
    assert!(together.iter().all(|&count| count <= 8), "{together:?}");
    let logins = sshd.log().matches("Accepted publickey").count();
    // One more where the server is slow to count ended sessions out.
    assert!(logins <= 2, "{}", sshd.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn nobody_waits_for_an_unread_process_or_an_abandoned_script() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let unread = host
        .open(&script("yes").deadline(Duration::from_secs(20)))
        .await
        .unwrap();
    for _ in 0..9 {
        let flood = script("yes | head -c 20000000").deadline(Duration::from_secs(20));
        let abandoned = tokio::time::timeout(Duration::from_millis(30), host.run(&flood));
        assert!(abandoned.await.is_err());
    }
    let started = Instant::now();
    assert_eq!(
        host.run(&script("echo through")).await.unwrap().text(),
        "through"
    );
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    drop(unread);
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_server_killed_in_mid_command_is_told_at_once() {
    for way in 0..2 {
        let sshd = Sshd::start();
        let [channels, standing_by] = hosts(&sshd).await;
        let host = if way == 0 { channels } else { standing_by };
        assert_told_of_the_end(sshd, host).await;
    }
}

async fn assert_told_of_the_end(mut sshd: Sshd, host: Host) {
    let begun = sshd.path("begun");
    let script = script("echo x >>\"$1\"; echo busy >&2; sleep 60").arg(begun.to_str().unwrap());
    let run = tokio::spawn(async move { host.run(&script).await });
    let waited = begun.clone();
    tokio::task::spawn_blocking(move || wait_until("it runs", || waited.exists()))
        .await
        .unwrap();
    let started = Instant::now();
    sshd.kill();
    let error = run.await.unwrap().unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("the connection was lost: ") && text.contains("it said: busy"),
        "{text}"
    );
    assert_eq!(
        std::fs::read_to_string(begun).unwrap(),
        "x\n",
        "it was not run again"
    );
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn reconnects_when_the_connection_died_in_between() {
    let mut sshd = Sshd::start();
    let host = host(&sshd).await;
    for _ in 0..2 {
        await_runner(&host).await;
        sshd.kill();
        sshd.restart();
        let count = sshd.path("count");
        let output = host
            .run(&script("echo x >>\"$1\"; cat \"$1\"; rm \"$1\"").arg(count.to_str().unwrap()))
            .await;
        assert_eq!(output.unwrap().text(), "x");
    }
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn reconnects_to_a_server_that_comes_back_a_little_later() {
    let mut sshd = Sshd::start();
    let host = host(&sshd).await;
    sshd.kill();
    let run = tokio::spawn(async move { host.run(&script("echo back")).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sshd = tokio::task::spawn_blocking(move || {
        sshd.restart();
        sshd
    });
    let _sshd = sshd.await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().text(), "back");
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_server_that_stays_away_is_told_in_time() {
    let mut sshd = Sshd::start();
    let host = host(&sshd).await;
    sshd.kill();
    let started = Instant::now();
    let error = host.run(&script("true")).await.unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(error.to_string().contains("Connection refused"), "{error}");
    let error = host
        .open(&script("true").deadline(Duration::from_secs(1)))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_server_that_falls_silent_is_given_up() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    let sleep = script("sleep 90").deadline(Duration::from_secs(90));
    let run = tokio::spawn(async move { host.run(&sleep).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    for pid in sshd.sessions() {
        signal(pid, "STOP");
    }
    let error = run.await.unwrap().unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert!(
        error.to_string().contains("no sign of life for 20 s"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_script_is_lost_with_its_runner_and_the_next_has_a_channel() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    await_runner(&host).await;
    let end = "echo so far; kill -9 $(ps -o ppid= -p $PPID)";
    let error = host.run(&script(end)).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "n1: cannot try it: the program that runs scripts there ended while it ran"
    );
    assert!(!has_runner(&host).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_runner_ends_with_its_connection() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    await_runner(&host).await;
    let runner = script("ps -o ppid= -p $PPID");
    let runner = host.run(&runner).await.unwrap().text();
    let runner = runner.trim().parse().unwrap();
    assert!(is_alive(runner));
    drop(host);
    wait_until("it is gone", || !is_alive(runner));
}

/// A server that says `greeting` and no more; returns when the other side has hung up.
fn mute_server(greeting: &'static [u8]) -> (u16, thread::JoinHandle<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let started = Instant::now();
        stream.write_all(greeting).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut buffer = [0; 4096];
        while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
        started.elapsed()
    });
    (port, server)
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_host_that_hangs_before_or_after_its_banner_is_given_up() {
    let sshd = Sshd::start();
    let attempts = [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n"].map(|greeting| {
        let (port, server) = mute_server(greeting);
        let mut node = sshd.node();
        node.port = Some(port);
        let options = sshd.options();
        async move {
            let error = connect(&node, &options).await.err().unwrap().to_string();
            assert!(
                error.contains("does not finish the SSH handshake within 15 s"),
                "{error}"
            );
            let hung_up_after = tokio::task::spawn_blocking(|| server.join().unwrap())
                .await
                .unwrap();
            assert!(hung_up_after < Duration::from_secs(20), "{hung_up_after:?}");
        }
    });
    join_all(attempts).await;
}

#[tokio::test]
#[ignore = "needs root and sshd; scripts/test runs it"]
async fn a_host_that_speaks_something_else_or_not_at_all() {
    let sshd = Sshd::start();
    let (port, server) = mute_server(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let mut node = sshd.node();
    node.port = Some(port);
    let error = connect(&node, &sshd.options()).await.err().unwrap();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
    tokio::task::spawn_blocking(|| server.join().unwrap())
        .await
        .unwrap();

    // Nobody listens there any more.
    let good = sshd.node();
    let both = connect_all(&[node, good], &sshd.options()).await;
    let error = both[0].1.as_ref().unwrap_err().to_string();
    assert!(
        error.contains("Connection refused") && error.contains(&port.to_string()),
        "{error}"
    );
    assert!(both[1].1.is_ok());
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_channel_open() {
    let sshd = Sshd::start();
    let host = host(&sshd).await;
    for microseconds in 0..40 {
        let brief = Duration::from_micros(microseconds * 150);
        let _gone = tokio::time::timeout(brief, host.run(&script("true"))).await;
    }
    // More than the server's default MaxSessions at once would be refused.
    let all = futures_util::future::join_all((0..8).map(|_| async {
        host.run(&script("sleep 0.2")).await.unwrap();
    }));
    all.await;
}
