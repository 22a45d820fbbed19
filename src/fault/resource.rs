//! What the broker shares with others on its host: memory, disk, processors, file descriptors.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, value};
use crate::catalog::{Setting, Settings};
use crate::rabbitmq;

pub(super) fn memory_alarm(_: &Settings, _: &Field, key: &str) -> Recipe {
    recipe("memory-alarm", 0, key)
}

pub(super) fn disk_alarm(_: &Settings, _: &Field, key: &str) -> Recipe {
    recipe("disk-alarm", 0, key)
}

pub(super) fn cpu(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let processes = match settings.get("processes") {
        Some(Setting::Number(processes)) => *processes,
        _ => 1,
    };
    Recipe {
        bitten: |_, now| {
            let (processes, seconds) = (value(now, "processes"), value(now, "seconds"));
            match seconds.parse::<u64>() {
                Ok(used) if used > 0 => Ok(format!(
                    "{processes} processes have used {used} s of processor time"
                )),
                Ok(_) => Err(format!(
                    "{processes} processes have used no processor time yet"
                )),
                Err(_) => Err("there are no such processes".into()),
            }
        },
        needs: Needs::Nothing,
        healed: |_, now| absent(now, "processes"),
        ..recipe("cpu", processes, key)
    }
}

pub(super) fn memory(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let bytes = match settings.get("size") {
        Some(Setting::Bytes(bytes)) => *bytes,
        _ => 0,
    };
    Recipe {
        bitten: |_, now| match value(now, "resident_kib").parse::<u64>() {
            Ok(kib) if kib > 0 => Ok(format!("a process holds {kib} KiB")),
            _ => Err("there is no such process".into()),
        },
        needs: Needs::Nothing,
        healed: |_, now| absent(now, "resident_kib"),
        ..recipe("memory", bytes, key)
    }
}

pub(super) fn descriptors(_: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        needs: Needs::Process,
        // Another fault may have set it before; what was before both is noted.
        bitten: |_, now| match (value(now, "noted"), value(now, "limit")) {
            ("", _) => Err("no broker ran before".into()),
            (_, "") => Err("no broker runs".into()),
            (was, is) if was == is => Err(format!("the limit is {was} as before")),
            (was, is) => Ok(format!("the kernel says {is} files at most, {was} before")),
        },
        healed: |before, now| match (value(before, "limit"), value(now, "limit")) {
            (_, "") => Err("no broker runs".into()),
            (was, is) if was == is => Ok(format!("the kernel says {is} files as before")),
            (was, is) => Err(format!("the limit is {is}, and was {was}")),
        },
        ..recipe("descriptors", 0, key)
    }
}

fn recipe(what: &str, amount: u64, key: &str) -> Recipe {
    Recipe {
        shell: [rabbitmq::SHELL, include_str!("resource.sh")].join("\n"),
        args: vec![what.to_owned(), amount.to_string(), key.to_owned()],
        needs: Needs::App,
        towards: Vec::new(),
        has_undo: true,
        destroys: false,
        goes_down: false,
        bitten: alarmed,
        healed: calm,
        inject_deadline: Duration::from_secs(60),
        look_deadline: Duration::from_secs(60),
        mend_deadline: Duration::from_secs(60),
        rolling: None,
    }
}

fn alarmed(before: &Look, now: &Look) -> Finding {
    match (value(before, "alarm"), value(now, "alarm")) {
        ("off", "on") => Ok("the broker has raised the alarm".into()),
        ("off", _) => Err("the broker has raised no alarm".into()),
        ("on", "on") if !value(before, "others").is_empty() => Ok(format!(
            "the broker has the alarm, by {} before",
            value(before, "others")
        )),
        _ => Err("the broker had the alarm before, or did not answer".into()),
    }
}

fn calm(_: &Look, now: &Look) -> Finding {
    match value(now, "alarm") {
        "off" => Ok("the broker has no such alarm".into()),
        "on" => Err("the broker has the alarm still".into()),
        _ => Err("the broker does not answer".into()),
    }
}

fn absent(now: &Look, key: &str) -> Finding {
    match value(now, key) {
        "" => Ok("our processes are gone".into()),
        _ => Err("our processes are still there".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(key: &str, value: &str) -> Look {
        Look::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn an_alarm_counts_that_was_not_there_before() {
        let (on, off) = (look("alarm", "on"), look("alarm", "off"));
        assert!(alarmed(&off, &on).is_ok());
        assert!(alarmed(&off, &off).is_err());
        assert!(alarmed(&on, &on).is_err());
        assert!(alarmed(&Look::new(), &on).is_err());
        assert!(calm(&off, &off).is_ok());
        assert!(calm(&off, &on).is_err());
        assert!(calm(&off, &Look::new()).is_err());
    }

    #[test]
    fn pressure_is_what_is_measured() {
        let none = Look::new();
        let cpu = cpu(&Settings::new(), &testing_field(), "f1");
        assert!((cpu.bitten)(&none, &none).is_err());
        let mut used = look("processes", "2");
        used.insert("seconds".into(), "0".into());
        assert!((cpu.bitten)(&none, &used).is_err());
        used.insert("seconds".into(), "3".into());
        assert!((cpu.bitten)(&none, &used).is_ok());
        assert!((cpu.healed)(&none, &used).is_err());
        assert!((cpu.healed)(&none, &none).is_ok());
        let memory = memory(&Settings::new(), &testing_field(), "f1");
        assert!((memory.bitten)(&none, &look("resident_kib", "9")).is_ok());
        assert!((memory.bitten)(&none, &none).is_err());
        let files = descriptors(&Settings::new(), &testing_field(), "f1");
        let (mut wide, mut tight) = (look("limit", "65536"), look("limit", "80"));
        assert!((files.bitten)(&wide, &tight).is_err());
        for noted in [&mut wide, &mut tight] {
            noted.insert("noted".into(), "65536".into());
        }
        assert!((files.bitten)(&wide, &tight).is_ok());
        assert!((files.bitten)(&wide, &wide).is_err());
        assert!((files.healed)(&wide, &tight).is_err());
        assert!((files.healed)(&wide, &wide).is_ok());
    }

    fn testing_field() -> Field {
        crate::fault::testing::field()
    }
}
