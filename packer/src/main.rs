//! The program `kojibox-packer`: reads the command line and runs one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kojibox_packer::cli::main()
}
