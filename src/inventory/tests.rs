use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A world of a test: environment, and keys by path; all other files are missing.
#[derive(Default)]
struct World {
    env: HashMap<&'static str, &'static str>,
    keys: HashMap<&'static str, KeyFile>,
}

impl World {
    fn usual() -> Self {
        Self {
            env: HashMap::from([
                ("LAB_PASSWORD", "s3cret-pw"),
                ("EMPTY", ""),
                ("LAB_HOST", "10.9.9.9"),
            ]),
            keys: HashMap::from([
                ("/home/me/.ssh/lab", KeyFile::Fine),
                ("inv/keys/lab", KeyFile::Fine),
                ("/keys/open", KeyFile::OpenToOthers(0o100_644)),
                ("/keys", KeyFile::NotAFile),
                ("/keys/root", KeyFile::Unreadable),
            ]),
        }
    }
}

impl Surroundings for World {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|value| (*value).to_owned())
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/me".into())
    }

    fn key_file(&self, path: &Path) -> KeyFile {
        let path = path.to_str().unwrap();
        self.keys.get(path).copied().unwrap_or(KeyFile::Missing)
    }
}

fn parsed(text: &str) -> Result<(Inventory, Diagnostics), Diagnostics> {
    parse(Path::new("inv/lab.yaml"), text, &World::usual())
}

/// Three hosts, the variables given for all.
fn with_vars(vars: &str) -> String {
    let vars: String = vars.lines().map(|line| format!("    {line}\n")).collect();
    format!("all:\n  hosts:\n    n[1:3]:\n  vars:\n    foreign: 1\n{vars}")
}

fn first(vars: &str) -> Node {
    match parsed(&with_vars(vars)) {
        Ok((inventory, _)) => inventory.nodes[0].clone(),
        Err(told) => panic!("{vars}\n{told}"),
    }
}

const LAB: &str = "\
all:
  vars:
    ansible_user: jtest
    ansible_ssh_private_key_file: keys/lab
    ansible_become: yes
    ansible_become_password: \"{{ lookup('env', 'LAB_PASSWORD') }}\"
    ansible_ssh_common_args: -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=known_hosts -J jump@10.0.0.1
    ansible_python_interpreter: /usr/bin/python3
    jtest_disposable: true
    jtest_control_netns: jtest-lab
    packages: [a, {b: c}]
  children:
    brokers:
      hosts:
        n1: {ansible_host: 10.77.0.11}
        n2: {ansible_host: 10.77.0.12, jtest_peer_address: 10.78.0.12}
        n3:
          ansible_host: 10.77.0.13
          ansible_port: 2222
          ansible_user: root
          ansible_become: false
        n4:
        n5:
";

#[test]
fn a_whole_inventory() {
    let (inventory, warnings) = parsed(LAB).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(inventory.file, Path::new("inv/lab.yaml"));
    assert_eq!(inventory.control_netns.as_deref(), Some("jtest-lab"));
    let names: Vec<_> = inventory
        .nodes
        .iter()
        .map(|node| node.name.0.as_str())
        .collect();
    assert_eq!(names, ["n1", "n2", "n3", "n4", "n5"]);
    let n1 = Node {
        name: NodeName("n1".into()),
        address: "10.77.0.11".into(),
        port: None,
        user: Some("jtest".into()),
        private_key_file: Some("inv/keys/lab".into()),
        password: None,
        use_sudo: true,
        sudo_password: Some(Secret::new("s3cret-pw")),
        ssh_args: SshArgs {
            proxy_jump: Some("jump@10.0.0.1".into()),
            user_known_hosts_files: vec!["inv/known_hosts".into()],
            host_keys: Some(HostKeyPolicy::AcceptNew),
        },
        peer_address: None,
        disposable: true,
    };
    assert_eq!(inventory.nodes[0], n1);
    assert_eq!(inventory.nodes[1].peer_address(), "10.78.0.12");
    let n3 = &inventory.nodes[2];
    assert_eq!(
        (n3.port, n3.user.as_deref(), n3.use_sudo),
        (Some(2222), Some("root"), false)
    );
    assert_eq!(inventory.nodes[3].address, "n4");
    assert!(!format!("{inventory:?}").contains("s3cret"));
}

/// The inventories that come with jtest, on a machine where every key is as it should be.
#[test]
fn the_sample_inventories_are_right() {
    struct Good;
    impl Surroundings for Good {
        fn env(&self, _: &str) -> Option<String> {
            None
        }
        fn home(&self) -> Option<PathBuf> {
            Some("/home/me".into())
        }
        fn key_file(&self, _: &Path) -> KeyFile {
            KeyFile::Fine
        }
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (inventory, warnings) = parse(&path, &text, &Good).unwrap();
        assert!(warnings.is_empty(), "{warnings}");
        assert_eq!(inventory.nodes.len(), 5, "{}", path.display());
        assert!(
            inventory
                .nodes
                .iter()
                .all(|node| node.disposable && node.use_sudo)
        );
    }
}

#[test]
fn variables_in_all_their_forms() {
    for name in [
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
    ] {
        let node = first(&format!("{name}: 'x: y'"));
        assert_eq!(node.password, Some(Secret::new("x: y")), "{name}");
    }
    for name in ["ansible_become_password", "ansible_become_pass"] {
        let node = first(&format!("{name}: 12345"));
        assert_eq!(node.sudo_password, Some(Secret::new("12345")), "{name}");
    }
    for word in ["yes", "true", "True", "on", "'yes'"] {
        assert!(first(&format!("ansible_become: {word}")).use_sudo, "{word}");
    }
    let node = first("ansible_private_key_file: '{{ inventory_dir }}/keys/lab'");
    assert_eq!(node.private_key_file, Some("inv/keys/lab".into()));
    for key in ["~/.ssh/lab", "/home/me/.ssh/lab"] {
        let node = first(&format!("ansible_private_key_file: {key}"));
        assert_eq!(
            node.private_key_file,
            Some("/home/me/.ssh/lab".into()),
            "{key}"
        );
    }
    assert_eq!(first("ansible_ssh_user: bob").user.as_deref(), Some("bob"));
    assert_eq!(first("ansible_ssh_port: 2200").port, Some(2200));
    assert_eq!(first("ansible_port:").port, None);
    assert_eq!(
        first("ansible_port: \"{{ lookup('env', 'X') }}\"\nansible_ssh_port: 3").port,
        Some(3)
    );
    assert_eq!(
        first("ansible_host: '{{ inventory_hostname }}.lab'").address,
        "n1.lab"
    );
    first("ansible_connection: ssh\nansible_become_method: sudo\nansible_become_user: root");
    let (v6, _) =
        parsed("all: {hosts: {n1: {ansible_host: 'fe80::1%br0'}, 'n2:2222': , n3: }}").unwrap();
    assert_eq!(v6.nodes[0].address, "fe80::1%br0");
    assert_eq!(v6.nodes[1].port, Some(2222));
}

#[test]
fn warnings_about_the_number_of_nodes() {
    for (nodes, expected) in [
        (1, "at least 3"),
        (2, "at least 3"),
        (3, ""),
        (4, "even"),
        (5, ""),
        (11, "more than 9"),
    ] {
        let (_, warnings) = parsed(&format!("all: {{hosts: {{'n[1:{nodes}]': }}}}")).unwrap();
        assert_eq!(
            warnings.is_empty(),
            expected.is_empty(),
            "{nodes}: {warnings}"
        );
        assert!(
            warnings.to_string().contains(expected),
            "{nodes}: {warnings}"
        );
    }
}

/// Every part must be told; the number of diagnostics must be that of the parts.
fn check_mistakes(text: &str, expected: &[&str]) {
    let told = parsed(text).expect_err(text);
    let shown = told.to_string();
    for part in expected {
        assert!(
            shown.contains(part),
            "{text}\nshould tell {part:?}:\n{shown}"
        );
    }
    assert_eq!(told.0.len(), expected.len(), "{text}\n{shown}");
}

#[test]
fn mistakes_in_variables() {
    for (vars, expected) in [
        ("jtest_disposible: true", "did you mean `jtest_disposable`?"),
        ("jtest_peer_adress: x", "did you mean `jtest_peer_address`?"),
        ("jtest_colour: x", "known are `jtest_peer_address`, "),
        ("jtest_disposable: perhaps", "must be `true` or `false`"),
        ("jtest_control_netns: a/b", "`ip netns`"),
        ("ansible_port: 0", "from 1 to 65535"),
        ("ansible_port: 65536", "from 1 to 65535"),
        ("ansible_port: ssh", "from 1 to 65535"),
        ("ansible_port: 022", "from 1 to 65535"),
        ("ansible_port: [22]", "must be a single value, not a list"),
        ("ansible_user: -x", "name of a user"),
        ("ansible_user: \"a b\"", "name of a user"),
        ("ansible_host: \"-oProxyCommand=x\"", "cannot be"),
        ("ansible_host: 10.0.0.1:22", "`ansible_port`"),
        ("ansible_host: \"[::1]\"", "without brackets"),
        ("ansible_connection: docker", "jtest can only do `ssh`"),
        ("ansible_become_method: su", "jtest can only do `sudo`"),
        ("ansible_become_user: rabbitmq", "jtest can only do `root`"),
        ("ansible_ssh_common_args: -o ProxyCommand=x", "ProxyJump"),
        ("ansible_ssh_extra_args: -vvv", "supported are"),
        (
            "ansible_ssh_private_key_file: keys/none",
            "there is no key file `inv/keys/none`",
        ),
        ("ansible_ssh_private_key_file: /keys/open", "(mode 0644)"),
        ("ansible_ssh_private_key_file: /keys", "is not a file"),
        (
            "ansible_ssh_private_key_file: /keys/root",
            "may not be read",
        ),
        (
            "ansible_ssh_private_key_file: ~bob/key",
            "home of another user",
        ),
        ("ansible_ssh_private_key_file: ''", "path is empty"),
        (
            "ansible_password: \"{{ lookup('env', 'UNSET_PW') }}\"",
            "`UNSET_PW` is not set",
        ),
        (
            "ansible_password: \"{{ lookup('env', 'EMPTY') }}\"",
            "`EMPTY` is empty",
        ),
        (
            "ansible_password: \"{{ vault_password }}\"",
            "more of Jinja",
        ),
        ("ansible_password: ''", "is empty"),
        ("ansible_password: |\n  two\n  lines", "line break"),
        (
            "ansible_password: !vault |\n  $ANSIBLE_VAULT",
            "lookup('env', 'NAME')",
        ),
        ("ansible_group_priority: high", "whole number"),
    ] {
        check_mistakes(&with_vars(vars), &[expected]);
    }
}

#[test]
fn values_from_the_environment_are_not_shown() {
    for (variable, expected) in [
        ("ansible_port", "not `$LAB_PASSWORD`"),
        ("ansible_become", "not `$LAB_PASSWORD`"),
        ("ansible_connection", "is `$LAB_PASSWORD`"),
        (
            "ansible_private_key_file",
            "no key file `inv/$LAB_PASSWORD`",
        ),
        ("ansible_ssh_common_args", "`$LAB_PASSWORD` is no option"),
        ("ansible_host", "the same address"),
    ] {
        let text = with_vars(&format!(
            "{variable}: \"{{{{ lookup('env', 'LAB_PASSWORD') }}}}\""
        ));
        let told = parsed(&text).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("s3cret-pw"), "{told}");
    }
}

#[test]
fn mistakes_in_structure() {
    for (text, expected) in [
        ("", &["names no hosts"][..]),
        ("all:\n", &["names no hosts"]),
        ("all: {hosts: }", &["names no hosts"]),
        ("- n1\n- n2\n", &["a mapping of groups, not a list"]),
        ("hello", &["a mapping of groups, not a plain value"]),
        ("all: [n1]", &["the group `all` must be a mapping"]),
        ("all: {hosts: [n1, n2, n3]}", &["without a dash"]),
        (
            "all: {hosts: {n1: 10.0.0.1, n2: , n3: }}",
            &["`ansible_host: 192.0.2.1`"],
        ),
        ("all: {host: {n1: }}", &["did you mean `hosts`?"]),
        (
            "all: {n1: {ansible_host: x}}",
            &["hosts belong under `hosts:`"],
        ),
        (
            "all: {ansible_user: x}",
            &["variables belong under `vars:`"],
        ),
        ("all: {vars: [x], hosts: {'n[1:3]': }}", &["`name: value`"]),
        ("all: {hosts: {'n[1:': }}", &["not closed by `]`"]),
        ("all: {hosts: {'n[1:9999]': }}", &["more than 200 hosts"]),
        (
            "all: {hosts: {n1.lab.example: , n2: , n3: }}",
            &["before the first dot"],
        ),
        (
            "all: {hosts: {10.0.0.1: , n2: , n3: }}",
            &["put the address into `ansible_host`"],
        ),
        (
            "all: {hosts: {n_1: , n2: , n3: }}",
            &["letters, digits and hyphens"],
        ),
        (
            "all: {hosts: {localhost: , n2: , n3: }}",
            &["short host name"],
        ),
        ("all: {hosts: {'11': , n2: , n3: }}", &["short host name"]),
        ("all: {hosts: {'': , n2: , n3: }}", &["short host name"]),
        (
            "all: {hosts: {n1: , N1: {ansible_host: x}, n3: }}",
            &["the same host name"],
        ),
        (
            "all: {hosts: {n1: , n2: {ansible_host: N1}, n3: }}",
            &["give each host an `ansible_host`"],
        ),
        (
            "all: {hosts: {n1: {ansible_host: 10.0.0.1}, n2: {ansible_host: '::ffff:10.0.0.1'}, n3: }}",
            &["`n2` has the same address as `n1` (line 1)"],
        ),
        (
            "all: {vars: {ansible_host: 127.0.0.1}, hosts: {'n1:1': , 'n2:2': , n3: {jtest_peer_address: x}}}",
            &["`n2` has the same peer address as `n1`"],
        ),
        (
            "all: {hosts: {n1: {jtest_control_netns: a}, n2: {jtest_control_netns: b}, n3: }}",
            &[
                "`n2` has another control namespace, unlike `n1`",
                "`n3` has no control namespace",
            ],
        ),
        ("[nodes]\nn1 ansible_host=10.0.0.1\n", &["INI form"]),
        ("# x\n\n[all:vars]\n", &["INI form"]),
        ("\u{7f}ELF\u{2}\u{1}\0\0", &["U+007F"]),
    ] {
        check_mistakes(text, expected);
    }
}

#[test]
fn rendered() {
    let cases = [
        (
            "everything_at_once",
            "all:\n  hosts:\n    n1: {ansible_host: 10.0.0.1}\n    n2: {ansible_host: 10.0.0.1}\n    n1:\n    \
             n3.lab:\n      ansible_port: 99999\n      jtest_disposible: yes\n      \
             ansible_ssh_private_key_file: ~/.ssh/none\n  vars:\n    \
             ansible_password: \"{{ lookup('env', 'NOPE') }}\"\n",
        ),
        ("tabs", "all:\n\thosts:\n\t\tn1:\n"),
        ("not_yaml", "all:\n  hosts: n1: n2\n"),
        ("unclosed", "all:\n  hosts: {n1: {ansible_host: 10.0.0.1}\n"),
        (
            "unquoted_template",
            "all:\n  hosts:\n    n1:\n      ansible_user: {{ me }}\n",
        ),
        (
            "bad_password_is_masked",
            "all:\n  hosts:\n    n[1:3]: {ansible_password: [hunter2], ansible_port: x}\n",
        ),
        (
            "syntax_beside_a_password",
            "all:\n  vars:\n    ansible_password: \"hunter2\n  hosts:\n",
        ),
        (
            "anchored_password",
            "pw:\n  vars:\n    jtest_x: &pw \"hunter2\\n\"\n  hosts:\n    n[1:3]: {ansible_password: *pw}\n    n_4: {ansible_password: *pw}\n",
        ),
        ("no_hosts", "all:\n  vars:\n    ansible_user: jtest\n"),
        (
            "open_key",
            "all:\n  hosts:\n    n[1:3]:\n  vars:\n    ansible_ssh_private_key_file: /keys/open\n",
        ),
        (
            "two_nodes",
            "all:\n  hosts:\n    n[1:2]: {ansible_port: 70000}\n",
        ),
        (
            "escape_sequences",
            "all:\n  hosts:\n    \"n\\e]2;x\\u202e\": {ansible_port: \"\\e]0;x\\a\"}\n    n2:\n    n3:\n",
        ),
        (
            "bomb",
            "a: &a [x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                  e: [*d,*d,*d,*d,*d,*d,*d]\n",
        ),
    ];
    for (name, text) in cases {
        let told = parsed(text).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
        assert!(
            !told.chars().any(|c| c != '\n' && c.is_control()),
            "{told:?}"
        );
        insta::assert_snapshot!(name, told);
    }
}

/// Whatever the text, there is no panic, and a refusal has a reason.
fn survives(text: &str) -> Result<(), TestCaseError> {
    match parsed(text) {
        Ok((inventory, _)) => prop_assert!(!inventory.nodes.is_empty()),
        Err(told) => {
            prop_assert!(
                told.0
                    .iter()
                    .any(|one| one.severity == crate::diagnostic::Severity::Error)
            );
            prop_assert!(!told.to_string().contains("s3cret-pw"));
        }
    }
    Ok(())
}

/// Lines as inventories have them, and as they should not.
fn line() -> impl Strategy<Value = String> {
    let words = [
        "all:",
        "hosts:",
        "vars:",
        "children:",
        "n1:",
        "n2:",
        "n[1:5]:",
        "n[a:c:2]:22:",
        "web:",
        "'n3':",
        "<<: *a",
        "&a",
        "*a",
        "x: &a",
        "- n1",
        "? {a: b}",
        "ansible_host: 10.0.0.1",
        "ansible_port: 22",
        "ansible_port: {{ x }}",
        "ansible_user: !vault |",
        "ansible_password: \"{{ lookup('env', 'LAB_PASSWORD') }}\"",
        "ansible_become: yes",
        "ansible_ssh_common_args: -J x -o 'A=b",
        "ansible_ssh_private_key_file: ~/.ssh/lab",
        "jtest_disposable: no",
        "jtest_control_netns: a",
        "jtest_x: 1",
        "ansible_group_priority: 9",
        "{hosts: {n1: {}, n2: }}",
        "[a, b",
        "# c",
        "---",
        "\t",
    ];
    (0usize..6, proptest::sample::select(words.to_vec()))
        .prop_map(|(indent, word)| format!("{}{word}\n", "  ".repeat(indent)))
}

proptest! {
    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survives(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn random_inventories(lines in proptest::collection::vec(line(), 0..25)) {
        survives(&lines.concat())?;
    }

    #[test]
    fn mutated_inventories(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..4, "\\PC{0,3}|[:\n{}\\[\\]&*|'\" \t]{1,3}"), 1..8)
    ) {
        let mut text: Vec<char> = LAB.chars().collect();
        for (at, remove, insert) in edits {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        survives(&text.into_iter().collect::<String>())?;
    }
}
