//! A terminal: lines of what happened above a status that moves.

use std::collections::VecDeque;
use std::io::{self, Stderr};
use std::time::Instant;

use terminal_size::{Height, Width, terminal_size_of};

use super::aside::View;
use super::line::line;
use super::outlook::Outlook;
use super::rows::rows;
use super::screen::Screen;
use super::state::State;
use super::text::{Row, wrapped};
use crate::event::Record;
use crate::history::operation::Nanos;

/// A terminal that does not tell its size has at least this, which all have had for fifty years.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// So wide is the time in front of a line.
const STAMP_WIDTH: usize = 11;

/// Of a line that is longer than so many rows the rest is in `events.jsonl`.
const LINE_ROWS_MAX: usize = 4;

/// Lines that are shown again when the terminal changes its size.
const LINES_KEPT: usize = 100;

pub(super) struct Live {
    screen: Screen<Stderr>,
    state: State,
    /// The newest event's time, and when it came.
    clock: Option<(Nanos, Instant)>,
    /// The newest lines.
    lines: VecDeque<String>,
    size: Option<(usize, usize)>,
}

impl Live {
    pub(super) fn new(outlook: Outlook, is_coloured: bool) -> Self {
        Self {
            screen: Screen::new(io::stderr(), is_coloured),
            state: State::new(outlook),
            clock: None,
            lines: VecDeque::new(),
            size: None,
        }
    }

    /// Draws what is new.
    fn draw(&mut self, line: Option<String>) {
        let (columns, height) = size();
        // The last column stays empty: what ends in it wraps on some terminals.
        let width = columns.saturating_sub(1).max(1);
        let now = self.clock.map_or(0, |(time, came)| {
            time + Nanos::try_from(came.elapsed().as_nanos()).unwrap_or(0)
        });
        let mut status = rows(&self.state, now, width, height.saturating_sub(2));
        if !status.is_empty() {
            status.insert(0, Row::default());
        }
        let wrap = |line: &String| wrapped(line, width, STAMP_WIDTH, LINE_ROWS_MAX);
        let lines = line.as_ref().map_or_else(Vec::new, wrap);
        self.lines.extend(line);
        if self.lines.len() > LINES_KEPT {
            self.lines.pop_front();
        }
        let before = self.size.replace((columns, height));
        let is_resized = before.is_some_and(|before| before != (columns, height));
        // A terminal that is gone must not stop a run.
        let _nobody_to_tell = if is_resized {
            let all: Vec<_> = self.lines.iter().flat_map(wrap).collect();
            let room = height.saturating_sub(status.len());
            let hidden = all.len().saturating_sub(room);
            self.screen.draw_anew(&all[hidden..], status)
        } else {
            self.screen.draw(&lines, status)
        };
    }
}

fn size() -> (usize, usize) {
    match terminal_size_of(io::stderr()) {
        Some((Width(columns), Height(height))) => (usize::from(columns), usize::from(height)),
        None => SIZE_DEFAULT,
    }
}

impl View for Live {
    fn show(&mut self, record: &Record) {
        self.state.take(record);
        self.clock = Some((record.time, Instant::now()));
        self.draw(line(record));
    }

    fn tick(&mut self) {
        self.draw(None);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _nobody_to_tell = self.screen.draw(&[], Vec::new());
    }
}
