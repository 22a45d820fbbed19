//! One host, `n1.example` on some port, against lines of a known-hosts file.

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTiEc/kvgvIZLJfZ0z52lX6Kx5SjNIMegLouhuhzx2S";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM26uBzldawHcByDOWyUZLBzGwuCw3ycQW+xzrjwjqIs";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOLj3uSwJYQ7MzOHv9kDPy536hNtfRoKWoaveBVDVbMHH8oi11pbsKKQPU+tt9wBKe9pCAEwceR79ppqep8NAD0=";
/// `n1.example` and `[n1.example]:2222` as `ssh-keygen -H` hashed them.
const HASHED: &str = "|1|QsNoqCElOjeQBl5pJxUR3EsPeBk=|fpsDSuiS40OZRoEO6Ls0blf2Qz0=";
const HASHED_2222: &str = "|1|gaJgBZd5cx8VpdpSKWRpZoe0UbY=|pBeP2zyts+WyOvctzIOXq4iV+HU=";

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}

fn name(port: u16) -> HostName {
    HostName {
        name: "n1.example".into(),
        port,
    }
}

fn found(text: &str, port: u16, presented: &str) -> Finding {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let known = Known::read(
        name(port),
        &[PathBuf::from("/absent"), file.path().to_owned()],
    )
    .unwrap();
    known.check(&key(presented))
}

/// The finding's name.
fn check(text: &str, port: u16, presented: &str, expected: &str) {
    let finding = found(text, port, presented);
    let actual = match &finding {
        Finding::Match => "match",
        Finding::Unknown(_) => "unknown",
        Finding::Changed(_) => "changed",
        Finding::Revoked(_) => "revoked",
        Finding::OtherAlgorithm(_) => "other algorithm",
    };
    assert_eq!(actual, expected, "{text:?} port {port}: {finding:?}");
}

#[test]
fn names() {
    check(&format!("n1.example {A}"), 22, A, "match");
    check(&format!("N1.Example {A} a comment # more"), 22, A, "match");
    check(&format!("n0,n1.example,10.0.0.1\t{A}"), 22, A, "match");
    check(&format!("n1.example {B}\nn1.example {A}"), 22, A, "match");
    check(&format!("n1 {A}"), 22, A, "unknown");
    check(&format!("#n1.example {A}"), 22, A, "unknown");
    check(&format!("{HASHED} {A}"), 22, A, "match");
    check(&format!("{HASHED_2222} {A}"), 22, A, "unknown");
    check(
        &format!("|1|junk|junk {A}\n|1| {A}\n{HASHED} {A}"),
        22,
        A,
        "match",
    );
    check("", 22, A, "unknown");
}

#[test]
fn ports() {
    check(&format!("[n1.example]:2222 {A}"), 2222, A, "match");
    check(&format!("[n1.example]:2222 {A}"), 22, A, "unknown");
    check(&format!("[n1.example]:2223 {A}"), 2222, A, "unknown");
    check(&format!("{HASHED_2222} {A}"), 2222, A, "match");
    check(&format!("[n1.example]:22 {A}"), 22, A, "unknown");
    // As OpenSSH: a line without the port vouches for a key, but a different one is no alarm.
    check(&format!("n1.example {A}"), 2222, A, "match");
    check(&format!("n1.example {B}"), 2222, A, "unknown");
}

#[test]
fn wildcards_and_negation() {
    check(&format!("*.example {A}"), 22, A, "match");
    check(&format!("n?.example {A}"), 22, A, "match");
    check(&format!("n??.example {A}"), 22, A, "unknown");
    check(&format!("*,!n2.example {A}"), 22, A, "match");
    check(&format!("*,!n1.example {A}"), 22, A, "unknown");
    check(&format!("!n1.*,* {A}"), 22, A, "unknown");
    check(&format!("!n2.example {A}"), 22, A, "unknown");
    check(&format!("[*.example]:* {A}"), 2222, A, "match");
    assert!(glob("a*b*c", "axxbyybzzc") && !glob("a*b*c", "axxbyybzz"));
    assert!(glob("*", "") && glob("", "") && !glob("?", ""));
}

#[test]
fn other_keys() {
    check(&format!("n1.example {B}"), 22, A, "changed");
    check(&format!("n1.example {ECDSA}"), 22, A, "other algorithm");
    check(
        &format!("n1.example {ECDSA}\nn1.example {B}"),
        22,
        A,
        "changed",
    );
    check(&format!("{HASHED} {B}"), 22, A, "changed");
}

#[test]
fn markers() {
    check(&format!("@revoked n1.example {A}"), 22, A, "revoked");
    check(&format!("n1.example {A}\n@revoked * {A}"), 22, A, "revoked");
    check(&format!("n1.example {A}\n@revoked * {B}"), 22, A, "match");
    check(&format!("@revoked n1.example {B}"), 22, A, "unknown");
    check(&format!("@cert-authority n1.example {A}"), 22, A, "unknown");
    check(&format!("@nonsense n1.example {A}"), 22, A, "unknown");
    let finding = found(&format!("@cert-authority *.example {B}"), 22, A);
    assert!(
        matches!(&finding, Finding::Unknown(m) if m.contains("certificate authority")),
        "{finding:?}"
    );
}

#[test]
fn junk_is_skipped() {
    let junk = "\u{0}\u{1}\nn1.example\nn1.example ssh-ed25519\nn1.example ssh-ed25519 !!!\n\
                n1.example ssh-dss AAAA\n  \n";
    check(&format!("{junk}n1.example {A}\n"), 22, A, "match");
}

#[test]
fn each_message_tells_the_place_and_the_remedy() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let check = |text: String, expected: &[&str]| {
        std::fs::write(file.path(), text).unwrap();
        let known = Known::read(name(2222), &[file.path().to_owned()]).unwrap();
        let (Finding::Unknown(message)
        | Finding::Changed(message)
        | Finding::Revoked(message)
        | Finding::OtherAlgorithm(message)) = known.check(&key(A))
        else {
            panic!("it matches");
        };
        for part in expected
            .iter()
            .chain(&["[n1.example]:2222", "ssh-ed25519 SHA256:"])
        {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    };
    let path = file.path().to_str().unwrap();
    check(
        String::new(),
        &[
            "is unknown",
            path,
            "--host-keys accept-new",
            "ssh_host_ed25519_key.pub",
        ],
    );
    check(
        format!("\n[n1.example]:2222 {B}"),
        &[
            "has CHANGED",
            &format!("{path} line 2"),
            &format!("ssh-keygen -f {path} -R '[n1.example]:2222'"),
        ],
    );
    check(
        format!("@revoked * {A}"),
        &[
            "is REVOKED",
            &format!("{path} line 1"),
            "give the host a new key",
        ],
    );
    check(
        format!("[n1.example]:2222 {ECDSA}"),
        &[
            "another algorithm only",
            &format!("ecdsa-sha2-nistp256 in {path} line 1"),
            "does not accept",
        ],
    );
}

#[test]
fn remembers_once_and_privately() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/known_hosts");
    std::thread::scope(|scope| {
        for port in 2000..2016 {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..2 {
                    remember(&name(port), file, &key(A)).unwrap();
                }
            });
        }
    });
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 16, "{text}");
    for port in 2000..2016 {
        assert!(
            text.contains(&format!("[n1.example]:{port} {A}\n")),
            "{text}"
        );
    }
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&dir.path().join("new"))), (0o600, 0o700));
    assert!(remember(&name(2000), &file, &key(B)).is_err());
}

#[test]
fn remembers_after_a_last_line_without_its_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("n2 {B}")).unwrap();
    remember(&name(22), file.path(), &key(A)).unwrap();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text, format!("n2 {B}\nn1.example {A}\n"));
}
