//! Compressed indexes whose hash matched: bounded memory, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_packs::index::Index;
use kojibox_signing::Document;

fuzz_target!(|data: &[u8]| {
    let _: Result<Index, _> = Index::parse(data);
});
