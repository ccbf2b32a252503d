//! Owns the tests of the door: thresholds, what counts, and that no parser runs before the verdict.

use std::error::Error as _;

use kojibox_signing::{Digest, Keyring, Namespace, Refusal, Signed, Signer as _, Verified, VerifyError, sshsig};

use crate::support::{Note, key, signed};

fn ring(threshold: usize, numbers: &[u8]) -> Keyring {
    Keyring::new(threshold, numbers.iter().map(|&n| key(n).public_key())).unwrap()
}

#[test]
fn enough_distinct_keys_open_the_door() {
    let note = signed(b"hello", &[key(1), key(3)])
        .verify(&ring(2, &[1, 2, 3]), Namespace::Pack)
        .unwrap();
    assert_eq!((note.0.as_str(), note.bytes()), ("hello", &b"hello"[..]));
    assert_eq!(note.digest(), Digest::of(b"hello"));
    let mut expected = [key(1), key(3)].map(|key| key.public_key().key_id());
    expected.sort();
    assert_eq!(note.keys(), expected);
}

#[test]
fn one_key_counts_once_and_strangers_do_not_count() {
    let ring = ring(2, &[1, 2]);
    let twice = signed(b"hello", &[key(1), key(1), key(9)]).verify(&ring, Namespace::Pack);
    let error = twice.unwrap_err();
    assert_eq!(error.to_string(), "1 of 2 needed signatures are valid");
    assert_eq!(error.refusal(), Some(Refusal::Unsigned));
    let reasons = error.source().unwrap().to_string();
    let stranger = key(9).public_key().key_id().short();
    assert_eq!(
        reasons,
        format!("signed by key `{stranger}`, to which the trust root does not give this role (2 keys have it)")
    );
}

#[test]
fn signatures_that_do_not_count_do_no_harm_while_enough_others_do() {
    let other = sshsig::sign(Namespace::Approval, b"hello", &key(2)).into_bytes();
    let all = signed(b"hello", &[key(9), key(1)])
        .attach(b"rubbish".to_vec())
        .attach(other);
    assert!(all.clone().verify(&ring(1, &[1, 2]), Namespace::Pack).is_ok());
    let error = all.verify(&ring(2, &[1, 2]), Namespace::Pack).unwrap_err();
    let reasons = error.source().unwrap().to_string();
    assert_eq!(reasons.lines().count(), 3, "{reasons}");
    assert!(
        reasons.contains("made for `kojibox-site-approval@v1`, expected `kojibox-pack@v1`"),
        "{reasons}"
    );
}

#[test]
fn no_signature_and_an_empty_signature_are_told_apart() {
    let none = Signed::<Note>::new(b"hello".to_vec()).verify(&ring(1, &[1]), Namespace::Pack);
    assert!(matches!(
        none,
        Err(VerifyError::NotEnough {
            valid: 0,
            needed: 1,
            ..
        })
    ));
    let empty = signed(b"hello", &[key(1)])
        .attach(Vec::new())
        .verify(&ring(1, &[1]), Namespace::Pack);
    assert!(matches!(empty, Err(VerifyError::EmptySignature)));
}

#[test]
fn content_is_parsed_only_after_the_verdict() {
    let unsigned = signed(b"bad", &[key(9)])
        .verify(&ring(1, &[1]), Namespace::Pack)
        .unwrap_err();
    assert!(matches!(unsigned, VerifyError::NotEnough { .. }), "{unsigned}");
    let broken = signed(b"bad", &[key(1)])
        .verify(&ring(1, &[1]), Namespace::Pack)
        .unwrap_err();
    assert!(matches!(broken, VerifyError::Document(_)), "{broken}");
    assert_eq!(broken.source().unwrap().to_string(), "the note is bad");
    let wrong = Verified::<Note>::by_digest(b"bad".to_vec(), &Digest::of(b"good")).unwrap_err();
    assert_eq!(wrong.refusal(), Some(Refusal::Damaged));
}

#[test]
fn too_much_is_refused_before_any_work() {
    let long = signed(&[b'x'; 65], &[key(1)]).verify(&ring(1, &[1]), Namespace::Pack);
    assert!(matches!(long, Err(VerifyError::TooLarge { got: 65, limit: 64 })));
    let long = vec![b'x'; 65];
    let digest = Digest::of(&long);
    assert!(matches!(
        Verified::<Note>::by_digest(long, &digest),
        Err(VerifyError::TooLarge { .. })
    ));
    let many = signed(b"hello", &vec![key(1); 65]).verify(&ring(1, &[1]), Namespace::Pack);
    assert!(matches!(many, Err(VerifyError::TooManySignatures(65))));
}

#[test]
fn a_signed_hash_opens_the_door_too() {
    let note = Verified::<Note>::by_digest(b"hello".to_vec(), &Digest::of(b"hello")).unwrap();
    assert_eq!((note.0.as_str(), note.keys().len()), ("hello", 0));
}

#[test]
fn thresholds_that_cannot_be_meant_are_refused() {
    let keys = || [1, 2, 2].map(|n| key(n).public_key());
    assert!(Keyring::new(0, keys()).is_err());
    assert!(Keyring::new(2, keys()).is_ok());
    assert!(Keyring::new(3, keys()).is_err(), "a repeated key counts once");
    assert!(Keyring::new(1, []).is_err());
}
