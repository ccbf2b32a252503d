//! Paths of a tree: what is accepted stays inside of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_packs::path::PackPath;

fuzz_target!(|data: &[u8]| {
    if let Some(path) = std::str::from_utf8(data).ok().and_then(|text| PackPath::new(text).ok()) {
        assert!(path.segments().all(|s| !s.is_empty() && s != "." && s != ".."));
        assert!(!path.as_str().starts_with('/') && path.as_str().len() <= 1024);
    }
});
