//! Lines for a file, a pipe or a CI system.

use std::io::Write;
use std::time::Duration;

use super::aside::View;
use super::line::{line, stamp};
use super::outlook::Outlook;
use super::state::{Account, State};
use crate::event::{Event, Record};
use crate::history::operation::Nanos;

/// How often there is a line of counts.
const COUNTS_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Plain<W> {
    out: W,
    state: State,
    counted: Option<Nanos>,
}

impl<W: Write> Plain<W> {
    pub(super) fn new(outlook: Outlook, out: W) -> Self {
        Self {
            out,
            state: State::new(outlook),
            counted: None,
        }
    }

    fn is_due(&self, now: Nanos) -> bool {
        let every = COUNTS_EVERY.as_nanos() as Nanos;
        self.counted.is_none_or(|counted| now - counted >= every)
    }

    /// The counts so far.
    fn counts(&self) -> Option<String> {
        let counts = self.state.total.counts?;
        let mut text = format!(
            "{} attempts, {} ok, {} fail, {} info",
            counts.attempts, counts.ok, counts.fail, counts.info
        );
        if let Some(rate) = self.state.total.rate().filter(|_| !self.state.is_drain()) {
            text += &format!(", {rate:.0} ok/s");
        }
        match self.state.account() {
            Some(Account::Reading { .. } | Account::Read { .. }) => {
                let left = counts.ok.saturating_sub(counts.received);
                text += &format!(", {} received, {left} still to come", counts.received);
            }
            Some(Account::Unread { .. }) => {}
            None => text += &format!(", {} received", counts.received),
        }
        Some(text)
    }

    pub(super) fn take(&mut self, record: &Record) {
        self.state.take(record);
        // A closed standard error must not stop a run.
        if let Some(line) = line(record) {
            let _nobody_to_tell = writeln!(self.out, "{line}");
        }
        if matches!(record.event, Event::Progress { .. })
            && self.is_due(record.time)
            && let Some(counts) = self.counts()
        {
            let stamp = stamp(record.time);
            let _nobody_to_tell = writeln!(self.out, "{stamp}   {counts}");
            self.counted = Some(record.time);
        }
    }
}

impl<W: Write + Send + 'static> View for Plain<W> {
    fn show(&mut self, record: &Record) {
        self.take(record);
    }
}
