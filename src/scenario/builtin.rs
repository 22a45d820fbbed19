//! The scenarios that are built into the binary; their files are in `scenarios/`.

use super::{Parsed, parse};
use crate::diagnostic::Diagnostics;

/// A scenario that comes with jtest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// What `--scenario` calls it.
    pub name: &'static str,
    /// Its file.
    pub yaml: &'static str,
}

impl Builtin {
    /// Reads it, with values overridden as in [`parse`].
    pub fn parse(&self, overrides: &[(String, String)]) -> Result<Parsed, Diagnostics> {
        parse(
            &format!("scenarios/{}.yaml", self.name),
            self.yaml,
            overrides,
        )
    }
}

/// The scenario of a run that names none.
pub const DEFAULT: &str = "partitions";

macro_rules! builtins {
    ($($name:literal),+ $(,)?) => {
        &[$(Builtin {
            name: $name,
            yaml: include_str!(concat!("../../scenarios/", $name, ".yaml")),
        }),+]
    };
}

/// All of them, the default first.
pub const BUILTINS: &[Builtin] = builtins![
    "partitions",
    "mirrored-autoheal",
    "mirrored-pause-minority",
    "simonovic-2016",
    "jepsen-2014",
    "pato-2015",
    "pato-on-three",
    "same-majority",
    "random-majority",
    "random-groups",
    "vanlightly-2018-kill",
    "vanlightly-2018-kill-and-reset",
    "vanlightly-2018-partition",
    "vanlightly-2018-flaky",
    "vanlightly-2018-slow",
    "second-cut-during-recovery",
    "flap-5ms",
    "leader-hunt",
    "clock-jumps",
    "power-cycles",
    "lock",
    "stream",
    "stream-resends",
    "fifo",
    "consumers",
    "order",
    "metadata",
    "dead-letter",
    "transient",
    "everything",
];

/// The one of this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// Whether `--scenario` means a file rather than a built-in scenario.
pub fn is_path(scenario: &str) -> bool {
    scenario.contains('/') || scenario.ends_with(".yaml") || scenario.ends_with(".yml")
}
