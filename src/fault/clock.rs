//! The broker's clock: it jumps, goes too fast or too slow, or flutters.
//!
//! The broker is told another time by libfaketime, its monotonic clock excepted; the host's own
//! clock is left alone, which it may share with others.

use std::time::Duration;

use super::Field;
use super::node_fault::{Finding, Look, Recipe, value};
use crate::catalog::{Setting, Settings};
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

fn offset_ms(settings: &Settings) -> String {
    match settings.get("by") {
        Some(Setting::OffsetMs(by)) => by.to_string(),
        _ => "0".to_owned(),
    }
}

fn recipe(what: &str, [first, second]: [String; 2], key: &str) -> Recipe {
    Recipe {
        shell: [rabbitmq::SHELL, include_str!("clock.sh")].join("\n"),
        args: vec![what.to_owned(), first, second, key.to_owned()],
        towards: Vec::new(),
        has_undo: true,
        destroys: false,
        bitten: astray,
        healed: right,
        inject_deadline: Duration::from_secs(180),
        look_deadline: Duration::from_secs(60),
        mend_deadline: Duration::from_secs(60),
        rolling: None,
    }
}

fn offset(look: &Look) -> Result<(i64, i64), String> {
    let number = |key| value(look, key).parse::<i64>().ok();
    let measured = number("offset_ms").zip(number("error_ms"));
    measured.ok_or_else(|| "the broker does not tell its time".to_owned())
}

fn astray(before: &Look, now: &Look) -> Finding {
    let ((was, _), (is, error)) = (offset(before)?, offset(now)?);
    let words = format!("the broker's clock is {is:+} ms off (±{error}), {was:+} ms before");
    if (is - was).abs() > TOLERANCE_MS + error {
        Ok(words)
    } else {
        Err(words)
    }
}

fn right(_: &Look, now: &Look) -> Finding {
    let (is, error) = offset(now)?;
    let words = format!("the broker's clock is {is:+} ms off (±{error})");
    if is.abs() <= TOLERANCE_MS + error {
        Ok(words)
    } else {
        Err(words)
    }
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
}
