//! The Debian package, on a host that has nothing but Debian.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, finish};

/// Makes the package of the binary under test; nothing where cargo-deb is not installed, which takes
/// minutes to build.
fn package(lab: &Lab) -> Option<PathBuf> {
    let has_cargo_deb = Command::new("cargo").args(["deb", "--version"]).output();
    if !has_cargo_deb.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let output = lab.directory().join("package");
    let mut make = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package"));
    make.args(["--binary", env!("CARGO_BIN_EXE_jtest"), "--output"])
        .arg(&output);
    // Small is not what is tested.
    make.args(["--", "--fast"]);
    let (code, printed) = finish(lab, make);
    assert_eq!(code, Some(0), "{printed}");
    let mut packages = std::fs::read_dir(&output)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let package = packages.next().unwrap();
    assert_eq!(package.extension().unwrap(), "deb", "{}", package.display());
    assert_eq!(packages.next(), None);
    Some(package)
}

#[test]
#[ignore = "needs the local lab; scripts/test runs it"]
fn a_bare_host_takes_the_package_and_runs_what_is_in_it() {
    let lab = Lab::hold();
    let Some(package) = package(&lab) else {
        eprintln!(
            "SKIPPED: cargo-deb is not installed, so the package was not tried; get it with: cargo install --locked cargo-deb"
        );
        return;
    };
    let mut send = lab.lab_command(&["ssh", "5", "cat >/tmp/jtest.deb"]);
    assert!(
        send.stdin(File::open(&package).unwrap())
            .status()
            .unwrap()
            .success()
    );

    // The lab's hosts leave out all that is documentation.
    let contents = Command::new("dpkg-deb")
        .arg("--contents")
        .arg(&package)
        .output()
        .unwrap();
    let contents = String::from_utf8(contents.stdout).unwrap();
    for file in [
        "doc/jtest/docs/guides/first-run.md",
        "doc/jtest/inventory/lab.yaml",
        "doc/jtest/copyright",
        "man/man1/jtest-run.1.gz",
        "bash-completion/completions/jtest",
        "zsh/vendor-completions/_jtest",
        "fish/vendor_completions.d/jtest.fish",
    ] {
        assert!(
            contents.contains(&format!(" ./usr/share/{file}\n")),
            "{contents}"
        );
    }

    lab.on(5, "dpkg --install /tmp/jtest.deb >&2");
    let told = lab.on(
        5,
        "jtest --version; jtest scenarios | grep -c '^partitions '",
    );
    assert_eq!(told, format!("jtest {}\n1\n", env!("CARGO_PKG_VERSION")));
    lab.on(5, "dpkg --purge jtest >&2; rm /tmp/jtest.deb");
    let left = lab.on(5, "ls /usr/bin/jtest 2>/dev/null || true");
    assert_eq!(left, "");
}
