//! Brokers that freeze, die, refuse or hang up.
