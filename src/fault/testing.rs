//! A field without hosts, for unit tests of what is made for one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Field;
use crate::clock::RunClock;

pub(super) fn field() -> Field {
    Field {
        targets: Arc::default(),
        control: Vec::new(),
        run_id: "r1".into(),
        lease: Duration::from_secs(60),
        peer_port: 25672,
        queue: "jtest.queue".into(),
        away: super::Away::default(),
        heal_deadline: Duration::from_secs(1),
        clock: RunClock::start(),
        offsets: BTreeMap::new(),
    }
}
