//! Pieces of text that know how wide they are on a terminal.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::diagnostic::visible;

/// How a text looks where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Warning => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
        }
    }
}

const RESET: &str = "\u{1b}[0m";

/// A row of a terminal: texts with their tones. Nothing in it can drive the terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    spans: Vec<(String, Tone)>,
}

impl Row {
    /// A row of one text.
    pub(super) fn of(text: &str, tone: Tone) -> Self {
        let mut row = Self::default();
        row.push(text, tone);
        row
    }

    pub(super) fn push(&mut self, text: &str, tone: Tone) {
        self.spans.push((visible(text), tone));
    }

    pub(super) fn width(&self) -> usize {
        self.spans.iter().map(|(text, _)| text.width()).sum()
    }

    /// What lies beyond the width is cut off.
    pub(super) fn cut(mut self, width: usize) -> Self {
        let mut left = width;
        for (text, _) in &mut self.spans {
            *text = fit(text, left);
            left -= text.width();
        }
        self
    }

    /// As it goes to a terminal.
    pub(super) fn painted(&self, is_coloured: bool) -> String {
        let mut painted = String::new();
        for (text, tone) in &self.spans {
            if is_coloured && *tone != Tone::Plain {
                painted.extend([tone.code(), text, RESET]);
            } else {
                painted.push_str(text);
            }
        }
        painted
    }
}

/// The text, cut to the width where it is wider; the cut is marked.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut left = width;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        // Room for the mark.
        if wide + 1 > left {
            break;
        }
        left -= wide;
        fitted.push(character);
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

/// The text in exactly this width, on the left of it.
pub(super) fn left(text: &str, width: usize) -> String {
    let fitted = fit(text, width);
    let rest = width - fitted.width();
    fitted + &" ".repeat(rest)
}

/// The text in exactly this width, on the right of it.
pub(super) fn right(text: &str, width: usize) -> String {
    let fitted = fit(text, width);
    " ".repeat(width - fitted.width()) + &fitted
}

/// The text in lines no wider than the width, broken between words where that can be; all but
/// the first are indented. What is more than `lines_max` is cut off.
pub(super) fn wrapped(text: &str, width: usize, indent: usize, lines_max: usize) -> Vec<String> {
    let indent = if indent * 2 > width { 0 } else { indent };
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let before = if lines.is_empty() { 0 } else { indent };
        let room = width - before;
        let (line, after) = if lines.len() + 1 < lines_max {
            broken(rest, room)
        } else {
            (rest, "")
        };
        lines.push(" ".repeat(before) + &fit(line, room));
        if after.is_empty() {
            return lines;
        }
        rest = after;
    }
}

/// What of a text goes on a line, and the rest.
fn broken(text: &str, width: usize) -> (&str, &str) {
    if text.width() <= width {
        return (text, "");
    }
    let mut end = 0;
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        end = at + character.len_utf8();
    }
    let margin = text.len() - text.trim_start().len();
    let between_words = if text[end..].starts_with(' ') {
        Some(end)
    } else {
        text[..end].rfind(' ').filter(|at| *at > margin)
    };
    match between_words.or((end > 0).then_some(end)) {
        Some(at) => (text[..at].trim_end(), text[at..].trim_start()),
        None => (text, ""),
    }
}

/// Blocks, each as high as its rate against the highest; the newest is last.
pub(super) fn sparkline<'a>(
    rates: impl DoubleEndedIterator<Item = &'a f64> + Clone,
    width: usize,
) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = rates.rev().take(width);
    let highest = shown.clone().copied().fold(0.0, f64::max);
    let block = |rate: &f64| {
        let share = if highest > 0.0 { rate / highest } else { 0.0 };
        // Nothing at all is told from a little.
        if *rate <= 0.0 {
            return ' ';
        }
        BLOCKS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1]
    };
    shown
        .map(block)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect()
}

/// `1:07`, `2:03:04`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_is_cut_and_marked() {
        for (text, width, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("漢字", 4, "漢字"),
            ("漢字", 3, "漢…"),
            ("漢字", 2, "…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(fit(text, width), expected, "{text} in {width}");
            assert_eq!(left(text, width).width(), width);
            assert_eq!(right(text, width).width(), width);
        }
    }

    #[test]
    fn long_lines_break_between_words() {
        for (text, width, expected) in [
            ("one two", 7, &["one two"] as &[_]),
            ("one two", 6, &["one", "  two"]),
            ("one two three four", 7, &["one two", "  three", "  four"]),
            (
                "one two three fourteen",
                7,
                &["one two", "  three", "  four…"],
            ),
            ("onetwothreefour", 6, &["onetwo", "  thre", "  efo…"]),
            ("  one two", 6, &["  one", "  two"]),
            ("  onetwo", 6, &["  onet", "  wo"]),
            ("", 6, &[""]),
        ] {
            let lines = wrapped(text, width, 2, 3);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:?}");
            assert_eq!(lines, expected, "{text}");
        }
    }

    #[test]
    fn a_sparkline_is_as_high_as_its_highest_rate() {
        let rates = [0.0, 1.0, 50.0, 100.0];
        assert_eq!(sparkline(rates.iter(), 10), " ▁▄█");
        assert_eq!(sparkline(rates.iter(), 2), "▄█");
        assert_eq!(sparkline([0.0].iter(), 2), " ");
    }

    #[test]
    fn a_row_is_cut_and_painted() {
        let mut row = Row::of("one ", Tone::Dim);
        row.push("two\u{1b}[2J", Tone::Bad);
        let row = row.cut(6);
        assert_eq!(row.width(), 6);
        assert_eq!(row.painted(false), "one t…");
        assert_eq!(
            row.painted(true),
            "\u{1b}[2mone \u{1b}[0m\u{1b}[31mt…\u{1b}[0m"
        );
    }

    #[test]
    fn times_as_a_clock_shows_them() {
        for (seconds, expected) in [(0, "0:00"), (67, "1:07"), (7384, "2:03:04")] {
            assert_eq!(clock(Duration::from_secs(seconds)), expected);
        }
    }
}
