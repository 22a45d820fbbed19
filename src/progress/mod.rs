//! What a run shows while it is on: on a terminal lines of what happened above a status that
//! moves, elsewhere plain lines with times, on request the events as JSON.
//!
//! Everything shown comes from events, and from what was planned ([`Outlook`]). Text that came from
//! hosts is freed of everything that a terminal would obey. Whoever reads slowly, or not at all (a
//! terminal that was stopped, a pipe that is full), misses events and keeps nobody waiting.
//!
//! - `outlook`, `state`: what was planned, and what the events so far add up to
//! - `line`: what an event says in a line; `rows`, `table`: the status as rows of text; all pure
//! - `aside`: the thread that shows; `live` (with `screen`), `plain`, `json`: the three ways to

mod aside;
mod json;
mod line;
mod live;
mod outlook;
mod plain;
mod rows;
mod screen;
mod state;
mod table;
mod text;

use std::io::{self, IsTerminal};

use crate::event::Show;

pub use self::outlook::Outlook;
pub use self::state::{Account, Broker, State};

use self::aside::Aside;
use self::json::Json;
use self::live::Live;
use self::plain::Plain;

/// Shows a run on standard error, in the way that fits it.
pub fn on_standard_error(outlook: Outlook) -> io::Result<Box<dyn Show>> {
    let is_live = io::stderr().is_terminal() && !is_set("CI") && !is_dumb();
    Ok(if is_live {
        Box::new(Aside::start(Live::new(outlook, !is_set("NO_COLOR")))?)
    } else {
        Box::new(Aside::start(Plain::new(outlook, io::stderr()))?)
    })
}

/// Writes each event to standard output, as `events.jsonl` has it.
pub fn json_on_standard_output() -> io::Result<Box<dyn Show>> {
    Ok(Box::new(Aside::start(Json::new(io::stdout()))?))
}

/// As `NO_COLOR` is defined: an empty variable is none.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

#[cfg(test)]
mod tests;
