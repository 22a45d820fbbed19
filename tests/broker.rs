//! The workload and the drain against real brokers.
//!
//! Ignored unless asked for, because they need brokers: `JTEST_TEST_AMQP` lists their AMQP
//! listeners (`10.77.0.11:5672,10.77.0.12:5672`), each not clustered with the others, user and
//! password `jtest`. `JTEST_TEST_SHELL` is a command that runs its further argument in a root
//! shell on the first broker's host.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "broker/bench.rs"]
mod bench;
#[path = "broker/failures.rs"]
mod failures;
#[path = "broker/load_and_drain.rs"]
mod load_and_drain;
#[path = "broker/returns.rs"]
mod returns;
