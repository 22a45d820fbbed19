//! A host's clock against the control node's, measured as NTP does: ask for the time, and
//! take the answer to be from the middle of the round trip (RFC 5905, section 8).
//!
//! Of several exchanges the one with the shortest round trip counts; half of that is how far
//! the result may be wrong. The control node's system clock is only ever read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::remote::{Host, Process, RemoteError, Script};

/// How often the host is asked.
const EXCHANGES: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(15);

/// Defines the shell variable `clocks_program`, with which a perl program begins that reads the clocks of the kernel.
pub const CLOCKS: &str = concat!("clocks_program='", include_str!("clocks.pl"), "'\n");

/// The end of a script that has its clock measured, after [`CLOCKS`]: answers each line with the microseconds of
/// the system clock. perl answers sooner than a new process of `date` could.
const ANSWER: &str = r#"
if perl -e "$clocks_program" 2>/dev/null; then
  exec perl -e "$clocks_program"'$| = 1; while (<STDIN>) { printf "%d\n", now($wall) }'
fi
while read -r _; do echo "$(($(date +%s%N) / 1000))"; done
"#;

/// A host's clock minus the control node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// In microseconds; positive where the host's clock is ahead.
    pub offset_us: i64,
    /// How far that may be wrong, in microseconds.
    pub error_us: u64,
}

/// Measures; `None` where the host's answers are no times.
pub async fn measure(host: &Host) -> Result<Option<ClockOffset>, RemoteError> {
    let script = Script::new("read the clock", [CLOCKS, ANSWER].concat())
        .as_login_user()
        .deadline(DEADLINE);
    let mut process = host.open(&script).await?;
    let best = exchange(process.as_mut()).await?;
    process.finish().await?;
    Ok(best)
}

/// Measures over a script that answers each line with its time.
pub async fn exchange(process: &mut dyn Process) -> Result<Option<ClockOffset>, RemoteError> {
    let mut best: Option<ClockOffset> = None;
    for _ in 0..EXCHANGES {
        let asked = SystemTime::now();
        let began = Instant::now();
        process.write(b"\n").await?;
        let Some(answer) = process.read_line().await? else {
            break;
        };
        let round_trip = began.elapsed();
        let Some(offset) = offset(asked, round_trip, &answer) else {
            break;
        };
        if best.is_none_or(|best| offset.error_us < best.error_us) {
            best = Some(offset);
        }
    }
    Ok(best)
}

/// From one answer, the microseconds of the host's clock: of when it was asked and how long that took.
pub fn offset(asked: SystemTime, round_trip: Duration, answer: &str) -> Option<ClockOffset> {
    let host_us: i64 = answer.trim().parse().ok()?;
    let half = round_trip / 2;
    let middle = asked.checked_add(half)?.duration_since(UNIX_EPOCH).ok()?;
    let middle_us = i64::try_from(middle.as_micros()).ok()?;
    Some(ClockOffset {
        offset_us: host_us.checked_sub(middle_us)?,
        error_us: u64::try_from(half.as_micros()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{ClockOffset, offset};

    #[test]
    fn the_answer_is_from_the_middle_of_the_round_trip() {
        let asked = UNIX_EPOCH + Duration::from_micros(1_000_000);
        let round_trip = Duration::from_micros(400);
        for (answer, offset_us) in [("1000200", 0), ("1000900\n", 700), ("999200", -1000)] {
            assert_eq!(
                offset(asked, round_trip, answer),
                Some(ClockOffset {
                    offset_us,
                    error_us: 200
                })
            );
        }
    }

    #[test]
    fn an_answer_that_is_no_time_is_none() {
        for answer in ["", "never", "-9223372036854775808", "99999999999999999999"] {
            assert_eq!(offset(UNIX_EPOCH, Duration::MAX, answer), None, "{answer}");
        }
    }
}
