//! `cargo crash-matrix`: the proof that nothing can be lost, whole, on this machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    kojibox_tests::crash::main()
}
