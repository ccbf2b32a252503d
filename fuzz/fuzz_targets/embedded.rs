//! The tail of an installer, which anyone can have written: what is found was appended so, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_signing::embedded;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(roots)) = embedded::find(data) {
        let again = embedded::append(&roots).expect("what was found is not too long");
        assert!(data.ends_with(&again) && embedded::len(data) == Ok(again.len()));
    }
});
