//! Owns the property tests: no outside bytes make a parser panic, and what it takes it gives back.

use kojibox_signing::{
    PublicKey, Signer as _, UtcTime, embedded,
    root::{RootBuilder, TrustedRoot},
    sshsig::SshSig,
};
use proptest::prelude::*;

use crate::support::{first_root, key};

/// Whole files with a stretch of them replaced.
fn damaged(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    (0..file.len(), 0..40_usize, prop::collection::vec(any::<u8>(), 0..40)).prop_map(move |(at, cut, with)| {
        let mut file = file.clone();
        let end = (at + cut).min(file.len());
        file.splice(at..end, with);
        file
    })
}

fn feed_everything(bytes: &[u8]) {
    drop(SshSig::parse(bytes));
    drop(TrustedRoot::pin(bytes));
    drop(embedded::find(bytes));
    if let Ok(draft) = RootBuilder::from_draft(bytes) {
        drop(draft.to_bytes());
        draft.progress(None);
    }
    let text = String::from_utf8_lossy(bytes);
    drop(PublicKey::from_openssh(&text));
    drop(text.parse::<UtcTime>());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        feed_everything(&bytes);
        let blob = [b"-----BEGIN SSH SIGNATURE-----\n", &bytes[..], b"\n-----END SSH SIGNATURE-----\n"].concat();
        feed_everything(&blob);
        let trailer = [&bytes[..], b"kojibox-trust-1\n"].concat();
        feed_everything(&trailer);
    }

    #[test]
    fn a_damaged_root_never_panics_and_is_never_another_root(bytes in damaged(first_root())) {
        feed_everything(&bytes);
        // Whatever still verifies states the same keys: the bytes under the signature are unchanged.
        if let Ok(root) = TrustedRoot::pin(&bytes) {
            prop_assert_eq!(root.pack_ring(), TrustedRoot::pin(&first_root()).unwrap().pack_ring());
        }
    }

    #[test]
    fn a_root_of_arbitrary_json_never_panics(text in r#"(\{"signed":\{)?("(_type|version|keys|roles|x-kojibox)":(1|"root"|\{\}|\[\]),?){0,6}\}?(,"signatures":\[\]\})?"#) {
        feed_everything(text.as_bytes());
    }

    #[test]
    fn public_key_lines_round_trip(seed in 0_u8..=255, comment in "[ -~]{0,40}") {
        let public = key(seed).public_key();
        prop_assert_eq!(PublicKey::from_openssh(&public.to_openssh(&comment)).unwrap(), public);
    }
}
