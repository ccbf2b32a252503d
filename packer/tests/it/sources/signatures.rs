//! Owns the tests of upstream signatures: made by `ssh-keygen` and as minisign makes them, checked at lock, fetch and build.

use std::{fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signer as _, SigningKey};
use kojibox_console::Exit;
use kojibox_packer::{
    definition::{Origin, ResolvedComponent, Signature, Steps},
    lock::Standing,
    source::SourceError,
    upstream::SignedBy,
};

use super::desk::{Desk, chain, component, file_url};

const NUMBER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn minisign_key(key: &SigningKey, number: [u8; 8]) -> SignedBy {
    let text = STANDARD.encode([b"Ed", &number[..], key.verifying_key().as_bytes()].concat());
    SignedBy::minisign(&text).unwrap()
}

/// The four lines that minisign writes; `kind` is `ED` for a signature over the hash.
fn minisig(key: &SigningKey, kind: [u8; 2], message: &[u8]) -> String {
    let signature = key.sign(message).to_bytes();
    let comment = "timestamp:1767225600\tfile:thing\thashed";
    let global = key.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
    format!(
        "untrusted comment: signature of the upstream\n{}\ntrusted comment: {comment}\n{}\n",
        STANDARD.encode([&kind[..], &NUMBER, &signature].concat()),
        STANDARD.encode(global)
    )
}

fn prehashed(key: &SigningKey, file: &[u8]) -> String {
    minisig(key, *b"ED", &Blake2b512::digest(file))
}

/// `thing` at `file:`, which `by` must have signed in `thing.minisig`.
fn thing(desk: &Desk, by: SignedBy) -> ResolvedComponent {
    let origin = Origin::Url {
        urls: vec![file_url(&desk.path("thing"))],
        sha256: None,
        unpack: true,
        signature: Some(Signature {
            url: file_url(&desk.path("thing.minisig")),
            by,
        }),
    };
    component(origin, Steps::default())
}

fn signed() -> (Desk, ResolvedComponent) {
    let desk = Desk::new();
    desk.write("thing", "good");
    desk.write("thing.minisig", prehashed(&key(7), b"good"));
    let thing = thing(&desk, minisign_key(&key(7), NUMBER));
    (desk, thing)
}

/// The error must be a refusal of the signature, and nothing may count as fetched.
fn refused(desk: &Desk, thing: &ResolvedComponent, reason: &str) {
    let error: SourceError = desk.lock(thing).unwrap_err();
    let text = chain(&error);
    assert!(text.contains("does not count") && text.contains(reason), "{text}");
    assert_eq!(error.exit(), Exit::Refused);
    let good = kojibox_signing::Digest::of(&fs::read(desk.path("thing")).unwrap());
    assert!(desk.cache.get(&good).unwrap().is_none(), "what is refused is not kept");
}

#[test]
fn a_signature_is_pinned_and_checked_again_without_a_network() {
    let (mut desk, thing) = signed();
    let entry = desk.lock(&thing).unwrap();
    let locked = entry.inputs[0].signature.clone().unwrap();
    assert!(locked.by.starts_with("minisign RW") && locked.text.starts_with("untrusted comment: "));
    let tree = desk.prepare(&thing, &entry).unwrap();
    assert_eq!(tree.signature.as_deref(), Some("minisign:0807060504030201"));

    // A machine with an empty cache takes the signature from the lock.
    fs::remove_dir_all(desk.cache.dir()).unwrap();
    fs::remove_file(desk.path("thing.minisig")).unwrap();
    desk.fetch(&thing, &entry).unwrap();
    desk.env.offline = true;
    desk.prepare(&thing, &entry).unwrap();

    // A lock whose signature was changed, or taken out, is no way around.
    let mut other = entry.clone();
    other.inputs[0].signature.as_mut().unwrap().text = prehashed(&key(8), b"good");
    let error = desk.prepare(&thing, &other).err().unwrap();
    assert!(chain(&error).contains("it does not fit the bytes"), "{}", chain(&error));
    other.inputs[0].signature = None;
    assert_eq!(desk.prepare(&thing, &other).err().unwrap().exit(), Exit::Refused);
    assert_eq!(other.standing(&thing.source), Standing::Stale);
    assert_eq!(entry.standing(&thing.source), Standing::Fresh);
}

#[test]
fn another_key_in_the_definition_asks_the_upstream_again() {
    let (desk, thing) = signed();
    let entry = desk.lock(&thing).unwrap();
    let other = self::thing(&desk, minisign_key(&key(9), NUMBER));
    assert_eq!(entry.standing(&other.source), Standing::Stale);
    let mut none = thing.clone();
    if let Origin::Url { signature, .. } = &mut none.source.origin {
        *signature = None;
    }
    assert_eq!(entry.standing(&none.source), Standing::Stale);
}

#[test]
fn what_is_not_the_upstreams_is_refused_and_not_kept() {
    let (desk, thing) = signed();
    desk.write("thing", "evil");
    refused(&desk, &thing, "it does not fit the bytes");
    desk.write("thing", "good");
    for (signature, reason) in [
        (prehashed(&key(8), b"good"), "it does not fit the bytes"),
        (
            prehashed(&key(7), b"good").replace("timestamp:1", "timestamp:2"),
            "it does not fit the bytes",
        ),
        (minisig(&key(7), *b"Ed", b"good"), "of the old form"),
        (minisig(&key(7), *b"XX", b"good"), "it is no minisign signature"),
        (prehashed(&key(7), b"good") + "more\n", "it is no minisign signature"),
        (
            "-----BEGIN PGP SIGNATURE-----\n".to_owned(),
            "it is an OpenPGP signature, which is not read",
        ),
        ("x".repeat(20_000), "it is no minisign signature"),
        (String::new(), "it is no minisign signature"),
    ] {
        desk.write("thing.minisig", signature);
        refused(&desk, &thing, reason);
    }
    desk.write("thing.minisig", b"\x88\x75\x04\x00");
    refused(&desk, &thing, "OpenPGP");
    desk.write("thing.minisig", prehashed(&key(7), b"good"));
    let other = self::thing(&desk, minisign_key(&key(7), [9; 8]));
    refused(
        &desk,
        &other,
        "it is by key `0807060504030201`, expected `0909090909090909`",
    );
    fs::remove_file(desk.path("thing.minisig")).unwrap();
    refused(&desk, &thing, "there is none");
}

#[test]
fn a_mirror_with_other_bytes_is_passed_over() {
    let (desk, mut thing) = signed();
    desk.write("evil", "evil");
    if let Origin::Url { urls, .. } = &mut thing.source.origin {
        urls.insert(0, file_url(&desk.path("evil")));
    }
    let entry = desk.lock(&thing).unwrap();
    assert_eq!(entry.inputs[0].sha256, kojibox_signing::Digest::of(b"good"));
}

#[test]
fn what_ssh_keygen_signs_is_taken_in_its_own_namespace_only() {
    if crate::stock::lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    let file = desk.write("thing", "good");
    let run = |args: &[&str]| {
        let done = Command::new("ssh-keygen").args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let private = desk.path("id");
    run(&[
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "us",
        "-f",
        private.to_str().unwrap(),
    ]);
    run(&[
        "-q",
        "-Y",
        "sign",
        "-n",
        "file",
        "-f",
        private.to_str().unwrap(),
        file.to_str().unwrap(),
    ]);
    fs::rename(desk.path("thing.sig"), desk.path("thing.minisig")).unwrap();
    let public = fs::read_to_string(desk.path("id.pub")).unwrap();
    let by = |namespace| SignedBy::ssh(public.trim(), namespace).unwrap();

    let tree = desk.make(&thing(&desk, by("file"))).unwrap();
    assert!(tree.signature.unwrap().starts_with("ssh:SHA256:"));
    fs::remove_dir_all(desk.cache.dir()).unwrap();
    refused(
        &desk,
        &thing(&desk, by("git")),
        "it was made for `file`, expected `git`",
    );
    desk.write("thing", "evil");
    refused(&desk, &thing(&desk, by("file")), "it does not fit the bytes");
    assert!(SignedBy::ssh("ssh-rsa AAAA", "file").is_err());
    assert!(SignedBy::ssh(public.trim(), "two words").is_err());
}
