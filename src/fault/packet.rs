//! Packets to the peers: lost by chance, or held back by a limited bandwidth.

use std::time::Duration;

use super::Field;
use super::node_fault::{Recipe, value};
use crate::catalog::{Setting, Settings};

pub(super) fn loss(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let share = match settings.get("share") {
        Some(Setting::Percent(share)) => share / 100.0,
        _ => 0.0,
    };
    Recipe {
        bitten: |_, now| match value(now, "dropped") {
            "" | "0" => Err("no packet was dropped yet".into()),
            packets => Ok(format!("{packets} packets dropped so far")),
        },
        healed: |_, now| match value(now, "rules") {
            "0" => Ok("its rules are gone".into()),
            "" => Err("the firewall could not be read".into()),
            rules => Err(format!("{rules} of its rules are still there")),
        },
        ..recipe("loss", share.to_string(), key)
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
        healed: |_, now| match value(now, "passed") {
            "" => Ok("the interface has the discipline that it had".into()),
            _ => Err("our discipline is still there".into()),
        },
        ..recipe("rate", rate.to_string(), key)
    }
}

fn recipe(what: &str, amount: String, key: &str) -> Recipe {
    Recipe {
        shell: include_str!("packet.sh").to_owned(),
        args: vec![what.to_owned(), amount, key.to_owned()],
        has_undo: true,
        destroys: false,
        bitten: |_, _| Err(String::new()),
        healed: |_, _| Err(String::new()),
        inject_deadline: Duration::from_secs(30),
        look_deadline: Duration::from_secs(30),
        mend_deadline: Duration::from_secs(30),
        rolling: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::node_fault::Look;
    use crate::fault::testing::field;

    fn look(pairs: &[(&str, &str)]) -> Look {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_the_kernel_counts_decides() {
        let settings = Settings::from([("share".to_owned(), Setting::Percent(2.5))]);
        let loss = loss(&settings, &field(), "f1");
        assert_eq!(loss.args[1], "0.025");
        assert!((loss.bitten)(&Look::new(), &look(&[("dropped", "4")])).is_ok());
        assert!((loss.bitten)(&Look::new(), &look(&[("dropped", "0")])).is_err());
        assert!((loss.healed)(&Look::new(), &look(&[("rules", "0"), ("dropped", "0")])).is_ok());
        assert!((loss.healed)(&Look::new(), &look(&[("rules", "2"), ("dropped", "9")])).is_err());
        assert!((loss.healed)(&Look::new(), &Look::new()).is_err());
        let rate = rate(&Settings::new(), &field(), "f1");
        let passed = |bytes| look(&[("passed", bytes), ("allowed", "150000")]);
        assert!((rate.bitten)(&Look::new(), &passed("120000")).is_ok());
        assert!((rate.bitten)(&Look::new(), &passed("250000")).is_err());
        assert!((rate.bitten)(&Look::new(), &Look::new()).is_err());
        assert!((rate.healed)(&Look::new(), &Look::new()).is_ok());
    }
}
