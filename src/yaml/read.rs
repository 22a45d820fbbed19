//! Readers of single values. Each pushes a diagnostic and returns `None` where it does not fit.
//!
//! `what` names the value in messages (`port of n1`).

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Entry, Fields, Kind, Value};
use crate::diagnostic::{Collector, did_you_mean, quoted};

impl Value {
    /// A mapping, whose keys are then taken one by one.
    pub fn fields<'v>(&'v self, what: &str, to: &mut Collector<'_>) -> Option<Fields<'v>> {
        let entries = self.mapping(what, to)?;
        Some(Fields::new(self.place, entries))
    }

    /// The entries of a mapping.
    pub fn mapping(&self, what: &str, to: &mut Collector<'_>) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => {
                self.mismatch(what, "a mapping (`key: value`, indented)", to)
            }
        }
    }

    /// The values of a list.
    pub fn sequence(&self, what: &str, to: &mut Collector<'_>) -> Option<&[Value]> {
        match &self.kind {
            Kind::Sequence(values) => Some(values),
            Kind::Null | Kind::Scalar { .. } | Kind::Mapping(_) => {
                self.mismatch(what, "a list (`[a, b]`)", to)
            }
        }
    }

    /// A scalar's text, as it is, quoted or not.
    pub fn text(&self, what: &str, to: &mut Collector<'_>) -> Option<&str> {
        if let Some(tag) = &self.tag {
            let remedy = if tag == "!vault" {
                "give it by an environment variable: \"{{ lookup('env', 'NAME') }}\""
            } else {
                "write the value without a tag"
            };
            to.error(
                self.place,
                format!("{what} has the tag {}, which is not read here", quoted(tag)),
                remedy,
            );
            return None;
        }
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => {
                self.mismatch(what, "a single value", to)
            }
        }
    }

    /// A whole number in a range.
    pub fn u64(
        &self,
        what: &str,
        range: RangeInclusive<u64>,
        to: &mut Collector<'_>,
    ) -> Option<u64> {
        let text = self.text(what, to)?;
        // No leading zeros: YAML 1.1, and so Ansible, takes them for octal.
        let number = (text == "0" || !text.starts_with('0'))
            .then(|| text.parse::<u64>().ok())
            .flatten()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        to.error(
            self.place,
            format!(
                "{what} must be a whole number {}, not {}",
                span(&range),
                quoted(text)
            ),
            format!("write a number {}, without quotes or unit", span(&range)),
        );
        None
    }

    /// A finite number, not negative.
    pub fn f64(&self, what: &str, to: &mut Collector<'_>) -> Option<f64> {
        let text = self.text(what, to)?;
        let number = text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && *number >= 0.0)
            .filter(|_| text.starts_with(|first: char| first.is_ascii_digit()));
        if number.is_none() {
            to.error(
                self.place,
                format!("{what} must be a number, not {}", quoted(text)),
                "write a number such as `50` or `0.5`",
            );
        }
        number
    }

    /// `true`/`false`, and as Ansible also has it `yes`/`no`, `on`/`off`, quoted or not.
    pub fn bool(&self, what: &str, to: &mut Collector<'_>) -> Option<bool> {
        let text = self.text(what, to)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => {
                to.error(
                    self.place,
                    format!("{what} must be `true` or `false`, not {}", quoted(text)),
                    "write `true` or `false`",
                );
                None
            }
        }
    }

    /// A duration with units: `250ms`, `10s`, `1m30s`, `2h`; zero may go without.
    pub fn duration(&self, what: &str, to: &mut Collector<'_>) -> Option<Duration> {
        let text = self.text(what, to)?;
        let duration = parse_duration(text);
        if duration.is_none() {
            to.error(
                self.place,
                format!("{what} must be a duration, not {}", quoted(text)),
                if text.bytes().all(|byte| byte.is_ascii_digit()) {
                    format!("add the unit: `{text}s` or `{text}ms`")
                } else {
                    "write whole numbers with units: `250ms`, `10s`, `1m30s`, `2h`".to_owned()
                },
            );
        }
        duration
    }

    /// One of some words.
    pub fn choice<T: Clone>(
        &self,
        what: &str,
        choices: &[(&'static str, T)],
        to: &mut Collector<'_>,
    ) -> Option<T> {
        let text = self.text(what, to)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(choice.clone());
        }
        to.error(
            self.place,
            format!("{what} cannot be {}", quoted(text)),
            did_you_mean(text, choices.iter().map(|(word, _)| *word)),
        );
        None
    }

    fn mismatch<T>(&self, what: &str, expected: &str, to: &mut Collector<'_>) -> Option<T> {
        to.error(
            self.place,
            format!("{what} must be {expected}, not {}", self.kind_name()),
            format!("write {expected} here, or remove the key"),
        );
        None
    }
}

fn span(range: &RangeInclusive<u64>) -> String {
    match (range.start(), range.end()) {
        (0, &u64::MAX) => "from 0 upward".to_owned(),
        (start, &u64::MAX) => format!("from {start} upward"),
        (start, end) => format!("from {start} to {end}"),
    }
}

/// `1m30s`: whole numbers with units, the largest first, none twice.
///
/// ```
/// use std::time::Duration;
/// use jtest::yaml::parse_duration;
/// assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
/// assert_eq!(parse_duration("90"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS_MS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut units = UNITS_MS.iter();
    let mut total_ms: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (_, unit_ms) = units.find(|(unit, _)| *unit == &rest[..letters])?;
        rest = &rest[letters..];
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}
