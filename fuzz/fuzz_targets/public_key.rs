//! Lines of OpenSSH public keys: what is read is written back as the same key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_signing::PublicKey;

fuzz_target!(|data: &[u8]| {
    if let Some(key) = std::str::from_utf8(data).ok().and_then(|line| PublicKey::from_openssh(line).ok()) {
        assert_eq!(PublicKey::from_openssh(&key.to_openssh("")), Ok(key));
    }
});
