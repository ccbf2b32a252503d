//! The command line of the launcher. One program, three roles: command line, daemon, one shim per service.

mod cli;
mod commands;
mod front_door;
mod place;
mod session;
mod turn;
mod update;
mod version;

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use kojibox_console::Ui;

pub use cli::Args;

/// What the program knows from outside; nothing below `main` looks there itself.
#[derive(Debug)]
pub struct Outside {
    /// The program's own file.
    pub exe: io::Result<PathBuf>,
    /// `KOJIBOX_ROOT`.
    pub root: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The arguments, as they were given.
    pub arguments: Vec<OsString>,
    /// Where it was started.
    pub working_dir: io::Result<PathBuf>,
    /// The clock.
    pub now: fn() -> jiff::Timestamp,
}

/// Runs one command, or one of the hidden roles.
pub fn run(args: Args, outside: &Outside) -> ExitCode {
    let ui = Ui::new(&args.output, args.json);
    kojibox_console::finish(&ui, |ui| commands::run(args, outside, ui))
}
