//! Logging in and becoming root where a password is asked for: on a host, since it takes PAM,
//! sudo and users of its own. The users are gone after the test.

use std::time::{Duration, Instant};

use jtest::inventory::{HostKeyPolicy, Node, NodeName, Secret, SshArgs};
use jtest::remote::{ConnectOptions, Host, RemoteError, Script, connect};

use crate::lab::Lab;

/// Set for the copy of the test that runs in the lab's control namespace.
const INSIDE: &str = "JTEST_TEST_INSIDE";
const ADDRESS: &str = "10.77.0.15";
const HOST: u8 = 5;
const PASSWORD: &str = r#"p'a"s$s \w`é"#;

/// Makes the users, then runs the test named `name` again where the hosts can be reached.
fn outside(name: &str) {
    let lab = Lab::hold();
    let users = Users::make(&lab);
    let variable = format!("{INSIDE}=1");
    let test = std::env::current_exe().unwrap();
    let test = test.to_str().unwrap();
    lab.script(&[
        "exec",
        "env",
        &variable,
        test,
        "--exact",
        name,
        "--include-ignored",
        "--nocapture",
    ]);
    drop(users);
}

struct Users<'a>(&'a Lab);

impl<'a> Users<'a> {
    fn make(lab: &'a Lab) -> Self {
        let quoted = shlex::try_quote(PASSWORD).unwrap();
        lab.on(
            HOST,
            &format!(
                "for u in asked unasked never terminal; do useradd -m -s /bin/sh $u; printf '%s:%s\\n' $u {quoted} | chpasswd; done
                 echo 'asked ALL=(ALL) ALL' >/etc/sudoers.d/jtest-test
                 echo 'unasked ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers.d/jtest-test
                 echo 'terminal ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers.d/jtest-test
                 echo 'Defaults:terminal requiretty' >>/etc/sudoers.d/jtest-test
                 chmod 440 /etc/sudoers.d/jtest-test"
            ),
        );
        Self(lab)
    }
}

impl Drop for Users<'_> {
    fn drop(&mut self) {
        self.0.on(
            HOST,
            "rm -f /etc/sudoers.d/jtest-test /etc/ssh/sshd_config.d/jtest-test.conf; systemctl restart ssh
             for u in asked unasked never terminal; do userdel -rf $u 2>/dev/null || :; done",
        );
    }
}

fn node(user: &str, password: &str) -> Node {
    Node {
        name: NodeName("n5".into()),
        address: ADDRESS.into(),
        port: None,
        user: Some(user.into()),
        private_key_file: None,
        password: Some(Secret::new(password)),
        use_sudo: true,
        sudo_password: Some(Secret::new(password)),
        ssh_args: SshArgs::default(),
        peer_address: None,
        disposable: false,
    }
}

async fn login(node: &Node) -> Result<Host, RemoteError> {
    let options = ConnectOptions {
        host_keys: Some(HostKeyPolicy::Off),
        ssh_config: Some("/dev/null".into()),
    };
    connect(node, &options).await
}

fn who() -> Script {
    Script::new("see who it is", "id -u; cat").stdin("  data\\ \n\nmore")
}

async fn is_root(host: &Host) {
    let output = host.run(&who()).await.unwrap();
    assert_eq!(output.text(), "0\n  data\\ \n\nmore");
}

async fn fails(host: &Host, expected: &str) {
    let started = Instant::now();
    let error = host.run(&who()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains(expected), "{expected}: {error}");
    assert!(!error.to_string().contains(PASSWORD));
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
#[ignore = "needs the lab; scripts/test runs it"]
async fn passwords_for_login_and_sudo() {
    if std::env::var_os(INSIDE).is_none() {
        return tokio::task::spawn_blocking(|| outside("login::passwords_for_login_and_sudo"))
            .await
            .unwrap();
    }
    for user in ["asked", "unasked"] {
        let host = login(&node(user, PASSWORD)).await.unwrap();
        is_root(&host).await;
        is_root(&host).await;
        let mut process = host
            .open(&Script::new("talk", "id -u; cat").stdin("a\n"))
            .await
            .unwrap();
        assert_eq!(process.read_line().await.unwrap().as_deref(), Some("0"));
        assert_eq!(process.read_line().await.unwrap().as_deref(), Some("a"));
        process.write(b"b\n").await.unwrap();
        assert_eq!(process.finish().await.unwrap().text(), "b");
        let path = "/root/jtest-test";
        host.put(path, 0o600, b"x\0\n").await.unwrap();
        let stat = Script::new(
            "see the file",
            "stat -c '%U %a' \"$1\"; wc -c <\"$1\"; rm \"$1\"",
        )
        .arg(path);
        assert_eq!(host.run(&stat).await.unwrap().text(), "root 600\n3");
        let user_id = host.run(&who().as_login_user()).await.unwrap();
        assert!(!user_id.text().starts_with("0\n"));
        let children =
            Script::new("sleep as root", "sleep 4321 & wait").deadline(Duration::from_secs(1));
        assert!(matches!(
            host.run(&children).await,
            Err(RemoteError::Deadline { .. })
        ));
        let left = host
            .run(&Script::new("look", "pgrep -fx 'sleep 4321' || echo none"))
            .await
            .unwrap();
        assert_eq!(left.text(), "none");
    }
    let admin = login(&node("unasked", PASSWORD)).await.unwrap();
    let begun = admin
        .run(&Script::new("see the time", "date +%s"))
        .await
        .unwrap()
        .text();
    let mut wrong = node("asked", PASSWORD);
    wrong.sudo_password = Some(Secret::new("wrong"));
    let host = login(&wrong).await.unwrap();
    fails(&host, "sudo refuses the password of asked").await;
    // The brackets keep the log of this very command from counting.
    let counted = "journalctl -q --since \"@$1\" _COMM=sudo | grep -c ' asked : [1] incorrect password attempt' || :";
    let attempts = admin
        .run(&Script::new("count attempts", counted).arg(begun))
        .await
        .unwrap();
    assert_eq!(
        attempts.text(),
        "1",
        "it is tried once, lest the account be locked"
    );

    let mut without = node("asked", PASSWORD);
    without.sudo_password = None;
    fails(&login(&without).await.unwrap(), "ansible_become_password").await;
    fails(
        &login(&node("never", PASSWORD)).await.unwrap(),
        "may not use sudo",
    )
    .await;
    fails(
        &login(&node("terminal", PASSWORD)).await.unwrap(),
        "requiretty",
    )
    .await;
    let mut plain = node("unasked", PASSWORD);
    plain.use_sudo = false;
    fails(&login(&plain).await.unwrap(), "ansible_become: true").await;

    let error = login(&node("asked", "wrong")).await.unwrap_err();
    assert!(matches!(error, RemoteError::Login { .. }), "{error}");
    assert!(error.to_string().contains("password: refused"), "{error}");

    let conf = "PasswordAuthentication no\nKbdInteractiveAuthentication yes\n";
    admin
        .put(
            "/etc/ssh/sshd_config.d/jtest-test.conf",
            0o644,
            conf.as_bytes(),
        )
        .await
        .unwrap();
    admin
        .run(&Script::new("restart sshd", "systemctl restart ssh"))
        .await
        .unwrap();
    is_root(&login(&node("asked", PASSWORD)).await.unwrap()).await;
    let error = login(&node("asked", "wrong")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("keyboard-interactive with the password: refused"),
        "{error}"
    );
}
