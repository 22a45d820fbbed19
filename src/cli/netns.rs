//! The control namespace: the local lab's hosts are reachable only from inside it.
//!
//! An inventory names it (`jtest_control_netns`). jtest, finding itself outside, runs itself
//! again inside before it has sent a single packet.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::cli::input::UsageError;

/// Set for the process inside, so that a namespace that cannot be recognized is not
/// entered over and over.
const ENTERED: &str = "JTEST_ENTERED_NETNS";

/// Returns when this process is inside `namespace`; otherwise replaces it by one that is.
pub fn enter(namespace: &str) -> Result<(), UsageError> {
    let path = Path::new("/run/netns").join(namespace);
    if is_inside(&path).map_err(|error| missing(namespace, &error))? {
        return Ok(());
    }
    if std::env::var_os(ENTERED).is_some() {
        return Err(UsageError(format!(
            "entered the network namespace {namespace}, but am not in it"
        )));
    }
    if !is_root()? {
        return Err(UsageError(format!(
            "the inventory's hosts are in the network namespace {namespace}, which only root may enter; run jtest as root: sudo jtest ..."
        )));
    }
    let program = std::env::current_exe().map_err(|error| {
        UsageError(format!(
            "cannot find my own program to run it again: {error}"
        ))
    })?;
    let error = Command::new("ip")
        .args(["netns", "exec", namespace])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, namespace)
        .exec();
    Err(UsageError(format!(
        "cannot run `ip netns exec {namespace}`: {error}; it takes iproute2 (apt-get install iproute2)"
    )))
}

/// Whether the effective user is root, as the kernel tells it.
fn is_root() -> Result<bool, UsageError> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| UsageError(format!("cannot see which user I am: {error}")))?;
    Ok(effective_user(&status) == Some("0"))
}

/// `Uid:` has the real, the effective, the saved and the file system's user.
fn effective_user(status: &str) -> Option<&str> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)
}

/// A namespace is known by its inode, under whichever name.
fn is_inside(path: &Path) -> io::Result<bool> {
    let wanted = std::fs::metadata(path)?;
    let own = std::fs::metadata("/proc/self/ns/net")?;
    Ok((wanted.dev(), wanted.ino()) == (own.dev(), own.ino()))
}

fn missing(namespace: &str, error: &io::Error) -> UsageError {
    if error.kind() == io::ErrorKind::NotFound {
        UsageError(format!(
            "the inventory's control namespace {namespace} does not exist; make the local lab with `scripts/lab up`"
        ))
    } else {
        UsageError(format!(
            "cannot look at the control namespace {namespace}: {error}; run jtest as root"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_namespace_is_named_with_its_remedy() {
        let error = enter("jtest-no-such-lab").unwrap_err().to_string();
        assert!(error.contains("jtest-no-such-lab"), "{error}");
        assert!(error.contains("scripts/lab up"), "{error}");
    }

    #[test]
    fn the_effective_user_is_the_one_that_counts() {
        let status = "Name:\tjtest\nUid:\t1000\t0\t1000\t1000\nGid:\t7\t7\t7\t7\n";
        assert_eq!(effective_user(status), Some("0"));
        assert_eq!(effective_user("Name:\tjtest\n"), None);
        assert!(is_root().is_ok());
    }

    #[test]
    fn the_own_namespace_is_recognized() {
        assert!(is_inside(Path::new("/proc/self/ns/net")).unwrap());
    }
}
