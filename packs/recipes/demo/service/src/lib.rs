//! A guest book over HTTP and `SQLite`: the service that the demo packs, installs, updates and breaks.
//!
//! It is what any small service is: one program, a data directory with a format of its own, pages beside the program,
//! a rendered configuration file, a secret in a file. Two releases are built from this crate; they differ in the
//! format of the data, and each refuses the data of the other.
//!
//! *Limitations*: one process per data directory; loopback only.

mod book;
mod cli;
mod config;
mod http;
mod migrate;
mod platform;

use std::{error::Error, io::Write as _, process::ExitCode};

pub use book::Format;

/// Runs the release `version`, whose data has `format`, with the arguments of this process.
pub fn run(version: &'static str, format: Format) -> ExitCode {
    match cli::run(version, format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Writes `error` and what caused it to stderr, one line each.
fn tell(error: &dyn Error) {
    let mut out = std::io::stderr().lock();
    let mut lines = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        lines.push_str("\n  caused by: ");
        lines.push_str(&cause.to_string());
        source = cause.source();
    }
    // Nobody is left to tell when stderr itself is gone.
    drop(writeln!(out, "{lines}"));
}
