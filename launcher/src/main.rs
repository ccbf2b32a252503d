//! Starts, watches and stops the services of an installed tree.

use std::{env, process::ExitCode};

use clap::Parser as _;
use kojibox::{Args, Outside};

fn main() -> ExitCode {
    kojibox::run(
        Args::parse(),
        &Outside {
            exe: env::current_exe(),
            root: env::var_os("KOJIBOX_ROOT").filter(|v| !v.is_empty()).map(Into::into),
            environment: env::vars_os().collect(),
            arguments: env::args_os().skip(1).collect(),
            working_dir: env::current_dir(),
            now: jiff::Timestamp::now,
        },
    )
}
