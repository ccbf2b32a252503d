//! Owns the tests of signature files: what is refused, down to the bit, and forgeries that lax verifiers take.

use curve25519_dalek::{EdwardsPoint, Scalar, edwards::CompressedEdwardsY, traits::Identity as _};
use ed25519_dalek::Verifier as _;
use kojibox_signing::{
    Keyring, Namespace, PublicKey, Signed, Signer,
    sshsig::{self, SshSig, SshSigError},
};
use sha2::{Digest as _, Sha512};

use crate::support::{Note, TestKey, key};

const MESSAGE: &[u8] = b"a manifest";

/// Bytes of an unarmored signature, after `change`, in armor again.
fn rewrapped(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let file = sshsig::sign(Namespace::Pack, MESSAGE, &key(1));
    let base64: String = file.lines().filter(|line| !line.starts_with('-')).collect();
    let mut blob = STANDARD.decode(base64).unwrap();
    change(&mut blob);
    let mut out = String::from("-----BEGIN SSH SIGNATURE-----\n");
    for line in STANDARD.encode(blob).as_bytes().chunks(70) {
        out.push_str(std::str::from_utf8(line).unwrap());
        out.push('\n');
    }
    out.push_str("-----END SSH SIGNATURE-----\n");
    out.into_bytes()
}

/// Puts `to` in the place of `from`, which must occur once.
fn replace(blob: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    let at = blob.windows(from.len()).position(|window| window == from).unwrap();
    blob.splice(at..at + from.len(), to.iter().copied());
}

fn accepts(file: Vec<u8>) -> bool {
    let ring = Keyring::new(1, [key(1).public_key()]).unwrap();
    Signed::<Note>::new(MESSAGE.to_vec())
        .attach(file)
        .verify(&ring, Namespace::Pack)
        .is_ok()
}

#[test]
fn a_signature_cut_at_any_byte_or_flipped_in_any_bit_is_refused() {
    let file = sshsig::sign(Namespace::Pack, MESSAGE, &key(1)).into_bytes();
    assert!(accepts(file.clone()));
    for len in 0..file.len() {
        assert!(!accepts(file[..len].to_vec()), "cut to {len} bytes");
    }
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(flipped), "bit {bit}");
    }
    for extra in [&b"\n"[..], b" ", b"x", &file] {
        assert!(!accepts([&file, extra].concat()), "followed by {extra:?}");
    }
}

#[test]
fn every_field_has_one_accepted_form() {
    assert!(accepts(rewrapped(|_| {})));
    let name = |blob: &mut Vec<u8>| replace(blob, b"\0\0\0\x06sha512", b"\0\0\0\x06sha256");
    assert_eq!(SshSig::parse(&rewrapped(name)), Err(SshSigError::Hash("sha256".into())));
    let reserved = |blob: &mut Vec<u8>| replace(blob, b"\0\0\0\0\0\0\0\x06sha512", b"\0\0\0\x01r\0\0\0\x06sha512");
    assert_eq!(SshSig::parse(&rewrapped(reserved)), Err(SshSigError::Reserved));
    let version = |blob: &mut Vec<u8>| replace(blob, b"SSHSIG\0\0\0\x01", b"SSHSIG\0\0\0\x02");
    assert_eq!(SshSig::parse(&rewrapped(version)), Err(SshSigError::Version(2)));
    let no_namespace = |blob: &mut Vec<u8>| replace(blob, b"\0\0\0\x0fkojibox-pack@v1", b"\0\0\0\0");
    assert_eq!(SshSig::parse(&rewrapped(no_namespace)), Err(SshSigError::Encoding));
    assert_eq!(
        SshSig::parse(&rewrapped(|blob| blob.push(0))),
        Err(SshSigError::Encoding)
    );
    let huge = |blob: &mut Vec<u8>| replace(blob, b"\0\0\0\x0fkojibox", b"\xff\xff\xff\xffkojibox");
    assert_eq!(SshSig::parse(&rewrapped(huge)), Err(SshSigError::Encoding));
    assert_eq!(SshSig::parse(&[b'-'; 5000]), Err(SshSigError::TooLarge(5000)));
}

#[test]
fn other_line_widths_are_read_and_wide_lines_are_not() {
    let file = sshsig::sign(Namespace::Pack, MESSAGE, &key(1));
    let mut lines: Vec<&str> = file.lines().collect();
    let (begin, end) = (lines.remove(0), lines.pop().unwrap());
    let base64 = lines.concat();
    let wrap = |width: usize| {
        let lines: Vec<_> = base64
            .as_bytes()
            .chunks(width)
            .map(|l| std::str::from_utf8(l).unwrap())
            .collect();
        format!("{begin}\n{}\n{end}\n", lines.join("\n")).into_bytes()
    };
    assert!(accepts(wrap(64)) && accepts(wrap(76)));
    assert!(!accepts(wrap(77)) && !accepts(wrap(1000)));
}

#[test]
fn a_signature_for_one_purpose_is_worth_nothing_for_another() {
    let all = [Namespace::Pack, Namespace::Approval, Namespace::Root, Namespace::Feed];
    for made in all {
        let signature = SshSig::parse(sshsig::sign(made, MESSAGE, &key(1)).as_bytes()).unwrap();
        for asked in all {
            assert_eq!(
                signature.verify(asked, MESSAGE).is_ok(),
                made == asked,
                "{made} as {asked}"
            );
        }
        assert_eq!(signature.verify(made, b"a manifesto"), Err(SshSigError::Mismatch));
    }
}

/// Gives whatever signature it is told to.
struct Forger<F>(PublicKey, F);

impl<F: Fn(&[u8]) -> [u8; 64]> Signer for Forger<F> {
    fn public_key(&self) -> PublicKey {
        self.0.clone()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.1(message)
    }
}

/// Asks whether the plain check of the library takes a forgery, and whether we do.
fn verdicts(key: &TestKey, forge: impl Fn(&[u8]) -> [u8; 64]) -> (bool, bool) {
    let plain = key.0.verifying_key().verify(b"probe", &forge(b"probe").into()).is_ok();
    let forger = Forger(key.public_key(), forge);
    let file = sshsig::sign(Namespace::Pack, MESSAGE, &forger);
    (plain, accepts(file.into_bytes()))
}

#[test]
fn signatures_around_a_point_of_small_order_are_refused() {
    let key = key(1);
    // R is the neutral element and s = k·a: the equation holds, but no honest signer has no nonce.
    let neutral = |message: &[u8]| {
        let r = EdwardsPoint::identity().compress();
        let k = challenge(&r, &key.public_key(), message);
        [r.to_bytes(), (k * key.0.to_scalar()).to_bytes()]
            .concat()
            .try_into()
            .unwrap()
    };
    assert_eq!(
        verdicts(&key, neutral),
        (true, false),
        "accepted by plain verification, refused by ours"
    );
}

#[test]
fn a_second_signature_made_by_adding_the_group_order_is_refused() {
    let key = key(1);
    let malleated = |message: &[u8]| {
        let mut signature = key.sign(message);
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        signature
    };
    assert_eq!(verdicts(&key, malleated), (false, false));
    assert_eq!(verdicts(&key, |message| key.sign(message)), (true, true));
}

/// The order of the group, little endian (RFC 8032, 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn challenge(r: &CompressedEdwardsY, key: &PublicKey, message: &[u8]) -> Scalar {
    let hash = Sha512::new()
        .chain_update(r.as_bytes())
        .chain_update(key.as_bytes())
        .chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}
