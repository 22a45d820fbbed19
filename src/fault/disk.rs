//! Where the broker keeps its data: full, slow, read-only, damaged.

use std::time::Duration;

use super::Field;
use super::recipe::{Look, Needs, Recipe, value};
use crate::catalog::{Setting, Settings};

/// A write that takes longer than this is slow, whatever the disk.
const SLOW_MS: u64 = 5;

/// So many hundredths of a file system may be missing of what it is filled to.
const FILL_TOLERANCE: f64 = 1.0;

pub(super) fn fill(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let to = match settings.get("to") {
        Some(Setting::Percent(to)) => *to,
        _ => 95.0,
    };
    Recipe {
        bitten: |before, now| {
            let was = value(before, "used");
            let number = |key: &str| value(now, key).parse::<f64>();
            let (Ok(is), Ok(target)) = (number("used"), number("target")) else {
                return Err("the file system did not say what is in use".into());
            };
            let words = format!("{is} % are in use, {was} % before, {target} % are meant");
            // The broker goes on writing and deleting meanwhile.
            if is >= target - FILL_TOLERANCE {
                Ok(words)
            } else {
                Err(words)
            }
        },
        healed: |before, now| match (value(now, "file"), value(now, "used")) {
            ("gone", is) => Ok(format!(
                "its file is gone: {is} % are in use, {} % before",
                value(before, "used")
            )),
            (_, is) => Err(format!("its file is still there: {is} % are in use")),
        },
        ..recipe("fill", [to.to_string(), String::new()], key)
    }
}

pub(super) fn slow(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let ms = |name: &str| match settings.get(name) {
        Some(Setting::Duration(length)) => length.as_millis().to_string(),
        _ => "100".to_owned(),
    };
    Recipe {
        bitten: |before, now| {
            let (was, is) = (write_ms(before)?, write_ms(now)?);
            if is >= SLOW_MS && is > 2 * was {
                Ok(format!(
                    "the slowest of 5 writes took {is} ms, {was} ms before"
                ))
            } else {
                Err(format!(
                    "the slowest of 5 writes took {is} ms, {was} ms before"
                ))
            }
        },
        healed: |_, now| match value(now, "stall") {
            "inactive" | "failed" => Ok(format!(
                "nothing stalls it: the slowest of 5 writes took {} ms",
                write_ms(now)?
            )),
            state => Err(format!("what stalls it is {state}")),
        },
        ..recipe("slow", [ms("stall"), ms("gap")], key)
    }
}

pub(super) fn read_only(_: &Settings, _: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: |before, now| match (value(before, "write"), value(now, "write")) {
            ("done", "Read-only file system") => {
                Ok("a new file is refused: Read-only file system".into())
            }
            ("done", now) => Err(format!("a new file: {now}")),
            ("Read-only file system", "Read-only file system")
                if !value(before, "others").is_empty() =>
            {
                let others = value(before, "others");
                Ok(format!("a new file is refused, by {others} before"))
            }
            (before, _) => Err(format!(
                "a new file could not be made before either: {before}"
            )),
        },
        healed: |_, now| match value(now, "write") {
            "done" => Ok("a new file can be made".into()),
            now => Err(format!("a new file: {now}")),
        },
        ..recipe("read-only", Default::default(), key)
    }
}

pub(super) fn flip(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let bits = settings.get("bits").map(ToString::to_string);
    damage("flip", settings, bits.unwrap_or_default(), key)
}

pub(super) fn truncate(settings: &Settings, _: &Field, key: &str) -> Recipe {
    let bytes = match settings.get("by") {
        Some(Setting::Bytes(bytes)) => bytes.to_string(),
        _ => "1000".to_owned(),
    };
    damage("truncate", settings, bytes, key)
}

fn damage(what: &str, settings: &Settings, amount: String, key: &str) -> Recipe {
    let file = settings.get("file").map(ToString::to_string);
    Recipe {
        has_undo: false,
        destroys: true,
        goes_down: false,
        bitten: |_, now| {
            let [file, was, is] = ["file", "before", "after"].map(|key| value(now, key));
            if file.is_empty() || was == is {
                Err("nothing was changed".into())
            } else {
                Ok(format!("{file}: {was} before, {is} after"))
            }
        },
        healed: |_, _| Ok("nothing to undo".into()),
        ..recipe(what, [file.unwrap_or_default(), amount], key)
    }
}

fn recipe(what: &str, [first, second]: [String; 2], key: &str) -> Recipe {
    Recipe {
        shell: include_str!("disk.sh").to_owned(),
        args: vec![what.to_owned(), first, second, key.to_owned()],
        needs: Needs::Nothing,
        towards: Vec::new(),
        has_undo: true,
        destroys: false,
        goes_down: false,
        bitten: |_, _| Err(String::new()),
        healed: |_, _| Err(String::new()),
        inject_deadline: Duration::from_secs(60),
        look_deadline: Duration::from_secs(90),
        mend_deadline: Duration::from_secs(60),
        rolling: None,
    }
}

fn write_ms(look: &Look) -> Result<u64, String> {
    let ms = value(look, "write_ms");
    ms.parse().map_err(|_| "no write was measured".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::field;

    fn check(recipe: &Recipe, before: (&str, &str), now: (&str, &str)) -> bool {
        let look = |(key, value): (&str, &str)| Look::from([(key.to_owned(), value.to_owned())]);
        (recipe.bitten)(&look(before), &look(now)).is_ok()
    }

    #[test]
    fn what_is_measured_decides() {
        let none = Settings::new();
        let fill = fill(&none, &field(), "f1");
        let used = |now: &str| {
            let pairs = [("used", now), ("target", "95")];
            let now = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            (fill.bitten)(&Look::new(), &now.into()).is_ok()
        };
        assert!(used("95.1") && used("94.2"));
        assert!(!used("12.6") && !used("93.9") && !used(""));
        let slow = slow(&none, &field(), "f1");
        assert!(check(&slow, ("write_ms", "3"), ("write_ms", "180")));
        assert!(!check(&slow, ("write_ms", "90"), ("write_ms", "100")));
        assert!(!check(&slow, ("x", ""), ("write_ms", "100")));
        let read_only = read_only(&none, &field(), "f1");
        assert!(check(
            &read_only,
            ("write", "done"),
            ("write", "Read-only file system")
        ));
        assert!(!check(&read_only, ("write", "done"), ("write", "done")));
        assert!(!check(
            &read_only,
            ("write", "No space"),
            ("write", "Read-only file system")
        ));
    }

    #[test]
    fn damage_is_a_difference() {
        let flip = flip(&Settings::new(), &field(), "f1");
        let pairs = |after: &str| {
            [("file", "/x"), ("before", "aa"), ("after", after)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into()
        };
        assert!((flip.bitten)(&Look::new(), &pairs("bb")).is_ok());
        assert!((flip.bitten)(&Look::new(), &pairs("aa")).is_err());
        assert!((flip.bitten)(&Look::new(), &Look::new()).is_err());
    }
}
