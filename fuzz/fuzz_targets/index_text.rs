//! Index text: what parses tiles its frames without gap or overlap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_packs::index::Index;

fuzz_target!(|data: &[u8]| {
    if let Ok(index) = Index::from_text(data) {
        let raw: u64 = index.frames().iter().map(|f| u64::from(f.raw_len)).sum();
        assert_eq!(raw, index.raw_total());
    }
});
