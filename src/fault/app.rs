//! What the broker does by its own means: its application stopped, connections closed, a process of
//! the queue killed.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, value};
use crate::catalog::Settings;
use crate::rabbitmq;

pub(super) fn stop_app(_: &Settings, field: &Field, _: &str) -> Recipe {
    Recipe {
        has_undo: true,
        bitten: stopped,
        healed: runs,
        ..recipe("stop-app", field)
    }
}

pub(super) fn close_connections(_: &Settings, field: &Field, _: &str) -> Recipe {
    Recipe {
        bitten: closed,
        ..recipe("close-connections", field)
    }
}

pub(super) fn kill_queue_process(_: &Settings, field: &Field, _: &str) -> Recipe {
    Recipe {
        bitten: dead,
        ..recipe("kill-queue-process", field)
    }
}

fn recipe(what: &str, field: &Field) -> Recipe {
    Recipe {
        shell: [rabbitmq::SHELL, include_str!("app.sh")].join("\n"),
        args: vec![what.to_owned(), field.queue.clone()],
        needs: Needs::App,
        towards: Vec::new(),
        has_undo: false,
        destroys: false,
        goes_down: false,
        bitten: stopped,
        healed: |_, _| Ok("nothing to undo".into()),
        inject_deadline: Duration::from_secs(60),
        look_deadline: Duration::from_secs(60),
        mend_deadline: Duration::from_secs(120),
        rolling: None,
    }
}

fn stopped(_: &Look, now: &Look) -> Finding {
    match (value(now, "was"), value(now, "app")) {
        ("running", "stopped") => Ok("the broker says that its application is stopped".into()),
        ("running", now) => Err(format!("its application is {now}")),
        (was, _) => Err(format!("its application was {was} before")),
    }
}

fn runs(_: &Look, now: &Look) -> Finding {
    match value(now, "app") {
        "running" => Ok("the broker says that its application runs".into()),
        now => Err(format!("its application is {now}")),
    }
}

fn closed(_: &Look, now: &Look) -> Finding {
    match (value(now, "asked"), value(now, "left")) {
        ("" | "0", _) => Err("the broker had no connection to close".into()),
        (asked, "0") => Ok(format!(
            "the broker closed {asked} connections, none is left of them"
        )),
        (asked, left) => Err(format!("{left} of {asked} connections are still there")),
    }
}

fn dead(_: &Look, now: &Look) -> Finding {
    match (value(now, "pid"), value(now, "alive")) {
        ("", _) => Err("no process was killed".into()),
        (pid, "false") => Ok(format!("process {pid} of the queue is dead")),
        (pid, _) => Err(format!("process {pid} of the queue is alive")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(pairs: &[(&str, &str)]) -> Look {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn the_brokers_answer_decides() {
        let bites = |was, is| stopped(&Look::new(), &look(&[("was", was), ("app", is)])).is_ok();
        assert!(bites("running", "stopped"));
        assert!(!bites("running", "running") && !bites("stopped", "stopped"));
        let none = Look::new();
        assert!(runs(&none, &look(&[("app", "stopped")])).is_err());
        assert!(runs(&none, &look(&[("app", "running")])).is_ok());
        assert!(closed(&none, &look(&[("asked", "3"), ("left", "0")])).is_ok());
        assert!(closed(&none, &look(&[("asked", "3"), ("left", "1")])).is_err());
        assert!(closed(&none, &look(&[("asked", "0"), ("left", "0")])).is_err());
        assert!(dead(&none, &look(&[("pid", "<0.1.0>"), ("alive", "false")])).is_ok());
        assert!(dead(&none, &look(&[("pid", "<0.1.0>"), ("alive", "true")])).is_err());
        assert!(dead(&none, &none).is_err());
    }
}
