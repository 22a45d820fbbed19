//! Packets to the peers under a queueing discipline: slow, twice, damaged, out of order, lost in bursts, few.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, value};
use crate::catalog::{Setting, Settings};
use crate::inventory::NodeName;
use crate::node::clock_offset::CLOCKS;

pub(super) fn delay(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let mut words = format!("delay {}ms", ms(settings, "by"));
    let jitter = ms(settings, "jitter");
    if jitter > 0 {
        let distribution = word(settings, "distribution", "normal");
        words = format!("{words} {jitter}ms distribution {distribution}");
    }
    Recipe {
        bitten: |before, now| {
            let (was, is) = (echoes(before)?.rtt_us, echoes(now)?.rtt_us);
            let words = format!(
                "an echo takes {:.1} ms on average, {:.1} ms before",
                is as f64 / 1000.0,
                was as f64 / 1000.0
            );
            // A millisecond is the least that can be set.
            if is > was + 500 {
                Ok(words)
            } else {
                Err(words)
            }
        },
        ..recipe("delay", words, settings, key)
    }
}

pub(super) fn duplicate(settings: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: |_, now| {
            let echoes = echoes(now)?;
            counted(echoes.twice, echoes.sent, "echoes came twice")
        },
        ..recipe(
            "duplicate",
            format!("duplicate {}%", percent(settings, "share")),
            settings,
            key,
        )
    }
}

pub(super) fn corrupt(settings: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        // Whoever gets a damaged packet throws it away.
        bitten: |before, now| {
            let (before, echoes) = (echoes(before)?, echoes(now)?);
            if before.got < before.sent {
                return Err(format!(
                    "of {} echoes {} came before, too",
                    before.sent, before.got
                ));
            }
            counted(
                echoes.sent.saturating_sub(echoes.got),
                echoes.sent,
                "echoes did not come",
            )
        },
        ..recipe(
            "corrupt",
            format!("corrupt {}%", percent(settings, "share")),
            settings,
            key,
        )
    }
}

pub(super) fn reorder(settings: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: |_, now| {
            let echoes = echoes(now)?;
            counted(echoes.late, echoes.sent, "echoes were overtaken")
        },
        ..recipe(
            "reorder",
            format!("reorder {}% 50%", percent(settings, "share")),
            settings,
            key,
        )
    }
}

pub(super) fn loss_bursts(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let words = format!(
        "loss {}% {}%",
        percent(settings, "share"),
        percent(settings, "correlation")
    );
    Recipe {
        bitten: |_, now| match value(now, "dropped") {
            "" | "0" => Err("no packet was dropped yet".into()),
            packets => Ok(format!("{packets} packets dropped so far")),
        },
        ..recipe("loss-bursts", words, settings, key)
    }
}

pub(super) fn rate(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let rate = match settings.get("rate") {
        Some(Setting::Rate(rate)) => *rate,
        _ => 1_000_000,
    };
    Recipe {
        bitten: |_, now| {
            let number = |key| value(now, key).parse::<u64>().ok();
            match (number("passed"), number("allowed")) {
                (Some(passed), Some(allowed)) if passed > 0 && passed <= allowed => Ok(format!(
                    "{passed} bytes passed in a second of twice as many as may"
                )),
                (Some(passed), Some(_)) => Err(format!("{passed} bytes passed in a second")),
                _ => Err("the discipline is not there".into()),
            }
        },
        ..recipe("rate", rate.to_string(), settings, key)
    }
}

/// What came of the echoes that a host sent to its peers.
struct Echoes {
    sent: u64,
    got: u64,
    twice: u64,
    late: u64,
    rtt_us: u64,
}

fn echoes(look: &Look) -> Result<Echoes, String> {
    let number = |key| value(look, key).parse::<u64>();
    let read = || {
        Ok::<_, std::num::ParseIntError>(Echoes {
            sent: number("sent")?,
            got: number("got")?,
            twice: number("twice")?,
            late: number("late")?,
            rtt_us: number("rtt_us")?,
        })
    };
    let echoes = read().map_err(|_| "no echoes could be sent to the peers".to_owned())?;
    if echoes.got == 0 {
        return Err(format!("none of {} echoes was answered", echoes.sent));
    }
    Ok(echoes)
}

fn counted(count: u64, sent: u64, what: &str) -> Finding {
    let words = format!("{count} of {sent} {what}");
    if count > 0 { Ok(words) } else { Err(words) }
}

fn ms(settings: &Settings, name: &str) -> u128 {
    match settings.get(name) {
        Some(Setting::Duration(length)) => length.as_millis(),
        _ => 0,
    }
}

fn percent(settings: &Settings, name: &str) -> f64 {
    match settings.get(name) {
        Some(Setting::Percent(share)) => *share,
        _ => 0.0,
    }
}

fn word(settings: &Settings, name: &str, default: &str) -> String {
    let word = settings.get(name).map(ToString::to_string);
    word.unwrap_or_else(|| default.to_owned())
}

/// The nodes that a setting names.
pub(super) fn towards(settings: &Settings) -> Vec<NodeName> {
    let names = word(settings, "to", "");
    let names = names.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(|name| NodeName(name.to_owned()))
        .collect()
}

fn recipe(what: &str, words: String, settings: &Settings, key: &str) -> Recipe {
    Recipe {
        shell: [CLOCKS, include_str!("discipline.sh")].concat(),
        args: vec![what.to_owned(), words, key.to_owned()],
        needs: Needs::Nothing,
        towards: towards(settings),
        has_undo: true,
        destroys: false,
        goes_down: false,
        bitten: |_, _| Err(String::new()),
        healed: |_, now| match value(now, "tree") {
            "" => Ok("packets pass as they did".into()),
            _ => Err("our discipline is still there".into()),
        },
        inject_deadline: Duration::from_secs(30),
        look_deadline: Duration::from_secs(30),
        mend_deadline: Duration::from_secs(30),
        rolling: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::field;

    fn look(pairs: &[(&str, &str)]) -> Look {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn echoed(got: &str, twice: &str, late: &str, rtt_us: &str) -> Look {
        let keys = ["sent", "got", "twice", "late", "rtt_us"];
        let pairs: Vec<_> = keys
            .into_iter()
            .zip(["100", got, twice, late, rtt_us])
            .collect();
        look(&pairs)
    }

    #[test]
    fn what_tc_is_told() {
        let settings = Settings::from([
            (
                "by".to_owned(),
                Setting::Duration(Duration::from_millis(75)),
            ),
            (
                "jitter".to_owned(),
                Setting::Duration(Duration::from_millis(100)),
            ),
            ("to".to_owned(), Setting::Text("n1, n3".into())),
        ]);
        let slow = delay(&settings, &field(), "f1");
        assert_eq!(slow.args[1], "delay 75ms 100ms distribution normal");
        assert_eq!(slow.towards, [NodeName("n1".into()), NodeName("n3".into())]);
        let settings = Settings::from([
            ("share".to_owned(), Setting::Percent(2.5)),
            ("correlation".to_owned(), Setting::Percent(25.0)),
        ]);
        assert_eq!(
            loss_bursts(&settings, &field(), "f1").args[1],
            "loss 2.5% 25%"
        );
        assert_eq!(
            duplicate(&settings, &field(), "f1").args[1],
            "duplicate 2.5%"
        );
        assert!(corrupt(&settings, &field(), "f1").towards.is_empty());
    }

    #[test]
    fn what_the_echoes_tell_decides() {
        let settings = Settings::new();
        let whole = echoed("100", "0", "0", "300");
        let holds = |make: fn(&Settings, &Field, &str) -> Recipe, now: &Look| {
            (make(&settings, &field(), "f1").bitten)(&whole, now).is_ok()
        };
        assert!(holds(delay, &echoed("100", "0", "0", "76000")));
        assert!(!holds(delay, &whole) && !holds(delay, &Look::new()));
        assert!(holds(duplicate, &echoed("100", "4", "0", "300")));
        assert!(!holds(duplicate, &whole));
        assert!(holds(corrupt, &echoed("97", "0", "0", "300")));
        assert!(!holds(corrupt, &whole) && !holds(corrupt, &echoed("0", "0", "0", "0")));
        assert!(holds(reorder, &echoed("100", "0", "2", "300")));
        assert!(!holds(reorder, &whole));
        let lossy = echoed("98", "0", "0", "300");
        let corrupt = corrupt(&settings, &field(), "f1");
        assert!((corrupt.bitten)(&lossy, &lossy).is_err());
    }

    #[test]
    fn what_the_kernel_counts_decides() {
        let settings = Settings::new();
        let bursts = loss_bursts(&settings, &field(), "f1");
        assert!((bursts.bitten)(&Look::new(), &look(&[("dropped", "4")])).is_ok());
        assert!((bursts.bitten)(&Look::new(), &look(&[("dropped", "0")])).is_err());
        let rate = rate(&settings, &field(), "f1");
        let passed = |bytes| look(&[("passed", bytes), ("allowed", "150000")]);
        assert!((rate.bitten)(&Look::new(), &passed("120000")).is_ok());
        assert!((rate.bitten)(&Look::new(), &passed("250000")).is_err());
        assert!((rate.bitten)(&Look::new(), &Look::new()).is_err());
        assert!((rate.healed)(&Look::new(), &Look::new()).is_ok());
        assert!((rate.healed)(&Look::new(), &look(&[("tree", "yes")])).is_err());
    }
}
