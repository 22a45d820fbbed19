//! What one does to a Linux host, whatever runs on it.

pub mod abilities;
pub mod clock_offset;
pub mod doctor;
pub mod facts;
pub mod firewall;
