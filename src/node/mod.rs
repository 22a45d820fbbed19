//! What one does to a Linux host, whatever runs on it.

pub mod firewall;
