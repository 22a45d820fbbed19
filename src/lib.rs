//! jtest answers one question about a RabbitMQ cluster: when the network splits, a node
//! dies or a clock jumps, are messages lost that were confirmed?
//!
//! The modules are the rooms of the house, in floors; imports point only downward.
//!
//! - plan, pure: [`diagnostic`], [`yaml`], [`inventory`], [`scenario`], [`schedule`]
//! - evidence, pure: [`run_dir`], [`event`], [`manifest`], [`history`], [`check`], [`runs`], [`synth`]
//! - effects, everything that touches the world: [`clock`], [`remote`], [`node`], [`rabbitmq`],
//!   [`fault`], [`nemesis`], [`workload`]
//! - presentation: [`progress`], [`report`], [`serve`]
//! - on top: [`run`], [`cli`]
//!
//! `ARCHITECTURE.md` tells the invariants.

pub mod catalog;
pub mod check;
pub mod cli;
pub mod clock;
pub mod diagnostic;
pub mod duration;
pub mod event;
pub mod fault;
pub mod history;
pub mod inventory;
pub mod manifest;
pub mod nemesis;
pub mod node;
pub mod progress;
pub mod rabbitmq;
pub mod remote;
pub mod report;
pub mod run;
pub mod run_dir;
pub mod runs;
pub mod scenario;
pub mod schedule;
pub mod serve;
pub mod synth;
pub mod workload;
pub mod yaml;
