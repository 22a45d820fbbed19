//! A script becomes one command line for the login shell of a host.
//!
//! The line has the form
//!
//! ```text
//! env LC_ALL=C.UTF-8 sudo -n -- timeout -k 5 30 sh -c 'set -eu ...' jtest 'arg 1' ...
//! ```
//!
//! `timeout` stands inside `sudo`, so that it may kill what root started. The locale is fixed
//! because the output of tools is read, sudo's own complaints among it. With a sudo password
//! the script says a nonce on its standard output once it runs; only then is it sent its
//! input, so that the password never mixes with it, whether sudo asked for it or not.

use std::time::Duration;

use super::Script;

/// After which `timeout` follows its SIGTERM with a SIGKILL.
pub(super) const KILL_AFTER: Duration = Duration::from_secs(5);

/// Linux takes no longer single argument (`MAX_ARG_STRLEN`, its NUL included), and the whole
/// line is one argument of the login shell.
const LINE_BYTES_MAX: usize = 128 * 1024 - 1;

/// How root is become on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Become {
    /// The script runs as who logged in.
    LoginUser,
    /// By sudo without a password.
    Sudo,
    /// By sudo with a password; the nonce tells the password from the script's input.
    SudoPassword(u64),
}

/// Quotes a text as one word of a POSIX shell.
pub(super) fn quote(text: &str) -> Result<String, String> {
    match shlex::try_quote(text) {
        Ok(quoted) => Ok(quoted.into_owned()),
        Err(_) => Err("it holds a NUL character, which no argument can".into()),
    }
}

/// The line that a script says when it runs and wants no more of the password.
pub(super) fn acknowledgement(nonce: u64) -> String {
    format!("jtest-{nonce:016x}")
}

/// The command line that runs `script`, or why there is none.
pub(super) fn command_line(script: &Script, by: Become) -> Result<String, String> {
    let sudo = match by {
        Become::LoginUser => "",
        Become::Sudo => "sudo -n -- ",
        Become::SudoPassword(_) => "sudo -S -p '' -- ",
    };
    let deadline = script.deadline.as_secs_f64().max(0.001);
    let body = quote(&body(script, by))?;
    let mut line = format!(
        "env LC_ALL=C.UTF-8 {sudo}timeout -k {} {deadline:.3} sh -c {body} jtest",
        KILL_AFTER.as_secs()
    );
    for arg in &script.args {
        line.push(' ');
        line.push_str(&quote(arg)?);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(format!(
            "the script and its arguments take {} bytes, a host takes {LINE_BYTES_MAX}; \
             send data through its standard input",
            line.len()
        ));
    }
    Ok(line)
}

/// The login user's path lacks sbin on Debian.
fn body(script: &Script, by: Become) -> String {
    let handshake = match by {
        Become::LoginUser | Become::Sudo => String::new(),
        Become::SudoPassword(nonce) => {
            let word = acknowledgement(nonce);
            format!(
                "echo {word}\nwhile IFS= read -r line; do [ \"$line\" != {word} ] || break; done\n"
            )
        }
    };
    format!(
        "set -eu\n{handshake}PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n{}",
        script.text
    )
}
