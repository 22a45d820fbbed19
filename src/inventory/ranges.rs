//! Ansible's host patterns: `n[1:5]`, `n[01:10:2]`, `rack[a:c]-n[1:3]`, `n1:2222`.

use super::HOSTS_MAX;

/// What a key under `hosts` stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The names, in order.
    pub names: Vec<String>,
    /// The port that follows a colon, as written.
    pub port: Option<String>,
}

/// What is wrong with a pattern: message and remedy.
pub(super) type Mistake = (String, &'static str);

const FORMS: &str = "write `n[1:5]`, `n[01:05]`, `n[a:e]` or with a step `n[1:9:2]`";

/// The names of a pattern, at most [`HOSTS_MAX`].
pub(super) fn expand(pattern: &str) -> Result<Pattern, Mistake> {
    let (pattern, port) = split_port(pattern);
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find('[') {
        let (head, tail) = (&rest[..open], &rest[open + 1..]);
        let Some(close) = tail.find(']') else {
            return Err(("a range is not closed by `]`".to_owned(), FORMS));
        };
        let members = range(&tail[..close])?;
        if names.len().saturating_mul(members.len()) > HOSTS_MAX {
            return Err((
                format!("the range stands for more than {HOSTS_MAX} hosts"),
                "name the few hosts that jtest is to use",
            ));
        }
        names = names
            .iter()
            .flat_map(|name| {
                members
                    .iter()
                    .map(move |member| format!("{name}{head}{member}"))
            })
            .collect();
        rest = &tail[close + 1..];
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(Pattern { names, port })
}

/// `n1:2222`, but not the colon of a range and not an IPv6 address.
fn split_port(pattern: &str) -> (&str, Option<String>) {
    match pattern.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty()
                && !port.contains(']')
                && !name
                    .replace(|c: char| c != ':' && c != '[' && c != ']', "")
                    .ends_with(':') =>
        {
            (name, Some(port.to_owned()))
        }
        _ => (pattern, None),
    }
}

/// What is between the brackets.
fn range(text: &str) -> Result<Vec<String>, Mistake> {
    let mut parts = text.split(':');
    let (Some(begin), Some(end), step, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err((format!("`[{text}]` is no range"), FORMS));
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    let step: usize = match step.map(str::parse) {
        None => 1,
        Some(Ok(step)) if step > 0 => step,
        Some(_) => return Err((format!("the step of `[{text}]` is no number from 1"), FORMS)),
    };
    let (width, first, last, letters) = match (letter(begin), letter(end)) {
        (Some(first), Some(last)) => (0, first, last, true),
        _ => match (begin.parse::<u64>(), end.parse::<u64>()) {
            (Ok(first), Ok(last)) => {
                let padded = begin.len() > 1 && begin.starts_with('0');
                if padded && begin.len() != end.len() {
                    return Err((
                        format!("both ends of `[{text}]` need the same number of digits"),
                        FORMS,
                    ));
                }
                (if padded { begin.len() } else { 0 }, first, last, false)
            }
            _ => return Err((format!("`[{text}]` is no range"), FORMS)),
        },
    };
    if first > last {
        return Err((format!("`[{text}]` begins after its end"), FORMS));
    }
    Ok((first..=last)
        .step_by(step)
        // One more than allowed, so that the caller sees the excess.
        .take(HOSTS_MAX + 1)
        .map(|member| match u8::try_from(member) {
            Ok(byte) if letters => char::from(byte).to_string(),
            _ => format!("{member:0width$}"),
        })
        .collect())
}

fn letter(text: &str) -> Option<u64> {
    let mut bytes = text.bytes();
    match (bytes.next(), bytes.next()) {
        (Some(byte), None) if byte.is_ascii_lowercase() || byte.is_ascii_uppercase() => {
            Some(u64::from(byte))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, expected) in [
            ("n1", "n1"),
            ("n[1:3]", "n1 n2 n3"),
            ("n[01:03]", "n01 n02 n03"),
            ("n[08:10]", "n08 n09 n10"),
            ("n[:2]", "n0 n1 n2"),
            ("n[1:9:4]", "n1 n5 n9"),
            ("n[a:c]", "na nb nc"),
            ("r[a:b]n[1:2]x", "ran1x ran2x rbn1x rbn2x"),
            ("n[1:1]", "n1"),
            ("", ""),
        ] {
            assert_eq!(
                expand(pattern).unwrap().names.join(" "),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn ports() {
        for (pattern, names, port) in [
            ("n1:2222", "n1", Some("2222")),
            ("n[1:2]:2222", "n1 n2", Some("2222")),
            ("n1:", "n1", Some("")),
            ("fe80::1", "fe80::1", None),
            ("::1", "::1", None),
        ] {
            let expanded = expand(pattern).unwrap();
            assert_eq!(expanded.names.join(" "), names, "{pattern}");
            assert_eq!(expanded.port.as_deref(), port, "{pattern}");
        }
    }

    #[test]
    fn wrong_patterns() {
        for pattern in [
            "n[1:5",
            "n[1]",
            "n[]",
            "n[:]",
            "n[5:1]",
            "n[c:a]",
            "n[a:5]",
            "n[1:5:0]",
            "n[1:5:x]",
            "n[1:2:3:4]",
            "n[01:100]",
            "n[1:99999999999]",
            "n[0:18446744073709551615]",
            "n[1:40][1:40]",
            "n[é:z]",
        ] {
            assert!(expand(pattern).is_err(), "{pattern}");
        }
    }
}
