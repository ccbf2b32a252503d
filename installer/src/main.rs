//! The installer: what it does is in the library, how it speaks is in the console.

use std::process::ExitCode;

use clap::Parser as _;
use kojibox_installer::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
