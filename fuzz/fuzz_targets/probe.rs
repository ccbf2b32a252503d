//! First words of servers, as the checks read them: never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| kojibox_supervisor::fuzzed(data));
