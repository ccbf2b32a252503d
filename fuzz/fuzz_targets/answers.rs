//! Answers files: what is read and saved again can be read.
#![no_main]

use kojibox_installer::fuzzed_answers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let saved = std::str::from_utf8(data).ok().and_then(|text| fuzzed_answers(text.to_owned()));
    if let Some(saved) = saved {
        assert!(fuzzed_answers(saved).is_some());
    }
});
