//! Trust roots as carried by a depot: never a panic; what is pinned must have verified itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_signing::root::TrustedRoot;

fuzz_target!(|data: &[u8]| {
    if let Ok(root) = TrustedRoot::pin(data) {
        assert!(root.version() >= 1);
        assert!(root.pack_ring().threshold() >= 1);
    }
});
