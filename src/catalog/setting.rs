//! What can be set about a fault: from a text, as a scenario and a command line give it alike.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{did_you_mean, quoted};
use crate::duration::{self, duration_ms};
use crate::yaml::parse_duration;

/// The settings of one fault, by the names of its parameters.
pub type Settings = BTreeMap<String, Setting>;

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// A share of a hundred.
    Percent(f64),
    /// A length of time.
    Duration(#[serde(with = "duration_ms")] Duration),
    /// A difference of time, in milliseconds.
    OffsetMs(i64),
    /// How many times as fast.
    Factor(f64),
    /// A whole number.
    Number(u64),
    /// Bytes.
    Bytes(u64),
    /// Bits per second.
    Rate(u64),
    /// One of some words.
    Word(String),
    /// Yes or no.
    Bool(bool),
    /// TCP ports.
    Ports(Vec<u16>),
    /// Any text.
    Text(String),
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// `30%`, from 0 to 100.
    Percent,
    /// The same, up to so much.
    PercentTo(u8),
    /// `100ms`, from and to.
    Duration(Duration, Duration),
    /// `+90s`, `-250ms`.
    Offset,
    /// `1.5`, more than 0, up to 10.
    Factor,
    /// A whole number, from and to.
    Number(u64, u64),
    /// `64MB`; thousands, not 1024s.
    Bytes,
    /// `1mbit` per second.
    Rate,
    /// One of these.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// `5672,25672`.
    Ports,
    /// Any text of so many characters at most.
    Text(usize),
}

/// Why a text is no setting, and what could be written instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct Unfit {
    /// What does not fit.
    pub problem: String,
    /// What to write.
    pub remedy: String,
}

impl Takes {
    /// Reads a text.
    pub fn read(self, text: &str) -> Result<Setting, Unfit> {
        let unfit = |problem: &str, remedy: String| Unfit {
            problem: format!("{} {problem}", quoted(text)),
            remedy,
        };
        let setting = match self {
            Self::Percent => percent(text).map(Setting::Percent),
            Self::PercentTo(max) => percent(text)
                .filter(|share| *share <= f64::from(max))
                .map(Setting::Percent),
            Self::Duration(min, max) => parse_duration(text)
                .filter(|length| (min..=max).contains(length))
                .map(Setting::Duration),
            Self::Offset => offset_ms(text).map(Setting::OffsetMs),
            Self::Factor => decimal(text)
                .filter(|factor| *factor > 0.0 && *factor <= 10.0)
                .map(Setting::Factor),
            Self::Number(min, max) => text
                .parse()
                .ok()
                .filter(|number| (min..=max).contains(number))
                .map(Setting::Number),
            Self::Bytes => scaled(
                text,
                &[("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)],
            )
            .map(Setting::Bytes),
            Self::Rate => scaled(
                text,
                &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000)],
            )
            .map(Setting::Rate),
            Self::Word(words) => {
                return if words.contains(&text) {
                    Ok(Setting::Word(text.to_owned()))
                } else {
                    Err(unfit(
                        "is no choice here",
                        did_you_mean(text, words.iter().copied()),
                    ))
                };
            }
            Self::Bool => match text {
                "true" | "yes" | "on" => Some(Setting::Bool(true)),
                "false" | "no" | "off" => Some(Setting::Bool(false)),
                _ => None,
            },
            Self::Ports => ports(text).map(Setting::Ports),
            Self::Text(chars_max) => Some(text)
                .filter(|text| {
                    text.chars().count() <= chars_max && !text.chars().any(char::is_control)
                })
                .map(|text| Setting::Text(text.to_owned())),
        };
        setting.ok_or_else(|| unfit("does not fit here", format!("write {self}")))
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent => f.write_str("a percentage from 0% to 100%"),
            Self::PercentTo(max) => write!(f, "a percentage from 0% to {max}%"),
            Self::Duration(min, max) => write!(
                f,
                "a time from {} to {}",
                duration::show(*min),
                duration::show(*max)
            ),
            Self::Offset => f.write_str("a time with a sign, such as `+90s` or `-250ms`"),
            Self::Factor => f.write_str("a factor above 0, up to 10, such as `1.5`"),
            Self::Number(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::Bytes => f.write_str("a size such as `64MB`, in kB, MB or GB"),
            Self::Rate => f.write_str("a rate such as `1mbit`, in kbit, mbit or gbit per second"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Bool => f.write_str("`true` or `false`"),
            Self::Ports => f.write_str("up to 15 ports, such as `5672,25672`"),
            Self::Text(chars_max) => write!(f, "a text of up to {chars_max} characters"),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(share) => write!(f, "{share}%"),
            Self::Duration(length) => f.write_str(&duration::show(*length)),
            Self::OffsetMs(offset) => {
                let sign = if *offset < 0 { '-' } else { '+' };
                let length = Duration::from_millis(offset.unsigned_abs());
                write!(f, "{sign}{}", duration::show(length))
            }
            Self::Factor(factor) => write!(f, "{factor}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bytes(bytes) => f.write_str(&unscaled(
                *bytes,
                &[("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)],
            )),
            Self::Rate(rate) => f.write_str(&unscaled(
                *rate,
                &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000)],
            )),
            Self::Word(text) | Self::Text(text) => f.write_str(text),
            Self::Bool(is) => write!(f, "{is}"),
            Self::Ports(ports) => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                f.write_str(&ports.join(","))
            }
        }
    }
}

fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse::<f64>().ok().filter(|_| is_plain)
}

fn percent(text: &str) -> Option<f64> {
    decimal(text.strip_suffix('%')?).filter(|share| *share <= 100.0)
}

fn offset_ms(text: &str) -> Option<i64> {
    let (sign, length) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let length = parse_duration(length).filter(|length| *length > Duration::ZERO)?;
    Some(sign * i64::try_from(length.as_millis()).ok()?)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let number = number.trim_end();
    let is_whole = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<u64>().ok().filter(|_| is_whole)?;
    number.checked_mul(*unit).filter(|value| *value > 0)
}

fn unscaled(value: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, unit)| value.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", value / unit),
        None => value.to_string(),
    }
}

fn ports(text: &str) -> Option<Vec<u16>> {
    let mut ports = Vec::new();
    for port in text.split(',').map(str::trim) {
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    // The match that takes several ports takes 15.
    (ports.len() <= 15).then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_told_again() {
        let second = Duration::from_secs(1);
        for (takes, texts) in [
            (Takes::Percent, &["0%", "2.5%", "100%"] as &[&str]),
            (
                Takes::Duration(Duration::ZERO, second),
                &["0s", "5ms", "1s"],
            ),
            (Takes::Offset, &["+1m30s", "-250ms"]),
            (Takes::Factor, &["1.5", "0.25", "2"]),
            (Takes::Number(1, 9), &["1", "9"]),
            (Takes::Bytes, &["64MB", "1GB", "3kB"]),
            (Takes::Rate, &["1mbit", "64kbit"]),
            (Takes::Word(&["in", "out"]), &["in"]),
            (Takes::Bool, &["true", "false"]),
            (Takes::Ports, &["5672", "5672,25672"]),
            (Takes::Text(8), &["a b"]),
        ] {
            for text in texts {
                let shown = takes.read(text).map(|setting| setting.to_string());
                assert_eq!(shown.as_deref(), Ok(*text));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_a_remedy() {
        let second = Duration::from_secs(1);
        for (takes, text) in [
            (Takes::Percent, "101%"),
            (Takes::PercentTo(99), "99.1%"),
            (Takes::Percent, "30"),
            (Takes::Percent, "1e1%"),
            (Takes::Duration(Duration::ZERO, second), "2s"),
            (Takes::Offset, "90s"),
            (Takes::Offset, "+0s"),
            (Takes::Factor, "0"),
            (Takes::Factor, "inf"),
            (Takes::Number(1, 9), "0"),
            (Takes::Bytes, "64"),
            (Takes::Bytes, "99999999999999GB"),
            (Takes::Rate, "-1mbit"),
            (Takes::Word(&["in", "out"]), "inn"),
            (Takes::Bool, "maybe"),
            (Takes::Ports, "0"),
            (Takes::Ports, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"),
            (Takes::Text(2), "abc"),
            (Takes::Text(9), "a\nb"),
            (Takes::Offset, "+é"),
        ] {
            let unfit = takes.read(text).unwrap_err();
            assert!(!unfit.remedy.is_empty(), "{text}");
        }
        let unfit = Takes::Word(&["in", "out"]).read("inn").unwrap_err();
        assert!(unfit.remedy.contains("in"), "{unfit}");
    }

    #[test]
    fn settings_survive_a_file() {
        for setting in [
            Setting::Percent(2.5),
            Setting::Duration(Duration::from_millis(5)),
            Setting::OffsetMs(-250),
            Setting::Ports(vec![5672]),
        ] {
            let text = serde_json::to_string(&setting).unwrap();
            assert_eq!(serde_json::from_str::<Setting>(&text).unwrap(), setting);
        }
    }
}
