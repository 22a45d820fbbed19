//! The Vagrantfile and `inventory/lab.yaml`: each is right, and they fit each other.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use jtest::inventory::{self, HostKeyPolicy, KeyFile, Surroundings};

/// A user's surroundings in which nothing is yet but a home directory.
struct Home(PathBuf);

impl Surroundings for Home {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.0.clone())
    }

    fn key_file(&self, path: &Path) -> KeyFile {
        if path.is_file() {
            KeyFile::Fine
        } else {
            KeyFile::Missing
        }
    }
}

#[test]
fn the_vagrantfile_is_valid_and_makes_the_keys_that_the_inventory_names() {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let validated = Command::new("vagrant")
        .args(["validate", "--ignore-provider"])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("VAGRANT_HOME", home.path().join("vagrant"))
        .env("VAGRANT_DOTFILE_PATH", home.path().join("dotfiles"))
        .env("VAGRANT_CWD", root.join("provisioning/vagrant"))
        .env("VAGRANT_CHECKPOINT_DISABLE", "1")
        .output();
    let validated = match validated {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Not by a macro, whose output a test that passes keeps to itself.
            let told = "\nSKIPPED: vagrant is not installed, so the Vagrantfile was not checked; get it with: apt-get install vagrant\n";
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return;
        }
        other => other.unwrap(),
    };
    assert!(
        validated.status.success(),
        "{}{}",
        String::from_utf8_lossy(&validated.stdout),
        String::from_utf8_lossy(&validated.stderr)
    );

    let file = root.join("inventory/lab.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let (inventory, warnings) = inventory::parse(&file, &text, &Home(home.path().into())).unwrap();
    assert_eq!(warnings.to_string(), "");
    assert_eq!(inventory.control_netns, None);
    let [known_hosts] = &inventory.nodes[0].ssh_args.user_known_hosts_files[..] else {
        panic!("{:?}", inventory.nodes[0].ssh_args);
    };
    // Who resolves `~` in this option is ssh, or jtest's SSH.
    let known_hosts = home
        .path()
        .join(known_hosts.strip_prefix("~/").unwrap_or(known_hosts));
    let known = fs::read_to_string(known_hosts).unwrap();
    for (number, node) in (1..).zip(&inventory.nodes) {
        assert_eq!(node.name.0, format!("n{number}"));
        assert_eq!(node.address, format!("192.168.56.{}", 10 + number));
        assert_eq!(node.ssh_args.host_keys, Some(HostKeyPolicy::Strict));
        assert!(known.contains(&format!("{} ssh-ed25519 AAAA", node.address)));
        assert!(node.use_sudo && node.disposable);
    }
    assert_eq!(inventory.nodes.len(), 5);
    assert_eq!(known.lines().count(), 5);
}
