//! The tail of an installer, which anyone can have written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_signing::embedded;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(roots)) = embedded::find(data) {
        assert!(embedded::append(&roots).len() <= embedded::MAX_TRAILER);
    }
});
