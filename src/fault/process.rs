//! The broker's processes: killed, terminated, stopped, frozen, restarted.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, rolling, value};
use crate::catalog::Settings;

pub(super) fn kill(settings: &Settings, _: &Field, key: &str) -> Recipe {
    ended("KILL", settings, key)
}

pub(super) fn terminate(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let of_broker = settings
        .get("of")
        .is_none_or(|of| of.to_string() == "broker");
    Recipe {
        // To one that is frozen a signal comes when it goes on.
        needs: if of_broker {
            Needs::Thawed
        } else {
            Needs::Nothing
        },
        ..ended("TERM", settings, key)
    }
}

pub(super) fn stop(settings: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        needs: Needs::Thawed,
        ..ended("stop", settings, key)
    }
}

pub(super) fn pause(settings: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: frozen,
        healed: thawed,
        ..ended("pause", settings, key)
    }
}

pub(super) fn restart(settings: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        needs: Needs::Process,
        has_undo: false,
        bitten: replaced,
        healed: runs,
        ..ended("restart", settings, key)
    }
}

fn ended(what: &str, settings: &Settings, key: &str) -> Recipe {
    let word = |name: &str, otherwise: &str| {
        let setting = settings.get(name).map(ToString::to_string);
        setting.unwrap_or_else(|| otherwise.to_owned())
    };
    Recipe {
        shell: include_str!("process.sh").to_owned(),
        args: vec![
            what.to_owned(),
            word("of", "broker"),
            word("systemd_restart", "true"),
            key.to_owned(),
        ],
        needs: Needs::Nothing,
        towards: Vec::new(),
        has_undo: true,
        destroys: false,
        goes_down: false,
        bitten: gone,
        healed: runs,
        inject_deadline: Duration::from_secs(120),
        look_deadline: Duration::from_secs(15),
        mend_deadline: Duration::from_secs(120),
        rolling: rolling(settings),
    }
}

/// The process that ran before.
fn process(before: &Look) -> Result<&str, String> {
    match value(before, "process") {
        "" => Err("it did not run before".into()),
        process => Ok(process),
    }
}

pub(super) fn gone(before: &Look, now: &Look) -> Finding {
    let others = value(before, "others");
    if value(before, "process").is_empty() && value(now, "process").is_empty() && !others.is_empty()
    {
        return Ok(format!("it does not run; {others} ended it before"));
    }
    let was = process(before)?;
    match value(now, "process") {
        "" => Ok(format!(
            "process {was} is gone, its unit is {}",
            value(now, "unit")
        )),
        is if is == was => Err(format!("process {was} still runs")),
        is => Ok(format!("process {was} is gone, {is} has come")),
    }
}

fn replaced(before: &Look, now: &Look) -> Finding {
    let was = process(before)?;
    match value(now, "process") {
        "" => Err(format!("process {was} is gone, and no other has come")),
        is if is == was => Err(format!("process {was} still runs")),
        is => Ok(format!("process {was} is gone, {is} has come")),
    }
}

fn frozen(before: &Look, now: &Look) -> Finding {
    let was = process(before)?;
    match (value(now, "process"), value(now, "state")) {
        (is, "T") if is == was => Ok(format!("process {was} is stopped (T)")),
        (is, state) if is == was => Err(format!("process {was} is not stopped ({state})")),
        _ if value(now, "frozen") == was => Ok(format!(
            "process {was} was stopped (T), and is gone since then"
        )),
        _ => Err(format!("process {was} is gone")),
    }
}

fn thawed(before: &Look, now: &Look) -> Finding {
    let was = process(before)?;
    match (value(now, "process"), value(now, "state")) {
        (is, "T") if is == was => Err(format!("process {was} is still stopped (T)")),
        ("", _) => Err(format!("process {was} is gone")),
        (is, state) => Ok(format!("process {is} goes on ({state})")),
    }
}

pub(super) fn runs(before: &Look, now: &Look) -> Finding {
    match (value(before, "process"), value(now, "process")) {
        ("", _) => Ok("it did not run before either".into()),
        (_, "") => Err("it does not run".into()),
        (_, is) => Ok(format!("process {is} runs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(process: &str, state: &str) -> Look {
        [("process", process), ("state", state), ("unit", "active")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn what_became_of_a_process() {
        let (before, none) = (look("7@100", "S"), look("", ""));
        assert!(gone(&before, &none).is_ok());
        assert!(gone(&before, &look("9@200", "S")).is_ok());
        assert!(gone(&before, &before).is_err());
        assert!(gone(&none, &none).is_err());
        assert!(replaced(&before, &none).is_err());
        assert!(replaced(&before, &look("7@300", "S")).is_ok());
        assert!(frozen(&before, &look("7@100", "T")).is_ok());
        assert!(frozen(&before, &before).is_err());
        assert!(frozen(&before, &look("7@200", "T")).is_err());
        let mut seen = none.clone();
        seen.insert("frozen".to_owned(), "7@100".to_owned());
        assert!(frozen(&before, &seen).is_ok());
        assert!(frozen(&before, &none).is_err());
        let mut ended = none.clone();
        ended.insert("others".to_owned(), "f1".to_owned());
        assert!(gone(&ended, &ended).is_ok());
        assert!(gone(&ended, &before).is_err());
        assert!(thawed(&before, &look("7@100", "T")).is_err());
        assert!(thawed(&before, &before).is_ok());
        assert!(runs(&before, &none).is_err());
        assert!(runs(&none, &none).is_ok());
    }
}
