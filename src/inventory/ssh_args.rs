//! `ansible_ssh_common_args` and its kin: options of the ssh command, as far as jtest has them.

use std::path::PathBuf;

use super::{HostKeyPolicy, SshArgs};
use crate::diagnostic::quoted;

/// Options that only tune the ssh command itself: without meaning here, so passed over.
const TUNING: [&str; 7] = [
    "controlmaster",
    "controlpath",
    "controlpersist",
    "loglevel",
    "serveraliveinterval",
    "serveralivecountmax",
    "compression",
];

const SUPPORTED: &str = "supported are `-J`, `-o ProxyJump=...`, `-o UserKnownHostsFile=...` and \
                         `-o StrictHostKeyChecking=...`; anything else belongs in ~/.ssh/config";

/// What is wrong: message and remedy.
pub(super) type Mistake = (String, String);

/// Reads a command line's options into `args`; `path` resolves what a file name stands for.
pub(super) fn read(
    text: &str,
    args: &mut SshArgs,
    path: &dyn Fn(&str) -> Result<PathBuf, Mistake>,
) -> Result<(), Mistake> {
    let Some(words) = shlex::split(text) else {
        return Err((
            "its quotes do not match".to_owned(),
            "close every quote".to_owned(),
        ));
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, attached) = match word.char_indices().nth(2) {
            Some((end, _)) => word.split_at(end),
            None => (word.as_str(), ""),
        };
        match flag {
            "-C" | "-q" if attached.is_empty() => {}
            "-o" | "-J" => {
                let value = if attached.is_empty() {
                    words.next().unwrap_or_default()
                } else {
                    attached.to_owned()
                };
                match flag {
                    "-J" => args.proxy_jump = proxy_jump(&value)?,
                    _ => option(&value, args, path)?,
                }
            }
            _ => {
                return Err((
                    format!("{} is no option that jtest has", quoted(&word)),
                    SUPPORTED.to_owned(),
                ));
            }
        }
    }
    Ok(())
}

/// `Key=Value`, `Key Value` or `Key="Value"`.
fn option(
    text: &str,
    args: &mut SshArgs,
    path: &dyn Fn(&str) -> Result<PathBuf, Mistake>,
) -> Result<(), Mistake> {
    let (key, value) = text
        .split_once(['=', ' '])
        .map(|(key, value)| (key.trim(), value.trim_start_matches([' ', '=']).trim()))
        .filter(|(_, value)| !value.is_empty())
        .ok_or_else(|| {
            (
                format!("the option {} has no value", quoted(text)),
                "write `-o Name=value`".to_owned(),
            )
        })?;
    match key.to_ascii_lowercase().as_str() {
        "proxyjump" => args.proxy_jump = proxy_jump(unquoted(value))?,
        "userknownhostsfile" => {
            let files = shlex::split(value).unwrap_or_default();
            args.user_known_hosts_files = files
                .iter()
                // ssh reads `none` as "no such file at all".
                .map(|file| path(if file == "none" { "/dev/null" } else { file }))
                .collect::<Result<_, _>>()?;
        }
        "stricthostkeychecking" => args.host_keys = Some(policy(unquoted(value))?),
        "proxycommand" => {
            return Err((
                "`ProxyCommand` is not supported".to_owned(),
                "use `-o ProxyJump=[user@]host[:port]`, which jtest speaks itself".to_owned(),
            ));
        }
        known if TUNING.contains(&known) => {}
        _ => {
            return Err((
                format!("{} is no option that jtest has", quoted(key)),
                SUPPORTED.to_owned(),
            ));
        }
    }
    Ok(())
}

fn unquoted(value: &str) -> &str {
    value.trim_matches('"')
}

fn policy(word: &str) -> Result<HostKeyPolicy, Mistake> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" | "ask" => Ok(HostKeyPolicy::Strict),
        "accept-new" => Ok(HostKeyPolicy::AcceptNew),
        "no" | "false" | "off" => Ok(HostKeyPolicy::Off),
        _ => Err((
            format!("`StrictHostKeyChecking` cannot be {}", quoted(word)),
            "write `yes`, `accept-new` or `no`".to_owned(),
        )),
    }
}

/// `none`, or hops separated by commas.
fn proxy_jump(text: &str) -> Result<Option<String>, Mistake> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let legal = |hop: &str| {
        !hop.is_empty()
            && !hop.starts_with('-')
            && hop
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "@.:-_[]%/".contains(c))
    };
    if text.split(',').all(legal) {
        return Ok(Some(text.to_owned()));
    }
    Err((
        format!("`ProxyJump` cannot be {}", quoted(text)),
        "write `[user@]host[:port]`, several separated by commas".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<SshArgs, String> {
        let mut args = SshArgs::default();
        read(text, &mut args, &|file| Ok(PathBuf::from(file)))
            .map(|()| args)
            .map_err(|(message, remedy)| format!("{message}; {remedy}"))
    }

    #[test]
    fn options() {
        let jump = |hop: &str| SshArgs {
            proxy_jump: Some(hop.to_owned()),
            ..SshArgs::default()
        };
        for (text, expected) in [
            ("", SshArgs::default()),
            ("-J jump", jump("jump")),
            ("-Ja@b:2222,c", jump("a@b:2222,c")),
            ("-o ProxyJump=jump", jump("jump")),
            ("-oProxyJump=jump", jump("jump")),
            ("-o 'proxyjump jump'", jump("jump")),
            ("-o ProxyJump=\"jump\"", jump("jump")),
            ("-o 'ProxyJump=\"jump\"'", jump("jump")),
            ("-J none", SshArgs::default()),
            (
                "-C -q -o ControlMaster=auto -o ControlPersist=60s -o LogLevel=ERROR",
                SshArgs::default(),
            ),
            (
                "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no",
                SshArgs {
                    user_known_hosts_files: vec!["/dev/null".into()],
                    host_keys: Some(HostKeyPolicy::Off),
                    ..SshArgs::default()
                },
            ),
            (
                "-o 'UserKnownHostsFile=a b' -oStrictHostKeyChecking=accept-new",
                SshArgs {
                    user_known_hosts_files: vec!["a".into(), "b".into()],
                    host_keys: Some(HostKeyPolicy::AcceptNew),
                    ..SshArgs::default()
                },
            ),
        ] {
            assert_eq!(check(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, expected) in [
            ("-o 'x", "quotes"),
            ("-o", "no value"),
            ("-o Port", "no value"),
            ("-o ProxyCommand='nc %h %p'", "use `-o ProxyJump"),
            ("-o Port=22", "supported are"),
            ("-v", "supported are"),
            ("é", "supported are"),
            ("-é", "supported are"),
            ("-o StrictHostKeyChecking=maybe", "accept-new"),
            ("-J '-oProxyCommand=x'", "cannot be"),
            ("-J 'a;b'", "cannot be"),
            ("-J a,", "cannot be"),
        ] {
            let told = check(text).unwrap_err();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
