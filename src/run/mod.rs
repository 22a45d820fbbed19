//! A run, from bare hosts to a verdict.

pub mod directory;
pub mod dispatch;
pub mod interrupt;
pub mod stage;
