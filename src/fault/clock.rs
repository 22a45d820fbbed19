//! A clock that jumps, goes too fast or too slow, or flutters.
//!
//! It is the host's own where that is a machine. A container shares its clock with others: there the
//! broker alone is told another time, by libfaketime.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, value};
use crate::catalog::{Setting, Settings};
use crate::node::abilities::MACHINE_SHELL;
use crate::node::clock_offset::CLOCKS;
use crate::rabbitmq;

/// A difference below this may be the measurement's.
const TOLERANCE_MS: i64 = 150;

pub(super) fn bump(settings: &Settings, _: &Field, key: &str) -> Recipe {
    recipe("bump", [offset_ms(settings), String::new()], key)
}

pub(super) fn drift(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let factor = settings.get("factor").map(ToString::to_string);
    recipe("drift", [factor.unwrap_or_default(), String::new()], key)
}

pub(super) fn strobe(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let period = match settings.get("period") {
        Some(Setting::Duration(period)) => period.as_millis(),
        _ => 1000,
    };
    recipe("strobe", [offset_ms(settings), period.to_string()], key)
}

/// The control node's time, by what was measured of the host's clock in the look before.
pub(super) fn reset(_: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        has_undo: false,
        bitten: as_the_control_node,
        healed: |_, _| Ok("nothing to undo".into()),
        ..recipe("reset", Default::default(), key)
    }
}

fn offset_ms(settings: &Settings) -> String {
    match settings.get("by") {
        Some(Setting::OffsetMs(by)) => by.to_string(),
        _ => "0".to_owned(),
    }
}

fn recipe(what: &str, [first, second]: [String; 2], key: &str) -> Recipe {
    let shell = [
        rabbitmq::SHELL,
        MACHINE_SHELL,
        CLOCKS,
        concat!(
            "clock_program=$clocks_program'",
            include_str!("clock.pl"),
            "'"
        ),
        include_str!("clock_broker.sh"),
        include_str!("clock_host.sh"),
        include_str!("clock.sh"),
    ];
    Recipe {
        shell: shell.join("\n"),
        args: vec![what.to_owned(), first, second, key.to_owned()],
        needs: Needs::Nothing,
        towards: Vec::new(),
        has_undo: true,
        destroys: false,
        goes_down: false,
        bitten: astray,
        healed: right,
        inject_deadline: Duration::from_secs(180),
        look_deadline: Duration::from_secs(60),
        mend_deadline: Duration::from_secs(60),
        rolling: None,
    }
}

fn number(look: &Look, key: &str) -> Option<i64> {
    value(look, key).parse().ok()
}

fn is_off(offset_ms: i64, error_ms: i64) -> bool {
    offset_ms.abs() > TOLERANCE_MS + error_ms
}

/// How far a host's clock has moved, in milliseconds.
struct HostClock {
    /// Since it was right, against its own uptime; `None` where it has booted since.
    by_uptime: Option<i64>,
    /// Against the control node's clock, and how far that may be wrong.
    by_control: i64,
    error: i64,
    /// The same when it was right: at the look before, without what another fault had done to it by then.
    by_control_before: i64,
}

impl HostClock {
    fn of(before: &Look, now: &Look) -> Result<Self, String> {
        let seen = |look| {
            let offset = number(look, "seen_offset_us").zip(number(look, "seen_error_us"));
            offset.ok_or_else(|| "the host did not tell its time".to_owned())
        };
        let ((was, error_was), (is, error_is)) = (seen(before)?, seen(now)?);
        let base = number(before, "base_us");
        let right = number(before, "right_us").or(base);
        let moved = number(now, "base_us").zip(right);
        let astray_before = base.zip(right).map_or(0, |(base, right)| base - right);
        let booted = value(before, "boot") != value(now, "boot");
        Ok(Self {
            by_uptime: moved
                .filter(|_| !booted)
                .map(|(now, right)| (now - right) / 1000),
            by_control: is / 1000,
            error: (error_was + error_is) / 1000 + 1,
            by_control_before: (was - astray_before) / 1000,
        })
    }

    fn words(&self) -> String {
        let Self {
            by_control,
            error,
            by_control_before,
            ..
        } = self;
        let moved = match self.by_uptime {
            Some(moved) => format!("has moved by {moved:+} ms against its uptime, and"),
            None => "came anew with its boot, and".to_owned(),
        };
        format!(
            "the host's clock {moved} is {by_control:+} ms off the control node's (±{error}), \
             {by_control_before:+} ms before"
        )
    }
}

/// How far a broker's clock is off its host's, in milliseconds, and how far that may be wrong.
fn broker_offset(look: &Look) -> Result<(i64, i64), String> {
    let measured = number(look, "offset_ms").zip(number(look, "error_ms"));
    measured.ok_or_else(|| "the broker does not tell its time".to_owned())
}

fn is_of_host(look: &Look) -> bool {
    look.contains_key("base_us")
}

fn finding(is_good: bool, words: String) -> Finding {
    if is_good { Ok(words) } else { Err(words) }
}

fn astray(before: &Look, now: &Look) -> Finding {
    if is_of_host(now) {
        let clock = HostClock::of(before, now)?;
        let seen = is_off(clock.by_control - clock.by_control_before, clock.error);
        let moved = clock.by_uptime.is_some_and(|moved| is_off(moved, 0));
        return finding(seen && moved, clock.words());
    }
    let ((was, _), (is, error)) = (broker_offset(before)?, broker_offset(now)?);
    let words = format!("the broker's clock is {is:+} ms off (±{error}), {was:+} ms before");
    // What another fault did to it by then is no measure.
    let right = if value(before, "others").is_empty() {
        was
    } else {
        0
    };
    finding(is_off(is - right, error), words)
}

fn as_the_control_node(before: &Look, now: &Look) -> Finding {
    let off = |look: &Look| -> Option<(i64, i64)> {
        let (us, error_us) = number(look, "seen_offset_us").zip(number(look, "seen_error_us"))?;
        let (ms, error) = if is_of_host(look) {
            (0, 0)
        } else {
            broker_offset(look).ok()?
        };
        Some((us / 1000 + ms, error_us / 1000 + error + 1))
    };
    let Some((is, error)) = off(now) else {
        return Err("the clock could not be held against the control node's".into());
    };
    let was = off(before).map_or("unknown".to_owned(), |(was, _)| format!("{was:+} ms"));
    let words = format!("the clock is {is:+} ms off the control node's (±{error}), {was} before");
    finding(!is_off(is, error), words)
}

fn right(before: &Look, now: &Look) -> Finding {
    if is_of_host(now) {
        let clock = HostClock::of(before, now)?;
        let is_as_before = !is_off(clock.by_control - clock.by_control_before, clock.error);
        let is_right = !is_off(clock.by_control, clock.error);
        return finding(is_as_before || is_right, clock.words());
    }
    let (is, error) = broker_offset(now)?;
    let words = format!("the broker's clock is {is:+} ms off (±{error})");
    finding(!is_off(is, error), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(offset: &str) -> Look {
        [("offset_ms", offset), ("error_ms", "20")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn an_offset_counts_beyond_its_error() {
        assert!(astray(&look("3"), &look("90004")).is_ok());
        assert!(astray(&look("3"), &look("-260")).is_ok());
        assert!(astray(&look("3"), &look("160")).is_err());
        assert!(astray(&look("3"), &Look::new()).is_err());
        assert!(right(&look("0"), &look("-160")).is_ok());
        assert!(right(&look("0"), &look("400")).is_err());
    }

    fn host(boot: &str, base_ms: i64, seen_ms: i64) -> Look {
        let pairs = [
            ("boot", boot.to_owned()),
            ("base_us", (base_ms * 1000).to_string()),
            ("seen_offset_us", (seen_ms * 1000).to_string()),
            ("seen_error_us", "20000".to_owned()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }

    #[test]
    fn a_second_fault_of_a_clock_is_held_against_what_is_right() {
        let others = |mut look: Look, others: &str| {
            look.insert("others".to_owned(), others.to_owned());
            look
        };
        assert!(astray(&others(look("90000"), "h1"), &look("90000")).is_ok());
        assert!(astray(&others(look("90000"), ""), &look("90000")).is_err());
        let mut before = host("b1", 1_090_000, 90_007);
        before.insert("right_us".to_owned(), (1_000_000 * 1000).to_string());
        assert!(astray(&before, &host("b1", 1_090_000, 90_010)).is_ok());
        assert!(astray(&before, &host("b1", 1_000_000, 10)).is_err());
        assert!(right(&before, &host("b1", 1_000_000, 10)).is_ok());
    }

    #[test]
    fn a_clock_that_is_reset_agrees_with_the_control_nodes() {
        let before = host("b1", 1_000_000, 60_000);
        assert!(as_the_control_node(&before, &host("b1", 940_000, 12)).is_ok());
        assert!(as_the_control_node(&before, &before).is_err());
        assert!(as_the_control_node(&before, &Look::new()).is_err());
        let mut broker = look("-60000");
        broker.insert("seen_offset_us".to_owned(), "60000000".to_owned());
        broker.insert("seen_error_us".to_owned(), "5000".to_owned());
        assert!(as_the_control_node(&before, &broker).is_ok());
    }

    #[test]
    fn a_hosts_clock_is_seen_by_itself_and_by_the_control_node() {
        let before = host("b1", 1_000_000, 7);
        assert!(astray(&before, &host("b1", 1_090_000, 90_010)).is_ok());
        assert!(astray(&before, &host("b1", 1_090_000, 10)).is_err());
        assert!(astray(&before, &host("b1", 1_000_000, 90_010)).is_err());
        assert!(astray(&before, &host("b2", 1_090_000, 90_010)).is_err());
        assert!(right(&before, &host("b1", 1_000_001, 12)).is_ok());
        assert!(right(&before, &host("b1", 1_090_000, 90_010)).is_err());
        let wrong_before = host("b1", 1_000_000, 60_000);
        assert!(right(&wrong_before, &host("b1", 1_000_000, 60_010)).is_ok());
        assert!(right(&wrong_before, &host("b2", 5, 3)).is_ok());
    }
}
