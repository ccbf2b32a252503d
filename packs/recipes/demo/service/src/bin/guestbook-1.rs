//! The guest book, version 1: data format 1.

use std::process::ExitCode;

use demo_service::{Format, run};

fn main() -> ExitCode {
    run("1.0.0", Format::One)
}
