//! Rows at the bottom of a terminal that are drawn over and over, with lines that stay above them.
//!
//! A frame is written at once and erases only what is right of and below what it writes, so that
//! nothing flickers. It is written only where it differs from the one before. No row reaches the last
//! column, so that none wraps. What a terminal does to its rows when its size changes is its own
//! secret: the screen is then written anew.

use std::io::{self, Write};

use super::text::Row;

const TO_LINE_END: &str = "\u{1b}[K";
const TO_SCREEN_END: &str = "\u{1b}[J";
const CLEARED: &str = "\u{1b}[H\u{1b}[2J";
/// Terminals that know it show what is between the two at once; others leave it out.
const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";

pub(super) struct Screen<W> {
    out: W,
    is_coloured: bool,
    drawn: Vec<Row>,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, is_coloured: bool) -> Self {
        Self {
            out,
            is_coloured,
            drawn: Vec::new(),
        }
    }

    /// Draws the rows, and above them lines that stay.
    pub(super) fn draw(&mut self, lines: &[String], rows: Vec<Row>) -> io::Result<()> {
        if lines.is_empty() && rows == self.drawn {
            return Ok(());
        }
        let to_the_top = match self.drawn.len().saturating_sub(1) {
            0 => "\r".to_owned(),
            up => format!("\r\u{1b}[{up}A"),
        };
        self.write(&to_the_top, lines, rows)
    }

    /// The same on a screen that is cleared first.
    pub(super) fn draw_anew(&mut self, lines: &[String], rows: Vec<Row>) -> io::Result<()> {
        self.write(CLEARED, lines, rows)
    }

    fn write(&mut self, start: &str, lines: &[String], rows: Vec<Row>) -> io::Result<()> {
        let mut frame = [BEGIN, start].concat();
        for line in lines {
            frame.extend([line, TO_LINE_END, "\r\n"]);
        }
        for (number, row) in rows.iter().enumerate() {
            let before = if number == 0 { "" } else { "\r\n" };
            frame.extend([before, &row.painted(self.is_coloured), TO_LINE_END]);
        }
        // What a user types is shown at the cursor: at the beginning of a row it makes none wrap.
        frame.extend([TO_SCREEN_END, "\r", END]);
        self.drawn = rows;
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Tone;
    use super::*;

    fn rows(texts: &[&str]) -> Vec<Row> {
        let row = |text: &&str| Row::of(text, Tone::Plain);
        texts.iter().map(row).collect()
    }

    fn written(screen: &mut Screen<Vec<u8>>) -> String {
        String::from_utf8(std::mem::take(&mut screen.out)).unwrap()
    }

    #[test]
    fn a_frame_is_written_over_the_one_before_and_only_if_it_differs() {
        let mut screen = Screen::new(Vec::new(), false);
        screen.draw(&[], rows(&["one", "two"])).unwrap();
        assert_eq!(
            written(&mut screen),
            "\u{1b}[?2026h\rone\u{1b}[K\r\ntwo\u{1b}[K\u{1b}[J\r\u{1b}[?2026l"
        );
        screen.draw(&[], rows(&["one", "two"])).unwrap();
        assert_eq!(written(&mut screen), "");
        screen.draw(&["said".to_owned()], rows(&["three"])).unwrap();
        assert_eq!(
            written(&mut screen),
            "\u{1b}[?2026h\r\u{1b}[1Asaid\u{1b}[K\r\nthree\u{1b}[K\u{1b}[J\r\u{1b}[?2026l"
        );
    }

    #[test]
    fn a_screen_of_another_size_is_written_anew() {
        let mut screen = Screen::new(Vec::new(), false);
        screen.draw(&[], rows(&["one", "two"])).unwrap();
        written(&mut screen);
        let lines = ["said".to_owned()];
        screen.draw_anew(&lines, rows(&["one", "two"])).unwrap();
        assert_eq!(
            written(&mut screen),
            "\u{1b}[?2026h\u{1b}[H\u{1b}[2Jsaid\u{1b}[K\r\none\u{1b}[K\r\ntwo\u{1b}[K\u{1b}[J\r\u{1b}[?2026l"
        );
    }
}
