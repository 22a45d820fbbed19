//! What is said where, and who is believed.

use super::*;

#[test]
fn jumps() {
    let hop = |user: Option<&str>, host: &str, port| Hop {
        user: user.map(str::to_owned),
        host: host.into(),
        port,
    };
    let check =
        |text: &str, expected: Vec<Hop>| assert_eq!(parse_jumps(text).unwrap(), expected, "{text}");
    check("none", vec![]);
    check("gate", vec![hop(None, "gate", None)]);
    check("me@gate:2222", vec![hop(Some("me"), "gate", Some(2222))]);
    check("ssh://me@gate:22", vec![hop(Some("me"), "gate", Some(22))]);
    check("a@b@gate", vec![hop(Some("a@b"), "gate", None)]);
    check(
        "[fd00::1]:22,fd00::2",
        vec![hop(None, "fd00::1", Some(22)), hop(None, "fd00::2", None)],
    );
    for wrong in [
        "",
        "a,,b",
        "a:b",
        "a:99999",
        "@a",
        "[a",
        "[a]b",
        "a,b,c,d,e",
    ] {
        assert!(parse_jumps(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn odd_names_are_refused() {
    for host in ["", "-oProxyCommand=x", "a b", "a;b", "$(a)", "a\nb", "a'b"] {
        assert!(refuse_odd_names(host, None).is_err(), "{host}");
    }
    for user in ["", "-l", "a b;c", "`a`", "a\0"] {
        assert!(refuse_odd_names("n1", Some(user)).is_err(), "{user}");
    }
    for host in [
        "n1",
        "10.0.0.1",
        "fd00::1%eth0",
        "a_b.example",
        "bücher.example",
    ] {
        assert!(
            refuse_odd_names(host, Some("DOMAIN+user.name@x")).is_ok(),
            "{host}"
        );
    }
}

#[test]
fn what_ssh_says_becomes_a_target() {
    let text = "host n1\nhostname 10.0.0.1\nport 2200\nuser me\nidentityfile /k/%h_%r_%p\n\
                identityfile /k/100%%\nidentitiesonly yes\nidentityagent none\n\
                userknownhostsfile /a /b\nglobalknownhostsfile none\nhostkeyalias Alias\n\
                stricthostkeychecking accept-new\n";
    let target = Answers::parse(text).target("n1", None, None).unwrap();
    assert_eq!(
        (target.hostname.as_str(), target.port, target.user.as_str()),
        ("10.0.0.1", 2200, "me")
    );
    assert_eq!(
        target.identity_files,
        ["/k/10.0.0.1_me_2200", "/k/100%"].map(PathBuf::from)
    );
    assert!(target.identities_only && target.agent.is_none());
    assert_eq!(target.user_known_hosts, ["/a", "/b"].map(PathBuf::from));
    assert!(target.global_known_hosts.is_empty());
    assert_eq!(
        (target.known_as.as_str(), target.host_keys),
        ("alias", HostKeyPolicy::AcceptNew)
    );
    let told = Answers::parse(text)
        .target("n1", Some("you"), Some(22))
        .unwrap();
    assert_eq!((told.user.as_str(), told.port), ("you", 22));
}

#[test]
fn without_ssh_there_are_openssh_s_defaults() {
    let target = Answers::default().target("N1", Some("me"), None).unwrap();
    assert_eq!(
        (
            target.hostname.as_str(),
            target.known_as.as_str(),
            target.port
        ),
        ("N1", "n1", 22)
    );
    assert_eq!(target.host_keys, HostKeyPolicy::Strict);
    let names = |files: &[PathBuf]| -> Vec<String> {
        files
            .iter()
            .map(|f| f.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(
        names(&target.identity_files),
        ["id_ed25519", "id_ecdsa", "id_rsa"]
    );
    assert_eq!(names(&target.user_known_hosts), ["known_hosts"]);
}

#[tokio::test]
async fn the_inventory_goes_before_ssh_config_and_the_command_line_before_both() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(
        &file,
        "Host n1\n HostName 10.9.9.9\n User fromconfig\n Port 2200\n ProxyJump gate\n\
         StrictHostKeyChecking accept-new\n UserKnownHostsFile /from/config\n\
         Host gate\n HostName 10.8.8.8\n User keeper\n",
    )
    .unwrap();
    let mut options = ConnectOptions {
        host_keys: None,
        ssh_config: Some(file),
    };
    let mut node = crate::inventory::Node {
        name: crate::inventory::NodeName("n1".into()),
        address: "n1".into(),
        port: None,
        user: None,
        private_key_file: Some("/inventory/key".into()),
        password: Some(Secret::new("pw")),
        use_sudo: true,
        sudo_password: None,
        ssh_args: crate::inventory::SshArgs::default(),
        peer_address: None,
        disposable: false,
    };
    let by_config = route(&node, &options).await.unwrap();
    let [gate] = by_config.jumps.as_slice() else {
        panic!("{by_config:?}")
    };
    assert_eq!(
        (gate.hostname.as_str(), gate.user.as_str(), gate.port),
        ("10.8.8.8", "keeper", 22)
    );
    assert!(
        gate.password.is_none(),
        "the node's password is the node's alone"
    );
    let target = &by_config.node;
    assert_eq!(
        (target.hostname.as_str(), target.user.as_str(), target.port),
        ("10.9.9.9", "fromconfig", 2200)
    );
    assert_eq!(target.host_keys, HostKeyPolicy::AcceptNew);

    node.user = Some("me".into());
    node.port = Some(22);
    node.ssh_args.proxy_jump = Some("none".into());
    node.ssh_args.user_known_hosts_files = vec!["/from/inventory".into()];
    node.ssh_args.host_keys = Some(HostKeyPolicy::Off);
    let by_inventory = route(&node, &options).await.unwrap();
    assert!(by_inventory.jumps.is_empty());
    let target = &by_inventory.node;
    assert_eq!(
        (target.user.as_str(), target.port, target.host_keys),
        ("me", 22, HostKeyPolicy::Off)
    );
    assert_eq!(target.user_known_hosts, [PathBuf::from("/from/inventory")]);

    options.host_keys = Some(HostKeyPolicy::Strict);
    assert_eq!(
        route(&node, &options).await.unwrap().node.host_keys,
        HostKeyPolicy::Strict
    );
}

#[tokio::test]
async fn a_broken_ssh_config_and_a_proxy_command_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    let options = ConnectOptions {
        host_keys: None,
        ssh_config: Some(file.clone()),
    };
    let ask = |text: &'static str| {
        std::fs::write(&file, text).unwrap();
        ask_ssh("n1", None, None, &options)
    };
    let error = ask("Nonsense yes\n").await.unwrap_err();
    assert!(
        error.contains("mend ssh_config") && error.contains("Nonsense")
            || error.contains("nonsense"),
        "{error}"
    );
    let answers = ask("ProxyCommand nc %h %p\n").await.unwrap();
    assert!(answers.one("proxycommand").is_some());
}
