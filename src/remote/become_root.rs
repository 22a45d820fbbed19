//! Who runs a script, and what sudo says when it does not let them.

use super::Script;
use super::quote::Become;
use crate::inventory::Secret;

/// How root is become: what is known beforehand of the login user and sudo.
#[derive(Debug, Clone)]
pub(super) struct Privilege {
    pub(super) user: String,
    pub(super) use_sudo: bool,
    pub(super) password: Option<Secret>,
}

impl Privilege {
    /// How this script gets the rights it asks for.
    pub(super) fn for_script(&self, script: &Script) -> Result<Become, String> {
        if !script.root || (self.user == "root" && !self.use_sudo) {
            return Ok(Become::LoginUser);
        }
        match (&self.password, self.use_sudo) {
            (_, false) => Err(format!(
                "it needs root, but the login is as {}: set ansible_become: true in the inventory \
                 (or ansible_user: root)",
                self.user
            )),
            (None, true) => Ok(Become::Sudo),
            (Some(_), true) => Ok(Become::SudoPassword(rand::random())),
        }
    }
}

/// What sudo itself (or sudo-rs) complains of, with the remedy.
pub(super) fn sudo_complaint(user: &str, status: u32, stderr: &str) -> Option<String> {
    let says = |text: &str| stderr.contains(text);
    if status == 127 && stderr.starts_with("env:") && says("sudo") {
        return Some(
            "there is no sudo on the host: install it, or log in as root (ansible_user: root, \
             ansible_become: false)"
                .into(),
        );
    }
    if status != 1 {
        return None;
    }
    if says("try again") || says("incorrect password attempt") {
        Some(format!(
            "sudo refuses the password of {user}: check ansible_become_password"
        ))
    } else if says("sudo: a password is required")
        || says("sudo: a terminal is required")
        || says("interactive authentication is required")
    {
        Some(format!(
            "sudo asks {user} for a password: set ansible_become_password, or allow it without \
             one (NOPASSWD in sudoers)"
        ))
    } else if says("is not in the sudoers file")
        || says("may not run sudo")
        || says("is not allowed to execute")
        || says("I'm afraid I can't do that")
    {
        Some(format!(
            "{user} may not use sudo: allow it in sudoers, or log in as another user"
        ))
    } else if says("you must have a tty to run sudo") {
        Some("sudo wants a terminal: remove `requiretty` from sudoers".into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privilege(user: &str, use_sudo: bool, password: bool) -> Privilege {
        Privilege {
            user: user.into(),
            use_sudo,
            password: password.then(|| Secret::new("pw")),
        }
    }

    #[test]
    fn the_way_to_root() {
        let as_root = Script::new("x", "true");
        let as_user = Script::new("x", "true").as_login_user();
        let by = |user, use_sudo, password, script: &Script| {
            privilege(user, use_sudo, password).for_script(script)
        };
        assert_eq!(by("me", true, false, &as_root), Ok(Become::Sudo));
        assert!(matches!(
            by("me", true, true, &as_root),
            Ok(Become::SudoPassword(_))
        ));
        assert_eq!(by("root", false, false, &as_root), Ok(Become::LoginUser));
        assert_eq!(by("root", true, false, &as_root), Ok(Become::Sudo));
        assert_eq!(by("me", true, true, &as_user), Ok(Become::LoginUser));
        let error = by("me", false, true, &as_root).unwrap_err();
        assert!(error.contains("ansible_become: true"), "{error}");
    }

    #[test]
    fn complaints_tell_the_remedy() {
        let check = |status, stderr: &str, expected: Option<&str>| {
            let complaint = sudo_complaint("me", status, stderr);
            match (&complaint, expected) {
                (None, None) => {}
                (Some(text), Some(part)) => assert!(text.contains(part), "{text}"),
                _ => panic!("{stderr}: {complaint:?}"),
            }
        };
        check(
            1,
            "sudo: a password is required",
            Some("ansible_become_password"),
        );
        check(
            1,
            "Sorry, try again.\nsudo: no password was provided",
            Some("refuses the password"),
        );
        check(
            1,
            "sudo: 1 incorrect password attempt",
            Some("refuses the password"),
        );
        check(
            1,
            "me is not in the sudoers file.",
            Some("may not use sudo"),
        );
        check(
            1,
            "Sorry, user me may not run sudo on n1.",
            Some("may not use sudo"),
        );
        check(
            1,
            "sudo: sorry, you must have a tty to run sudo",
            Some("requiretty"),
        );
        check(
            127,
            "env: \u{2018}sudo\u{2019}: No such file or directory",
            Some("install it"),
        );
        check(
            1,
            "sudo: interactive authentication is required",
            Some("ansible_become_password"),
        );
        check(
            1,
            "sudo: I'm sorry me. I'm afraid I can't do that",
            Some("may not use sudo"),
        );
        check(1, "some tool failed", None);
        check(2, "sudo: a password is required", None);
        check(127, "sh: 1: foo: not found", None);
    }
}
