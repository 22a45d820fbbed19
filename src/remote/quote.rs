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
    let words: Result<Vec<String>, String> =
        words(script, by).iter().map(|word| quote(word)).collect();
    let line = format!("env LC_ALL=C.UTF-8 {sudo}{}", words?.join(" "));
    if line.len() > LINE_BYTES_MAX {
        return Err(format!(
            "the script and its arguments take {} bytes, a host takes {LINE_BYTES_MAX}; \
             send data through its standard input",
            line.len()
        ));
    }
    Ok(line)
}

/// The words of the command that runs `script` once its rights are there.
pub(super) fn words(script: &Script, by: Become) -> Vec<String> {
    let deadline = script.deadline.as_secs_f64().max(0.001);
    let kill_after = KILL_AFTER.as_secs();
    let mut words = vec!["timeout".to_owned(), "-k".to_owned()];
    words.extend([kill_after.to_string(), format!("{deadline:.3}")]);
    words.extend(["sh".to_owned(), "-c".to_owned(), body(script, by)]);
    words.push("jtest".to_owned());
    words.extend(script.args.iter().cloned());
    words
}

/// The login user's path lacks sbin on Debian. If the input ends before the nonce, `set -e`
/// ends the script: this side has given up on it.
fn body(script: &Script, by: Become) -> String {
    let handshake = match by {
        Become::LoginUser | Become::Sudo => String::new(),
        Become::SudoPassword(nonce) => {
            let word = acknowledgement(nonce);
            format!("echo {word}\nuntil [ \"${{line-}}\" = {word} ]; do IFS= read -r line; done\n")
        }
    };
    format!(
        "set -eu\n{handshake}PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n{}",
        script.text
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn run(line: &str) -> Vec<u8> {
        let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        output.stdout
    }

    fn echoed(args: &[String]) -> Vec<String> {
        let script = Script::new("echo", "printf '%s\\0' \"$0\" \"$@\"").args(args);
        let stdout = run(&command_line(&script, Become::LoginUser).unwrap());
        let words = stdout.strip_suffix(b"\0").unwrap().split(|&b| b == 0);
        words
            .map(|word| String::from_utf8(word.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn hostile_arguments_arrive_as_they_are() {
        let args = [
            "",
            " ",
            "'",
            "\"",
            "\\",
            "\\'",
            "'\\''",
            "$(touch /tmp/x)",
            "`id`",
            "$HOME",
            "a\nb",
            "\n",
            "\t",
            "!",
            "!!",
            "*",
            "~",
            "-n",
            "--",
            "#",
            "a;b&c|d>e<f",
            "é 漢字 🐇",
            "\u{1b}[31m",
            "%s%n",
            "${IFS}",
            "^a^b",
        ]
        .map(str::to_owned);
        let mut expected = vec!["jtest".to_owned()];
        expected.extend_from_slice(&args);
        assert_eq!(echoed(&args), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_argument_arrives_as_it_is(arg in "[^\\x00]{0,40}") {
            prop_assert_eq!(echoed(std::slice::from_ref(&arg)), ["jtest".to_owned(), arg]);
        }
    }

    #[test]
    fn the_script_itself_may_hold_anything() {
        let text = "cat <<'END'\nit's \"$HOME\" `id` \\\nEND\n";
        let line = command_line(&Script::new("x", text), Become::LoginUser).unwrap();
        assert_eq!(run(&line), b"it's \"$HOME\" `id` \\\n");
    }

    #[test]
    fn nul_and_excess_are_refused() {
        let nul = Script::new("x", "true").arg("a\0b");
        assert!(
            command_line(&nul, Become::Sudo)
                .unwrap_err()
                .contains("NUL")
        );
        let long = Script::new("x", "true").arg("a".repeat(LINE_BYTES_MAX));
        assert!(
            command_line(&long, Become::Sudo)
                .unwrap_err()
                .contains("standard input")
        );
        let longest = Script::new("x", "true").arg("a".repeat(LINE_BYTES_MAX - 200));
        run(&command_line(&longest, Become::LoginUser).unwrap());
    }

    #[test]
    fn command_lines() {
        let script = Script::new("x", "echo \"$1\"")
            .arg("it's")
            .deadline(Duration::from_millis(2500));
        let line = |by| command_line(&script, by).unwrap();
        let all = [
            line(Become::LoginUser),
            line(Become::Sudo),
            line(Become::SudoPassword(0xabc)),
        ];
        insta::assert_snapshot!(all.join("\n\n"));
    }

    #[test]
    fn a_deadline_of_nothing_is_not_no_deadline() {
        let line = command_line(
            &Script::new("x", "true").deadline(Duration::ZERO),
            Become::Sudo,
        );
        assert!(line.unwrap().contains("timeout -k 5 0.001 "));
    }

    #[test]
    fn without_the_nonce_it_does_not_run() {
        let line = command_line(&Script::new("x", "echo ran"), Become::SudoPassword(7)).unwrap();
        let (_, inner) = line.split_once("-- ").unwrap();
        let output = Command::new("sh")
            .args(["-c", &format!("echo secret | {inner}")])
            .output()
            .unwrap();
        assert!(
            !output.status.success() && !output.stdout.ends_with(b"ran\n"),
            "{output:?}"
        );
    }

    #[test]
    fn the_password_is_told_from_the_input_whether_asked_for_or_not() {
        use std::io::Write;
        use std::process::Stdio;
        let script = Script::new("x", "cat");
        let line = command_line(&script, Become::SudoPassword(7)).unwrap();
        let (_, inner) = line.split_once("-- ").unwrap();
        let word = acknowledgement(7);
        for before in ["secret\n", ""] {
            let mut child = Command::new("sh")
                .args(["-c", inner])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = format!("{before}{word}\ndata\\ \n  more");
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                format!("{word}\ndata\\ \n  more")
            );
        }
    }
}
