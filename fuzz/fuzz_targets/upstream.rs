//! Detached signatures of an upstream: never a panic, and nothing verifies what nobody signed.
#![no_main]

use kojibox_packer::upstream::SignedBy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let minisign = SignedBy::minisign("RWQRIjNEVWZ3iDmvLQHW+xLGxQEHa+BuTTHYk2CG3DcEmdVSp8OFnDmS");
    let ssh = SignedBy::ssh(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDmvLQHW+xLGxQEHa+BuTTHYk2CG3DcEmdVSp8OFnDmS",
        "file",
    );
    for by in [minisign, ssh] {
        let by = by.expect("these are keys");
        assert!(by.verify(text, &mut &b"a file nobody signed"[..]).is_err());
    }
    drop(SignedBy::minisign(text));
});
