//! Manifests whose signature matched: a signer may still be hostile. What parses is canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_packs::manifest::Manifest;
use kojibox_signing::Document;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(data) {
        assert!(manifest.to_canonical_json().len() <= Manifest::MAX_BYTES);
    }
});
