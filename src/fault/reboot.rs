//! The host goes down and comes back: in order, or as by a loss of power.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, rolling, value};
use crate::catalog::Settings;

/// For a host to boot, and for its broker to start.
const BOOT_DEADLINE: Duration = Duration::from_secs(300);

pub(super) fn reboot(settings: &Settings, _: &Field, _: &str) -> Recipe {
    recipe("order", settings)
}

pub(super) fn power_cycle(settings: &Settings, _: &Field, _: &str) -> Recipe {
    Recipe {
        bitten: lost_power,
        ..recipe("power", settings)
    }
}

fn recipe(what: &str, settings: &Settings) -> Recipe {
    Recipe {
        shell: include_str!("reboot.sh").to_owned(),
        args: vec![what.to_owned()],
        needs: Needs::Nothing,
        towards: Vec::new(),
        has_undo: false,
        destroys: false,
        goes_down: true,
        bitten: booted,
        healed: runs,
        inject_deadline: Duration::from_secs(30),
        look_deadline: Duration::from_secs(20),
        mend_deadline: BOOT_DEADLINE,
        rolling: rolling(settings),
    }
}

fn booted(before: &Look, now: &Look) -> Finding {
    match (value(before, "boot"), value(now, "boot")) {
        ("", _) => Err("nobody knows its boot id from before".into()),
        (_, "") => Err("it does not tell its boot id".into()),
        (was, is) if was == is => Err(format!("its boot id is {is} still")),
        (was, is) => Ok(format!("it booted: boot id {is}, {was} before")),
    }
}

fn lost_power(before: &Look, now: &Look) -> Finding {
    let words = booted(before, now)?;
    if value(now, "unsynced") == value(before, "boot") {
        return Err(format!("{words}, but what was not synced is still there"));
    }
    Ok(format!(
        "{words}; what was written last and not synced is gone"
    ))
}

fn runs(before: &Look, now: &Look) -> Finding {
    booted(before, now)?;
    match (value(before, "broker"), value(now, "broker")) {
        ("active", "active") => Ok("it is back, its broker runs".into()),
        ("active", now) => Err(format!("its broker is {now}")),
        _ => Ok("it is back; no broker ran there before".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(boot: &str, unsynced: &str, broker: &str) -> Look {
        [("boot", boot), ("unsynced", unsynced), ("broker", broker)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn another_boot_id_is_another_boot() {
        let before = look("b1", "", "active");
        assert!(booted(&before, &look("b2", "", "inactive")).is_ok());
        assert!(booted(&before, &before).is_err());
        assert!(booted(&before, &Look::new()).is_err());
        assert!(booted(&Look::new(), &before).is_err());
    }

    #[test]
    fn a_loss_of_power_loses_what_was_not_synced() {
        let before = look("b1", "", "active");
        assert!(lost_power(&before, &look("b2", "", "active")).is_ok());
        assert!(lost_power(&before, &look("b2", "b1", "active")).is_err());
        assert!(lost_power(&before, &look("b1", "b1", "active")).is_err());
    }

    #[test]
    fn it_is_back_when_its_broker_is() {
        let before = look("b1", "", "active");
        assert!(runs(&before, &look("b2", "", "active")).is_ok());
        assert!(runs(&before, &look("b2", "", "activating")).is_err());
        assert!(runs(&before, &before).is_err());
        assert!(runs(&look("b1", "", "inactive"), &look("b2", "", "inactive")).is_ok());
    }
}
