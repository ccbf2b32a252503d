//! Programs of an upstream: never a panic, and never more names than a loader would take.
#![no_main]

use kojibox_packer::elf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(elf)) = elf::read(data) {
        assert!(elf.dynamic || (elf.needed.is_empty() && elf.runpath.is_none()));
    }
});
