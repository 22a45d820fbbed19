use proptest::prelude::*;

use super::*;
use crate::diagnostic::Collector;

fn parsed(text: &str) -> (Option<Value>, String) {
    let mut to = Collector::new("f.yaml", text);
    let tree = parse(text, &mut to);
    let told = match to.finish() {
        Ok(all) | Err(all) => all.to_string(),
    };
    (tree, told)
}

/// The tree on one line: `{a: [1, "x"], b: ~}`.
fn flat(value: &Value) -> String {
    let shown = match &value.kind {
        Kind::Null => "~".to_owned(),
        Kind::Scalar { text, quoted: true } => format!("{text:?}"),
        Kind::Scalar { text, .. } => text.clone(),
        Kind::Sequence(values) => {
            let inner: Vec<_> = values.iter().map(flat).collect();
            format!("[{}]", inner.join(", "))
        }
        Kind::Mapping(entries) => {
            let inner: Vec<_> = entries
                .iter()
                .map(|entry| format!("{}: {}", entry.key, flat(&entry.value)))
                .collect();
            format!("{{{}}}", inner.join(", "))
        }
    };
    match &value.tag {
        Some(tag) => format!("{tag} {shown}"),
        None => shown,
    }
}

#[test]
fn trees() {
    for (text, expected) in [
        ("", "~"),
        ("# only a comment\n", "~"),
        ("---\na: 1\n...\n", "{a: 1}"),
        (
            "b: 1\na: [x, 'y', \"z\", ~, null, '']\n",
            "{b: 1, a: [x, \"y\", \"z\", ~, ~, \"\"]}",
        ),
        ("a:\n  n1:\n  n2: {}\n", "{a: {n1: ~, n2: {}}}"),
        ("a: &x {p: 1}\nb: *x\n", "{a: {p: 1}, b: {p: 1}}"),
        (
            "d: &d {p: 1, q: 2}\ne: {q: 3, <<: *d}\n",
            "{d: {p: 1, q: 2}, e: {q: 3, p: 1}}",
        ),
        ("e: {<<: [{a: 1}, {a: 2, b: 3}]}\n", "{e: {a: 1, b: 3}}"),
        (
            "p: !vault |\n  $ANSIBLE\n  61\n",
            "{p: !vault \"$ANSIBLE\\n61\\n\"}",
        ),
        ("p: !!str 1\nq: !unsafe '{{'\n", "{p: 1, q: \"{{\"}"),
        ("1: a\nyes: b\n? c\n: d\n", "{1: a, yes: b, c: d}"),
        (
            "a: \"{{ lookup('env', 'X') }}\"\n",
            "{a: \"{{ lookup('env', 'X') }}\"}",
        ),
        ("a: on\r\nb: off\r\n", "{a: on, b: off}"),
    ] {
        let (tree, told) = parsed(text);
        assert_eq!(told, "", "{text}");
        assert_eq!(flat(&tree.unwrap()), expected, "{text}");
    }
}

#[test]
fn places() {
    let (tree, _) = parsed(
        "all:\n  hosts:\n    n1:\n      x: [a, b]\n    é: *q\n"
            .replace("*q", "1")
            .as_str(),
    );
    let hosts = tree
        .unwrap()
        .get("all")
        .unwrap()
        .get("hosts")
        .unwrap()
        .clone();
    let entries = hosts.entries().unwrap();
    assert_eq!(entries[0].place, Place { line: 3, column: 5 });
    let list = entries[0].value.get("x").unwrap();
    assert_eq!(
        list.place,
        Place {
            line: 4,
            column: 10
        }
    );
    assert_eq!(entries[1].value.place, Place { line: 5, column: 8 });
}

#[test]
fn mistakes() {
    for (text, expected) in [
        (
            "a: 1\nb: 2\na: 3\n",
            &["f.yaml:3:1", "`a` is already on line 1"][..],
        ),
        (
            "a:\n\tb: 1\n\tc: 2\n",
            &["f.yaml:2:1", "f.yaml:3:1", "a tab", "spaces"],
        ),
        ("a: [1, 2\n", &["close every"]),
        ("a: 'x\n", &["close the quote"]),
        ("a: *nobody\n", &["no anchor"]),
        ("a: &a [*a]\n", &["inside the value"]),
        ("a: {{ lookup('env', 'X') }}\n", &["put quotes around"]),
        ("- {{ x }}\n", &["put quotes around"]),
        ("a: b: c\n", &["f.yaml:1:5"]),
        ("a: 1\n---\nb: 2\n", &["second document"]),
        ("a: \0\n", &["U+0000"]),
        ("a: \u{1b}[31m\n", &["U+001B"]),
        ("a: @x\n", &["put quotes"]),
        (
            "a:\n  <<: 1\n  b: {b: 1, b: 2}\n",
            &["`<<` merges", "already on line"],
        ),
    ] {
        let (_, told) = parsed(text);
        for part in expected {
            assert!(told.contains(part), "{text:?} should tell {part:?}: {told}");
        }
    }
}

#[test]
fn bombs_are_refused() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(
        parsed(&laughs).1.contains("aliases"),
        "{}",
        parsed(&laughs).1
    );

    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(parsed(&chain).1.contains("nested deeper"));

    for (open, times) in [
        ("[", 100_000),
        ("{a: ", 100_000),
        ("- ", 100_000),
        ("? ", 100_000),
    ] {
        let (tree, told) = parsed(&open.repeat(times));
        assert!(tree.is_none() && !told.is_empty(), "{open}");
    }
    let deep: String = (0..200)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    assert!(parsed(&deep).1.contains("nested deeper"));

    assert!(parsed(&"- a\n".repeat(NODES_MAX + 1)).0.is_none());
    assert!(parsed(&"#".repeat(TEXT_BYTES_MAX + 1)).1.contains("bytes"));
}

#[test]
fn readers() {
    let text = "port: 22\nzero: 022\nbig: 70000\nneg: -1\nyes: yes\nquoted: 'no'\nmaybe: maybe\n\
                time: 1m30s\nbare: 30\nrate: 0.5\nlist: [a]\nkind: quorun\n";
    let mut to = Collector::new("f.yaml", text);
    let tree = parse(text, &mut to).unwrap();
    let mut fields = tree.fields("it", &mut to).unwrap();
    let ports = || 1..=65_535;
    assert_eq!(fields.u64("port", ports(), &mut to), Some(22));
    assert_eq!(fields.u64("zero", ports(), &mut to), None);
    assert_eq!(fields.u64("big", ports(), &mut to), None);
    assert_eq!(fields.u64("neg", ports(), &mut to), None);
    assert_eq!(fields.u64("absent", ports(), &mut to), None);
    assert_eq!(fields.bool("yes", &mut to), Some(true));
    assert_eq!(fields.bool("quoted", &mut to), Some(false));
    assert_eq!(fields.bool("maybe", &mut to), None);
    assert_eq!(
        fields.duration("time", &mut to),
        Some(std::time::Duration::from_secs(90))
    );
    assert_eq!(fields.duration("bare", &mut to), None);
    assert_eq!(fields.f64("rate", &mut to), Some(0.5));
    assert_eq!(fields.text("list", &mut to), None);
    assert_eq!(
        fields.choice("kind", &[("quorum", 1), ("classic", 2)], &mut to),
        None
    );
    fields.finish(&mut to);
    insta::assert_snapshot!(to.finish().unwrap_err());
}

#[test]
fn unknown_keys_are_told_with_the_nearest() {
    let text = "replcas: 3\nsomething_else: 1\n";
    let mut to = Collector::new("f.yaml", text);
    let tree = parse(text, &mut to).unwrap();
    let mut fields = tree.fields("it", &mut to).unwrap();
    assert!(fields.take("replicas").is_none());
    assert!(fields.require("name", "partitions", &mut to).is_none());
    fields.finish(&mut to);
    insta::assert_snapshot!(to.finish().unwrap_err());
}

#[test]
fn durations() {
    for (text, expected_ms) in [
        ("250ms", Some(250)),
        ("1m30s", Some(90_000)),
        ("1h", Some(3_600_000)),
        ("0", Some(0)),
        ("0s", Some(0)),
        ("1s500ms", Some(1_500)),
        ("", None),
        ("s", None),
        ("10", None),
        ("-1s", None),
        ("1.5s", None),
        ("30s1m", None),
        ("1s1s", None),
        ("99999999999999999999s", None),
        ("18446744073709551615h", None),
    ] {
        let read = parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read, expected_ms, "{text}");
    }
}

proptest! {
    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}|[-?:,\\[\\]{}#&*!|>'\"%@`a0 \t\r\n~<.]{0,200}") {
        let _ = parsed(&text);
    }

    #[test]
    fn what_is_parsed_is_bounded_and_told(text in "([ ]{0,6}(a|b|<<|- |\\? )?:? ?(&a|\\*a|\\[|\\]|\\{|\\}|x|,|'|\"|\\|)?\n){0,30}") {
        let (tree, told) = parsed(&text);
        prop_assert!(tree.is_some() || !told.is_empty());
    }
}
