//! Who belongs to the cluster and to the queue: nodes forgotten or wiped, replicas removed and added, leadership moved.

use std::time::Duration;

use super::Field;
use super::recipe::{Finding, Look, Needs, Recipe, value};
use crate::catalog::Settings;
use crate::rabbitmq;

pub(super) fn forget(_: &Settings, field: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: |_, now| match (value(now, "me"), value(now, "known")) {
            (me, "no") => Ok(format!(
                "the others do not have {me} among the cluster's nodes"
            )),
            (me, "yes") => Err(format!(
                "the others still have {me} among the cluster's nodes"
            )),
            _ => Err("no other node says who belongs to the cluster".into()),
        },
        ..recipe("forget", field, key)
    }
}

pub(super) fn reset(_: &Settings, field: &Field, key: &str) -> Recipe {
    Recipe {
        destroys: true,
        goes_down: false,
        bitten: |before, now| match (value(before, "data"), value(now, "data")) {
            ("", _) => Err("it had no data before".into()),
            (was, is) if was == is => Err("its data is the same".into()),
            (was, "") => Ok(format!("its data (directory {was}) is gone")),
            (was, is) => Ok(format!("its data is directory {is}, {was} before")),
        },
        ..recipe("reset", field, key)
    }
}

pub(super) fn shrink_queue(_: &Settings, field: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: |before, now| match (has_replica(before), has_replica(now)) {
            (false, _) => Err("it had no replica before".into()),
            (true, true) => Err("it has a replica still".into()),
            (true, false) => Ok(format!(
                "the queue's members are {}",
                value(now, "replicas")
            )),
        },
        healed: |_, now| {
            if has_replica(now) {
                Ok(format!(
                    "the queue's members are {}",
                    value(now, "replicas")
                ))
            } else {
                Err("it has no replica".into())
            }
        },
        ..recipe("shrink", field, key)
    }
}

pub(super) fn grow_queue(_: &Settings, field: &Field, key: &str) -> Recipe {
    Recipe {
        bitten: |before, now| match (has_replica(before), has_replica(now)) {
            (true, _) => Err("it had a replica before".into()),
            (false, false) => Err("it has no replica".into()),
            (false, true) => Ok(format!(
                "the queue's members are {}",
                value(now, "replicas")
            )),
        },
        healed: |_, now| match value(now, "replicas") {
            "" => Err("the broker does not say who has a replica".into()),
            _ if has_replica(now) => Err("it has a replica still".into()),
            replicas => Ok(format!("the queue's members are {replicas}")),
        },
        ..recipe("grow", field, key)
    }
}

pub(super) fn transfer_leadership(_: &Settings, field: &Field, key: &str) -> Recipe {
    Recipe {
        has_undo: false,
        bitten: |before, now| {
            let (me, was, is) = (
                value(now, "me"),
                value(before, "leader"),
                value(now, "leader"),
            );
            if me.is_empty() || is != me {
                Err(format!("{is} leads the queue"))
            } else if was == is {
                Err(format!("{is} led the queue before"))
            } else {
                Ok(format!("{is} leads the queue, {was} before"))
            }
        },
        healed: |_, _| Ok("nothing to undo".into()),
        ..recipe("transfer", field, key)
    }
}

fn recipe(what: &str, field: &Field, key: &str) -> Recipe {
    Recipe {
        shell: [rabbitmq::SHELL, include_str!("membership.sh")].join("\n"),
        args: vec![what.to_owned(), field.queue.clone(), key.to_owned()],
        needs: Needs::App,
        towards: Vec::new(),
        has_undo: true,
        destroys: false,
        goes_down: false,
        bitten: |_, _| Err(String::new()),
        healed: belongs,
        inject_deadline: Duration::from_secs(120),
        look_deadline: Duration::from_secs(60),
        mend_deadline: Duration::from_secs(120),
        rolling: None,
    }
}

fn has_replica(look: &Look) -> bool {
    let me = value(look, "me");
    value(look, "replicas").split(' ').any(|node| node == me)
}

fn belongs(_: &Look, now: &Look) -> Finding {
    match (value(now, "known"), value(now, "knows"), value(now, "app")) {
        ("no", ..) => Err("the others do not have it among the cluster's nodes".into()),
        (_, "no", _) => Err("it does not have the others among its cluster's nodes".into()),
        (.., "running") => Ok("it runs and belongs to the cluster".into()),
        (.., app) => Err(format!("its application is {app}")),
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

    #[test]
    fn the_clusters_answer_decides() {
        let none = Settings::new();
        let make = |make: fn(&Settings, &Field, &str) -> Recipe| make(&none, &field(), "f1");
        let bites = |recipe: &Recipe, before: &[_], now: &[_]| {
            (recipe.bitten)(&look(before), &look(now)).is_ok()
        };
        let forget = make(forget);
        assert!(bites(&forget, &[], &[("known", "no")]));
        assert!(!bites(&forget, &[], &[("known", "yes")]));
        assert!(!bites(&forget, &[], &[]));
        assert!(
            (forget.healed)(&Look::new(), &look(&[("known", "yes"), ("app", "running")])).is_ok()
        );
        assert!(
            (forget.healed)(&Look::new(), &look(&[("known", "no"), ("app", "running")])).is_err()
        );
        let reset = make(reset);
        let alone = [("known", "yes"), ("knows", "no"), ("app", "running")];
        assert!((reset.healed)(&Look::new(), &look(&alone)).is_err());
        assert!(bites(&reset, &[("data", "1")], &[]));
        assert!(!bites(&reset, &[("data", "1")], &[("data", "1")]));
        let shrink = make(shrink_queue);
        let (with, without) = (
            [("me", "a"), ("replicas", "a b")],
            [("me", "a"), ("replicas", "b")],
        );
        assert!(bites(&shrink, &with, &without));
        assert!(!bites(&shrink, &with, &with));
        assert!((shrink.healed)(&Look::new(), &look(&without)).is_err());
        let grow = make(grow_queue);
        assert!(bites(&grow, &without, &with));
        assert!(!bites(&grow, &with, &with) && !bites(&grow, &without, &without));
        assert!((grow.healed)(&Look::new(), &look(&without)).is_ok());
        assert!((grow.healed)(&Look::new(), &look(&with)).is_err());
        assert!((grow.healed)(&Look::new(), &Look::new()).is_err());
        let transfer = make(transfer_leadership);
        assert!(bites(
            &transfer,
            &[("leader", "b")],
            &[("me", "a"), ("leader", "a")]
        ));
        assert!(!bites(
            &transfer,
            &[("leader", "a")],
            &[("me", "a"), ("leader", "a")]
        ));
        assert!(!bites(
            &transfer,
            &[("leader", "b")],
            &[("me", "a"), ("leader", "b")]
        ));
    }
}
