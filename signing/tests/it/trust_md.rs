//! Owns the tests that hold `TRUST.md` to the code: its worked examples are made here and must stand in it.

use kojibox_signing::{
    Namespace, Signer as _, embedded,
    root::{fingerprint, root16},
    sshsig,
};

use crate::support::{first_root, hex, key};

const TRUST: &str = include_str!("../../TRUST.md");

fn states(what: &str, text: &str) {
    assert!(TRUST.contains(text), "TRUST.md does not state this {what}:\n{text}");
}

#[test]
fn the_worked_key_stands_in_the_text() {
    let public = key(1).public_key();
    states("line", &public.to_openssh("alice"));
    states("fingerprint", &public.fingerprint());
    states("key id", &public.key_id().to_string());
    states("PEM", &public.to_pem());
}

#[test]
fn the_worked_signature_stands_in_the_text() {
    states("signature", &sshsig::sign(Namespace::Pack, b"kojibox\n", &key(1)));
    for namespace in [Namespace::Pack, Namespace::Approval, Namespace::Root, Namespace::Feed] {
        states("namespace", &format!("`{namespace}`"));
    }
}

#[test]
fn the_worked_root_stands_in_the_text() {
    let root = first_root();
    states("root", std::str::from_utf8(&root).unwrap());
    states("fingerprint", &fingerprint(&root));
    states("folder", &root16(&root));
}

#[test]
fn the_worked_trailer_stands_in_the_text() {
    let hex: Vec<String> = embedded::append(&[b"{}\n".to_vec()])
        .unwrap()
        .chunks(16)
        .map(hex)
        .collect();
    states("trailer", &hex.join("\n"));
}
