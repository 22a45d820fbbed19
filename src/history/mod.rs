//! The history of a run: every operation in the order of real time, append-only.

pub mod export;
mod frames;
pub mod object;
pub mod operation;
pub mod reader;
pub mod recorder;
pub mod schema;
