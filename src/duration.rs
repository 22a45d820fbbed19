//! Durations as people read and write them, `250ms`, `10s`, `1m30s`, `2h`, and as files of a run have them.

use std::time::Duration;

/// The units, largest first, in milliseconds.
const UNITS_MS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Writes a duration as scenarios have it; parts below a millisecond are dropped.
pub fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS_MS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// Durations as whole milliseconds.
pub mod duration_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes milliseconds.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads milliseconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::show;
    use crate::yaml::parse_duration;

    #[test]
    fn shows_the_parts_there_are() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (10_000, "10s"),
            (90_000, "1m30s"),
            (7_200_000, "2h"),
            (3_661_001, "1h1m1s1ms"),
        ] {
            assert_eq!(show(Duration::from_millis(ms)), text);
        }
    }

    proptest! {
        #[test]
        fn shown_and_read_back_is_the_same(ms in any::<u64>()) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show(duration)), Some(duration));
        }
    }
}
