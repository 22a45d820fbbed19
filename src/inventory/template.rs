//! The little of Jinja that values may hold: `{{ lookup('env', 'NAME') }}`,
//! `{{ inventory_hostname }}`, `{{ inventory_dir }}`.

/// What templates may refer to.
pub(super) struct Scope<'s> {
    /// `inventory_hostname`.
    pub hostname: &'s str,
    /// `inventory_dir`.
    pub directory: &'s str,
    /// The environment.
    pub env: &'s dyn Fn(&str) -> Option<String>,
}

/// What is wrong with a template; neither text shows a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// A text with its templates resolved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub text: String,
    /// Name and value of each environment variable in it: perhaps secrets.
    pub from_env: Vec<(String, String)>,
}

/// Resolves the templates in a text.
pub(super) fn expand(text: &str, scope: &Scope<'_>) -> Result<Expanded, Mistake> {
    if text.contains("{%") || text.contains("{#") {
        return Err(unsupported());
    }
    let mut resolved = Expanded::default();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once("{{") {
        let Some((expression, after)) = inside.split_once("}}") else {
            return Err(Mistake {
                message: "a `{{` is not closed by `}}`".to_owned(),
                remedy: "close it, or mark a text that only looks like a template by `!unsafe`"
                    .to_owned(),
            });
        };
        resolved.text.push_str(before);
        evaluate(expression.trim_matches(['-', ' ']), scope, &mut resolved)?;
        rest = after;
    }
    resolved.text.push_str(rest);
    Ok(resolved)
}

fn evaluate(expression: &str, scope: &Scope<'_>, to: &mut Expanded) -> Result<(), Mistake> {
    match expression.trim() {
        "inventory_hostname" | "inventory_hostname_short" => to.text.push_str(scope.hostname),
        "inventory_dir" => to.text.push_str(scope.directory),
        expression => {
            let name = env_name(expression).ok_or_else(unsupported)?;
            match (scope.env)(name) {
                Some(value) if !value.is_empty() => {
                    to.text.push_str(&value);
                    to.from_env.push((name.to_owned(), value));
                }
                found => return Err(unset(name, found.is_some())),
            }
        }
    }
    Ok(())
}

fn unset(name: &str, is_empty: bool) -> Mistake {
    let state = if is_empty { "empty" } else { "not set" };
    Mistake {
        message: format!("the environment variable `{name}` is {state}"),
        remedy: format!("set it before starting jtest: `export {name}=...`"),
    }
}

/// `NAME` of `lookup('env', 'NAME')`.
fn env_name(expression: &str) -> Option<&str> {
    let arguments = expression
        .strip_prefix("lookup")?
        .trim_start()
        .strip_prefix('(')?
        .strip_suffix(')')?;
    let (plugin, name) = arguments.split_once(',')?;
    if !matches!(literal(plugin)?, "env" | "ansible.builtin.env") {
        return None;
    }
    let name = literal(name)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(legal)).then_some(name)
}

/// The text between two like quotes.
fn literal(text: &str) -> Option<&str> {
    let text = text.trim();
    ['\'', '"'].iter().find_map(|quote| {
        text.strip_prefix(*quote)?
            .strip_suffix(*quote)
            .filter(|inner| !inner.contains(['\'', '"']))
    })
}

fn unsupported() -> Mistake {
    Mistake {
        message: "this template is more of Jinja than jtest reads".to_owned(),
        remedy: "write the value itself, or \"{{ lookup('env', 'NAME') }}\", \
                 \"{{ inventory_hostname }}\", \"{{ inventory_dir }}\""
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, String> {
        let scope = Scope {
            hostname: "n1",
            directory: "/inv",
            env: &|name| match name {
                "SECRET" => Some("s3cret".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            },
        };
        expand(text, &scope)
            .map(|expanded| expanded.text)
            .map_err(|mistake| mistake.message)
    }

    #[test]
    fn templates() {
        for (text, expected) in [
            ("plain } { text", "plain } { text"),
            ("{{ lookup('env', 'SECRET') }}", "s3cret"),
            ("{{lookup(\"env\",\"SECRET\")}}", "s3cret"),
            (
                "{{- lookup ( 'ansible.builtin.env' , 'SECRET' ) -}}",
                "s3cret",
            ),
            ("{{ inventory_hostname }}.lab", "n1.lab"),
            (
                "{{ inventory_dir }}/keys/{{ inventory_hostname }}",
                "/inv/keys/n1",
            ),
        ] {
            assert_eq!(check(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, expected) in [
            ("{{ lookup('env', 'UNSET') }}", "`UNSET` is not set"),
            ("{{ lookup('env', 'EMPTY') }}", "`EMPTY` is empty"),
            ("{{ lookup('env', 'SECRET') | upper }}", "more of Jinja"),
            ("{{ lookup('file', 'x') }}", "more of Jinja"),
            ("{{ lookup('env', 'A', 'B') }}", "more of Jinja"),
            ("{{ lookup('env') }}", "more of Jinja"),
            ("{{ lookup('env', '') }}", "more of Jinja"),
            ("{{ other }}", "more of Jinja"),
            ("{{", "not closed"),
            ("{{ }}", "more of Jinja"),
            ("{% if x %}", "more of Jinja"),
        ] {
            let message = check(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
