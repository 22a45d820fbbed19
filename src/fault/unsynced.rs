//! What the broker wrote and did not sync is lost, though its host goes on.

use std::time::Duration;

use super::Field;
use super::process;
use super::recipe::{Finding, Look, Recipe, value};
use crate::catalog::Settings;

pub(super) fn lose(settings: &Settings, field: &Field, key: &str) -> Recipe {
    let killed = process::kill(settings, field, key);
    Recipe {
        shell: [killed.shell.as_str(), include_str!("unsynced.sh")].join("\n"),
        args: ["KILL", "broker", "false", key].map(str::to_owned).into(),
        bitten: lost,
        healed: mounted_anew,
        look_deadline: Duration::from_secs(30),
        rolling: None,
        ..killed
    }
}

fn lost(before: &Look, now: &Look) -> Finding {
    let words = process::gone(before, now)?;
    match value(now, "unsynced") {
        "gone" => Ok(format!(
            "{words}; what was written last and not synced is gone"
        )),
        "there" => Err(format!("{words}, but what was not synced is still there")),
        _ => Err(format!("{words}, but nothing tells what was lost")),
    }
}

fn mounted_anew(before: &Look, now: &Look) -> Finding {
    let words = process::runs(before, now)?;
    match value(now, "write") {
        "done" => Ok(format!("{words}, a new file can be made")),
        now => Err(format!("{words}, a new file: {now}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(process: &str, key: &str, value: &str) -> Look {
        [("process", process), (key, value)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn what_is_lost_and_who_was_killed_decide() {
        let before = look("7@100", "write", "done");
        assert!(lost(&before, &look("", "unsynced", "gone")).is_ok());
        assert!(lost(&before, &look("", "unsynced", "there")).is_err());
        assert!(lost(&before, &look("", "write", "done")).is_err());
        assert!(lost(&before, &look("7@100", "unsynced", "gone")).is_err());
    }

    #[test]
    fn it_is_over_when_the_broker_runs_and_can_write() {
        let before = look("7@100", "write", "done");
        assert!(mounted_anew(&before, &look("9@200", "write", "done")).is_ok());
        assert!(mounted_anew(&before, &look("9@200", "write", "Input/output error")).is_err());
        assert!(mounted_anew(&before, &look("", "write", "done")).is_err());
    }
}
