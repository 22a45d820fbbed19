//! What a run is called: its scenario and when it began, as its directory is named.

use std::ffi::OsStr;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Characters of a time, as in `20261123T090807Z`.
const TIME_CHARS: usize = 16;

/// A run's name, `partitions/20261123T090807Z`. Later ones are greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunName {
    /// The name of the run's directory: when it began, and a number where several began in one second.
    pub time: String,
    /// The name of the directory that it is in.
    pub scenario: String,
}

impl RunName {
    /// From the names of the two directories; `None` where no run has such names.
    pub fn new(scenario: &OsStr, time: &OsStr) -> Option<Self> {
        let name = Self {
            time: time.to_str()?.to_owned(),
            scenario: scenario.to_str()?.to_owned(),
        };
        let (_, number) = name.time.split_at_checked(TIME_CHARS)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_numbered = number.is_empty() || number.strip_prefix('-').is_some_and(digits);
        (is_numbered && name.began().is_some()).then_some(name)
    }

    /// When it began, to the second.
    pub fn began(&self) -> Option<Timestamp> {
        let time = self.time.get(..TIME_CHARS)?;
        let time = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scenario, self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_are_names_of_runs() {
        let name = |time: &str| RunName::new("cut".as_ref(), time.as_ref());
        for time in [
            "20261123T090807Z",
            "20261123T090807Z-1",
            "20261123T090807Z-99",
        ] {
            let name = name(time).unwrap();
            assert_eq!(name.to_string(), format!("cut/{time}"));
            assert_eq!(name.began().unwrap().to_string(), "2026-11-23T09:08:07Z");
        }
        for time in [
            "",
            "latest",
            "20261123T090807",
            "20261123T090807Z-",
            "20261123T090807Z-x",
            "20261123T090807Z1",
            "20261323T090807Z",
            "20261123 090807Z",
            "2026112ü090807Z",
        ] {
            assert_eq!(name(time), None, "{time}");
        }
    }

    #[test]
    fn later_runs_are_greater_whatever_their_scenario() {
        let name = |scenario: &str, time: &str| RunName::new(scenario.as_ref(), time.as_ref());
        assert!(name("a", "20261123T090808Z") > name("b", "20261123T090807Z"));
    }
}
