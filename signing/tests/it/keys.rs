//! Owns the tests of public keys: text forms that other tools read, and the keys that are refused.

use kojibox_signing::{KeyError, KeyId, PublicKey, Signer as _};

use crate::support::key;

fn bytes(hex: &str) -> [u8; 32] {
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    std::array::from_fn(byte)
}

#[test]
fn the_pem_form_is_that_of_rfc_8410() {
    let key = PublicKey::from_bytes(&bytes(
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1",
    ))
    .unwrap();
    assert_eq!(
        key.to_pem(),
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
    );
}

#[test]
fn the_openssh_form_round_trips_and_its_comment_cannot_break_the_line() {
    let public = key(7).public_key();
    let line = public.to_openssh("me@\nhere");
    assert!(line.ends_with(" me@ here"), "{line}");
    assert_eq!(PublicKey::from_openssh(&line).unwrap(), public);
    assert_eq!(
        PublicKey::from_openssh(&format!("{}\n", public.to_openssh(""))).unwrap(),
        public
    );
    let id = public.key_id();
    assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
    assert_eq!(id.short(), id.to_string()[..16]);
}

#[test]
fn other_lines_are_refused() {
    let good = key(7).public_key().to_openssh("");
    let base64 = good.strip_prefix("ssh-ed25519 ").unwrap();
    for bad in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 ",
        "ssh-ed25519 AAAA",
        &format!("restrict {good}"),
        &format!("{good}=="),
        &format!("ssh-ed25519 {}", &base64[..base64.len() - 4]),
        &format!("ssh-ed25519 {base64}AAAA"),
        &format!("{good}\n{good}"),
        &format!("{good} {}", "c".repeat(5000)),
    ] {
        assert!(PublicKey::from_openssh(bad).is_err(), "`{bad}` must be refused");
    }
    let rsa = PublicKey::from_openssh("ssh-rsa AAAAB3NzaC1yc2E=");
    assert_eq!(rsa, Err(KeyError::OtherType("ssh-rsa".into())));
    // The type on the line and the type inside must both be ours.
    let sk = PublicKey::from_openssh("ssh-ed25519 AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t");
    assert_eq!(sk, Err(KeyError::OtherType("sk-ssh-ed25519@openssh.com".into())));
}

/// All fourteen encodings of the eight points of small order (Chalkias and others, eprint 2020/1244, table 6b).
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn keys_of_small_order_are_refused_in_every_encoding() {
    let refused = SMALL_ORDER.map(|hex| PublicKey::from_bytes(&bytes(hex)).unwrap_err());
    let weak = refused.iter().filter(|error| **error == KeyError::Weak).count();
    assert_eq!(weak, 8, "the eight canonical ones are weak: {refused:?}");
}

#[test]
fn bytes_that_are_no_point_or_no_canonical_one_are_refused() {
    let no_point = bytes("0200000000000000000000000000000000000000000000000000000000000000");
    assert_eq!(PublicKey::from_bytes(&no_point), Err(KeyError::NotAPoint));
    // y = p + 3 names the same point as y = 3, which is a good key.
    let canonical = bytes("0300000000000000000000000000000000000000000000000000000000000000");
    let twin = bytes("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    assert!(PublicKey::from_bytes(&canonical).is_ok());
    assert_eq!(PublicKey::from_bytes(&twin), Err(KeyError::NotCanonical));
}
