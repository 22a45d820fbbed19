//! What the parser refuses, told so that one can mend it.

use granit_parser::{ErrorKind, ScanError};

use super::DEPTH_MAX;
use crate::diagnostic::{Collector, Place};

/// The first character that YAML does not allow, such as the NULs of a binary file.
pub(super) fn forbidden_character(text: &str) -> Option<(Place, char)> {
    let (offset, character) = text.char_indices().find(|(_, character)| {
        matches!(character, '\u{fffe}' | '\u{ffff}' | '\u{fffd}')
            || (character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{85}'))
    })?;
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    let place = Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    };
    Some((place, character))
}

/// Tells a mistake in the syntax. A tab tells all tabs: they come in numbers.
pub(super) fn report(error: &ScanError, text: &str, to: &mut Collector<'_>) {
    let marker = error.marker();
    let place = Place {
        line: marker.line(),
        column: marker.col() + 1,
    };
    let line = text
        .lines()
        .nth(place.line.saturating_sub(1))
        .unwrap_or_default();
    let indented_by_tab = |line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.find('\t').filter(|_| !line.trim().is_empty())
    };
    if is_about_tabs(error.kind()) || indented_by_tab(line).is_some() {
        let mut told = false;
        for (index, line) in text.lines().enumerate() {
            if let Some(column) = indented_by_tab(line) {
                told = true;
                let place = Place {
                    line: index + 1,
                    column: column + 1,
                };
                tab(place, to);
            }
        }
        if !told {
            tab(place, to);
        }
        return;
    }
    let (message, remedy) = explanation(error, line);
    to.error(place, message, remedy);
}

fn tab(place: Place, to: &mut Collector<'_>) {
    to.error(
        place,
        "a tab stands where YAML wants spaces",
        "indent with spaces only; most editors can expand tabs",
    );
}

fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
    )
}

fn explanation(error: &ScanError, line: &str) -> (String, &'static str) {
    let message = format!("this is not YAML: {}", error.info());
    if line.contains(": {{") || line.contains("- {{") {
        return (
            message,
            "put quotes around the whole value: \"{{ ... }}\", else YAML takes `{` for a mapping",
        );
    }
    match error.kind() {
        ErrorKind::UnknownAnchor => (
            "this alias has no anchor before it".to_owned(),
            "write `&name` before the value it stands for, or quote the text if it merely begins with `*`",
        ),
        ErrorKind::RecursionLimitExceeded => (
            format!("values are nested deeper than {DEPTH_MAX} levels"),
            "is this the right file? flatten it",
        ),
        ErrorKind::UnclosedQuotedScalar => (message, "close the quote that is opened here"),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => {
            (message, "close every `{` by `}` and every `[` by `]`")
        }
        ErrorKind::UnexpectedCharacter { .. } => (
            message,
            "put quotes around text that begins with `@`, a backquote or `%`",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            message,
            "put quotes around a value that contains `: `, and give entries of one mapping the same indentation",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            (message, "write `key: value`, the colon followed by a space")
        }
        ErrorKind::UnknownQuotedScalarEscape => (
            message,
            "use single quotes, where a backslash is only a backslash",
        ),
        _ => (
            message,
            "look at this place and the line before it: indentation, quotes, colons",
        ),
    }
}
