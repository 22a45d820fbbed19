//! Linearizability of two small objects, decided in n log n; each is held against a search through all
//! orders in its tests.

pub mod fifo;
pub mod mutex;
