//! End to end: the built binary against real hosts.
//!
//! The hosts are five of a lab that `JTEST_TEST_LAB` names, and three with RabbitMQ 4 of one that
//! `JTEST_TEST_NEWEST_LAB` names. Every test leaves them healed, and may
//! find them in any state that another one left, an installed cluster among them.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

mod deploy;
mod doctor;
mod errors;
mod faults;
mod lab;
mod login;
mod machine;
mod newest;
mod package;
mod sources;
mod survival;
mod verdicts;
