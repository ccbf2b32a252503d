//! `cargo demo`: the whole way of a pack, on this machine, in a temporary place.

use std::process::ExitCode;

fn main() -> ExitCode {
    kojibox_tests::demo::main()
}
