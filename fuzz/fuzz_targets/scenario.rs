#![no_main]
//! A scenario, as somebody may write it: an error with its place, never a panic.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(told) = jtest::scenario::parse("fuzzed.yaml", text, &[]) {
        assert!(!told.to_string().is_empty());
    }
});
