//! Signature files as found beside a manifest: never a panic, and what parses verifies nothing by accident.
#![no_main]

use libfuzzer_sys::fuzz_target;
use kojibox_signing::{Namespace, sshsig::SshSig};

fuzz_target!(|data: &[u8]| {
    if let Ok(signature) = SshSig::parse(data) {
        assert!(signature.verify(Namespace::Pack, b"a message nobody signed").is_err());
    }
});
