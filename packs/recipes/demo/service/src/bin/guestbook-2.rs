//! The guest book, version 2: data format 2, with a migration from format 1.

use std::process::ExitCode;

use demo_service::{Format, run};

fn main() -> ExitCode {
    run("2.0.0", Format::Two)
}
