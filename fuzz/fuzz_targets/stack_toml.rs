//! Definitions: every mistake has a place inside the text, and none is a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write as _;

use kojibox_packer::definition::Definition;

fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").expect("memory is writable");
    file.write_all(data).expect("memory is writable");
    match Definition::load(file.path()) {
        Ok(definition) => assert!(!definition.targets().is_empty()),
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
});
