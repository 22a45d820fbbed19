//! Mistakes in files that people write: what is wrong, where, and how to mend it.
//!
//! The inventory and the scenarios are read into a raw form that keeps positions
//! ([`crate::yaml`]), then validated; validation never stops at the first mistake, it puts
//! [`Diagnostic`]s into a [`Collector`].
//!
//! Files may be hostile: everything that is taken from one is shortened and its control
//! characters are made visible before it can reach a terminal, and the value of a password
//! variable never becomes part of a snippet.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

/// How many mistakes of one file are told; the rest is counted.
const DIAGNOSTICS_MAX: usize = 100;
/// How many are kept at all: a file of nothing but mistakes must not cost unbounded time.
const COLLECTED_MAX: usize = 1_000;
/// Characters of a line that a snippet shows.
const SNIPPET_CHARS_MAX: usize = 100;
/// Characters of a message or remedy.
const MESSAGE_CHARS_MAX: usize = 600;
/// Characters of a quoted word, see [`quoted`].
const WORD_CHARS_MAX: usize = 60;
/// Longer names are not compared by [`nearest`]: nobody mistypes them, and the cost is quadratic.
const NEAREST_CHARS_MAX: usize = 64;
/// What stands in a snippet for the value of a password variable.
const MASK: &str = "***";

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the file is used all the same.
    Warning,
    /// The file cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A place in a file. Lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A line of a file, safe to print: shortened, control characters visible, passwords masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The line, or the part of it around the place.
    pub text: String,
    /// Which character of `text` is meant, from 0.
    pub caret: usize,
}

/// One mistake (or warning) in one file. All texts are safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: String,
    /// Where in the file, unless it concerns the file as a whole.
    pub place: Option<Place>,
    /// What is wrong, a lower-case sentence without a full stop.
    pub message: String,
    /// The line of the file at `place`.
    pub snippet: Option<Snippet>,
    /// What the user can do about it.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity, self.message)?;
        let Some(place) = self.place else {
            writeln!(f, "  --> {}", self.file)?;
            return write!(f, "  = help: {}", self.remedy);
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(
            f,
            "{margin}--> {}:{}:{}",
            self.file, place.line, place.column
        )?;
        if let Some(snippet) = &self.snippet {
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number} | {}", snippet.text)?;
            writeln!(f, "{margin} | {}^", " ".repeat(snippet.caret))?;
        }
        write!(f, "{margin} = help: {}", self.remedy)
    }
}

/// Everything that was found in one file, in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().take(DIAGNOSTICS_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        match self.0.len().saturating_sub(DIAGNOSTICS_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// Gathers the diagnostics of one file, and cuts their snippets out of its text.
#[derive(Debug)]
pub struct Collector<'t> {
    file: String,
    lines: Vec<&'t str>,
    /// Lines that no snippet may show.
    hidden: BTreeSet<usize>,
    found: Vec<Diagnostic>,
}

impl<'t> Collector<'t> {
    /// For the file as the user named it, and its text.
    pub fn new(file: impl AsRef<str>, text: &'t str) -> Self {
        Self {
            file: visible(file.as_ref()),
            lines: lines(text),
            hidden: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    /// The file cannot be used: `message` says why (lower case, no full stop), `remedy` what to do.
    pub fn error(
        &mut self,
        place: impl Into<Option<Place>>,
        message: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) {
        self.push(
            Severity::Error,
            place.into(),
            message.as_ref(),
            remedy.as_ref(),
        );
    }

    /// The file is used all the same.
    pub fn warning(
        &mut self,
        place: impl Into<Option<Place>>,
        message: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) {
        self.push(
            Severity::Warning,
            place.into(),
            message.as_ref(),
            remedy.as_ref(),
        );
    }

    /// From now on no snippet shows these lines: they hold a secret.
    ///
    /// Values beside the key of a password variable are masked anyway; this is for those
    /// that only the tree can find, such as an anchored value elsewhere in the file.
    pub fn hide(&mut self, lines: RangeInclusive<usize>) {
        let last = (*lines.end()).min(self.lines.len());
        self.hidden.extend(*lines.start()..=last);
    }

    /// Whether an error was found up to now.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|one| one.severity == Severity::Error)
    }

    /// The warnings, where there are only warnings; else everything, the errors first, each kind in the
    /// order of lines.
    pub fn finish(mut self) -> Result<Diagnostics, Diagnostics> {
        let failed = self.has_errors();
        self.found
            .sort_by_key(|one| (one.severity == Severity::Warning, one.place));
        let all = Diagnostics(self.found);
        if failed { Err(all) } else { Ok(all) }
    }

    fn push(&mut self, severity: Severity, place: Option<Place>, message: &str, remedy: &str) {
        let failed = severity == Severity::Error && !self.has_errors();
        if self.found.len() >= COLLECTED_MAX && !failed {
            return;
        }
        let diagnostic = Diagnostic {
            severity,
            file: self.file.clone(),
            place,
            message: shortened(&visible(message), MESSAGE_CHARS_MAX),
            snippet: place.and_then(|place| self.snippet(place)),
            remedy: shortened(&visible(remedy), MESSAGE_CHARS_MAX),
        };
        // One line of the file can concern many (a group's variable): it is told once.
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    fn snippet(&self, place: Place) -> Option<Snippet> {
        let index = place.line.checked_sub(1)?;
        let line = self.lines.get(index)?;
        let caret = place.column.saturating_sub(1);
        let shown = match secret_column(&self.lines, index) {
            Some(column) => {
                let head: String = line.chars().take(column).collect();
                format!("{head}{MASK}")
            }
            None if self.hidden.contains(&place.line) => MASK.to_owned(),
            None => (*line).to_owned(),
        };
        Some(window(&shown, caret.min(shown.chars().count())))
    }
}

/// A word from a file as messages show it: in backquotes, short, nothing invisible in it.
pub fn quoted(word: &str) -> String {
    format!("`{}`", shortened(&visible(word), WORD_CHARS_MAX))
}

/// The candidate that `name` was probably meant to be.
///
/// ```
/// use jtest::diagnostic::nearest;
/// assert_eq!(nearest("jtest_disposible", ["jtest_disposable", "jtest_control_netns"]), Some("jtest_disposable"));
/// assert_eq!(nearest("colour", ["jtest_disposable"]), None);
/// ```
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = name.chars().count();
    if length > NEAREST_CHARS_MAX {
        return None;
    }
    let name = name.to_lowercase();
    let tolerance = (length / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Remedy for an unknown word: the nearest right one, else all of them.
pub fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> String {
    match nearest(name, candidates.clone()) {
        Some(right) => format!("did you mean `{right}`?"),
        None => {
            let all: Vec<_> = candidates
                .into_iter()
                .map(|word| format!("`{word}`"))
                .collect();
            format!("known are {}", all.join(", "))
        }
    }
}

/// Lines as YAML breaks them, without the breaks.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        let (line, tail) = rest.split_at(end);
        lines.push(line);
        rest = tail
            .strip_prefix("\r\n")
            .or_else(|| tail.get(1..))
            .unwrap_or_default();
    }
    lines.push(rest);
    lines
}

/// From which column (from 0) on a line belongs to the value of a password variable.
///
/// Textual, because a file with a mistake in its syntax has no tree: everything after the
/// key counts as its value, and so do the lines below that are indented deeper.
fn secret_column(lines: &[&str], index: usize) -> Option<usize> {
    if let Some(column) = after_secret_key(lines.get(index)?) {
        return Some(column);
    }
    let mut indent_min = indent(lines[index])?;
    for line in lines[..index].iter().rev() {
        let Some(indent) = indent(line) else { continue };
        if indent < indent_min {
            if after_secret_key(line).is_some() {
                return Some(0);
            }
            indent_min = indent;
        }
        if indent_min == 0 {
            return None;
        }
    }
    None
}

/// Leading white space of a line that has more than that.
fn indent(line: &str) -> Option<usize> {
    line.chars().position(|c| !c.is_whitespace())
}

/// The column (in characters) after `ansible_password:`, `x_pass =`, `"secret": ` and the like.
fn after_secret_key(line: &str) -> Option<usize> {
    const WORDS: [&str; 4] = ["pass", "secret", "token", "vault"];
    let lower = line.to_ascii_lowercase();
    let start = WORDS.iter().filter_map(|word| lower.find(word)).min()?;
    let colon = start + lower.get(start..)?.find([':', '='])?;
    Some(line.get(..=colon)?.chars().count() + 1)
}

/// The part of a line around `caret`, safe to print.
fn window(line: &str, caret: usize) -> Snippet {
    let start = caret.saturating_sub(SNIPPET_CHARS_MAX * 2 / 3);
    let mut text = String::new();
    let mut caret_shown = None;
    if start > 0 {
        text.push('…');
    }
    for (index, character) in line.chars().enumerate().skip(start) {
        if index == caret {
            caret_shown = Some(text.chars().count());
        }
        if index >= start + SNIPPET_CHARS_MAX {
            text.push('…');
            break;
        }
        push_visible(&mut text, character);
    }
    Snippet {
        caret: caret_shown.unwrap_or(text.chars().count()),
        text,
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The lines of a text one after the other.
pub fn on_one_line(text: &str) -> String {
    let mut lines = text.lines();
    let mut line = lines.next().unwrap_or_default().to_owned();
    for next in lines.map(str::trim).filter(|next| !next.is_empty()) {
        line += if line.ends_with(':') { " " } else { "; " };
        line += next;
    }
    line
}

/// The text with everything made visible that a terminal would obey instead of showing.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        push_visible(&mut shown, character);
    }
    shown
}

fn push_visible(text: &mut String, character: char) {
    match character {
        '\t' => text.push('→'),
        _ if is_invisible(character) => text.extend(character.escape_unicode()),
        _ => text.push(character),
    }
}

/// Control characters, and those that reorder or hide text.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Place {
        Place { line, column }
    }

    fn one(text: &str, place: Place) -> Diagnostic {
        let mut collector = Collector::new("lab.yaml", text);
        collector.error(place, "it is wrong", "mend it");
        collector.finish().unwrap_err().0.remove(0)
    }

    #[test]
    fn it_looks_like_rustc() {
        let shown = one("all:\n  hosts:\n    n1: 3\n", at(3, 9)).to_string();
        assert_eq!(
            shown,
            "error: it is wrong\n --> lab.yaml:3:9\n  |\n3 |     n1: 3\n  |         ^\n  = help: mend it"
        );
    }

    #[test]
    fn a_warning_alone_is_no_failure() {
        let mut collector = Collector::new("f", "a\nb\n");
        collector.warning(at(2, 1), "second", "r");
        collector.warning(at(1, 1), "first", "r");
        let warnings = collector.finish().unwrap();
        assert_eq!(warnings.0[0].message, "first");
        assert_eq!(warnings.0[1].message, "second");
    }

    #[test]
    fn errors_come_before_warnings() {
        let mut collector = Collector::new("f", "a\nb\nc\n");
        collector.warning(at(1, 1), "warning", "r");
        collector.error(at(3, 1), "second", "r");
        collector.error(at(2, 1), "first", "r");
        let all = collector.finish().unwrap_err().0;
        let messages: Vec<_> = all.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(messages, ["first", "second", "warning"]);
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        for place in [at(0, 0), at(1, 0), at(1, 999), at(99, 1)] {
            let _ = one("a\n", place).to_string();
        }
        let _ = one("", at(1, 1)).to_string();
    }

    #[test]
    fn a_hostile_line_does_not_drive_the_terminal() {
        let shown = one("k: \u{1b}[2J\u{202e}\u{7}x\r\nnext", at(1, 4)).to_string();
        assert!(
            !shown.chars().any(|c| c != '\n' && is_invisible(c)),
            "{shown:?}"
        );
        assert!(shown.contains("\\u{1b}[2J\\u{202e}\\u{7}x"), "{shown}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}HERE{}", "a".repeat(5_000), "b".repeat(5_000));
        let snippet = one(&line, at(1, 5_001)).snippet.unwrap();
        assert!(snippet.text.chars().count() <= SNIPPET_CHARS_MAX + 2);
        let from: String = snippet.text.chars().skip(snippet.caret).take(4).collect();
        assert_eq!(from, "HERE");
    }

    #[test]
    fn values_of_password_variables_are_masked() {
        for (text, place) in [
            ("ansible_password: hunter2", at(1, 19)),
            ("    ansible_ssh_pass: hunter2 # note", at(1, 1)),
            (
                "{ansible_become_password: hunter2, ansible_port: x}",
                at(1, 40),
            ),
            ("\"ansible_password\": \"hunter2", at(1, 28)),
            ("ansible_password: |\n  some\n\n  hunter2\nx: y", at(4, 3)),
            ("é ansible_password: hunter2", at(1, 1)),
        ] {
            let shown = one(text, place).to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains(MASK), "{shown}");
        }
        assert!(
            one("ansible_password: |\n  hunter2\nx: y", at(3, 1))
                .to_string()
                .contains("x: y")
        );
    }

    #[test]
    fn hidden_lines_are_not_shown() {
        let mut collector = Collector::new("f", "a: &pw hunter2\nb: x\n");
        collector.hide(1..=1);
        collector.error(at(1, 8), "it is wrong", "r");
        collector.error(at(2, 4), "it is wrong", "r");
        let shown = collector.finish().unwrap_err().to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("b: x"), "{shown}");
    }

    #[test]
    fn the_same_is_told_once() {
        let mut collector = Collector::new("f", "a\n");
        for message in ["m", "n", "m"] {
            collector.error(at(1, 1), message, "r");
        }
        assert_eq!(collector.finish().unwrap_err().0.len(), 2);
    }

    #[test]
    fn lines_break_as_in_yaml() {
        assert_eq!(lines("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
        assert_eq!(lines("a\n"), ["a", ""]);
        assert_eq!(lines("é\r\n\r\nü"), ["é", "", "ü"]);
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = [
            "jtest_disposable",
            "jtest_peer_address",
            "jtest_control_netns",
        ];
        for (name, expected) in [
            ("jtest_disposible", Some("jtest_disposable")),
            ("jtest_peer_adress", Some("jtest_peer_address")),
            ("JTEST_CONTROL_NETNS", Some("jtest_control_netns")),
            ("jtest_", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn too_many_are_counted() {
        let mut collector = Collector::new("f", "a\n");
        for n in 0..DIAGNOSTICS_MAX + 7 {
            collector.error(None, format!("mistake {n}"), "r");
        }
        let shown = collector.finish().unwrap_err().to_string();
        assert!(shown.ends_with("and 7 more"), "{shown}");
    }
}
