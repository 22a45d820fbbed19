//! The binary: parse, run, exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

fn main() -> ExitCode {
    catch_unwind(jtest::cli::main).unwrap_or(ExitCode::from(255))
}
