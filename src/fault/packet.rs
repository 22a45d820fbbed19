//! Packets to the peers, lost by chance.

use std::time::Duration;

use super::recipe::{Needs, Recipe, value};
use super::{Field, discipline};
use crate::catalog::{Setting, Settings};

pub(super) fn loss(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let share = match settings.get("share") {
        Some(Setting::Percent(share)) => share / 100.0,
        _ => 0.0,
    };
    Recipe {
        shell: include_str!("packet.sh").to_owned(),
        args: vec![share.to_string(), key.to_owned()],
        needs: Needs::Nothing,
        towards: discipline::towards(settings),
        has_undo: true,
        destroys: false,
        goes_down: false,
        inject_deadline: Duration::from_secs(30),
        look_deadline: Duration::from_secs(30),
        mend_deadline: Duration::from_secs(30),
        rolling: None,
        bitten: |_, now| match value(now, "dropped") {
            "" | "0" => Err("no packet was dropped yet".into()),
            packets => Ok(format!("{packets} packets dropped so far")),
        },
        healed: |_, now| match value(now, "rules") {
            "0" => Ok("its rules are gone".into()),
            "" => Err("the firewall could not be read".into()),
            rules => Err(format!("{rules} of its rules are still there")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::recipe::Look;
    use crate::fault::testing::field;

    fn look(pairs: &[(&str, &str)]) -> Look {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_the_kernel_counts_decides() {
        let settings = Settings::from([("share".to_owned(), Setting::Percent(2.5))]);
        let loss = loss(&settings, &field(), "f1");
        assert_eq!(loss.args[0], "0.025");
        assert!((loss.bitten)(&Look::new(), &look(&[("dropped", "4")])).is_ok());
        assert!((loss.bitten)(&Look::new(), &look(&[("dropped", "0")])).is_err());
        assert!((loss.healed)(&Look::new(), &look(&[("rules", "0"), ("dropped", "0")])).is_ok());
        assert!((loss.healed)(&Look::new(), &look(&[("rules", "2"), ("dropped", "9")])).is_err());
        assert!((loss.healed)(&Look::new(), &Look::new()).is_err());
    }
}
