//! Owns the tests of key files and of signatures beside packs, with `ssh-keygen` as the other side.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::VerifyingKey;
use kojibox_signing::PublicKey;

use crate::stock::{Desk, PASSPHRASE, lacks};

const NO_INPUT: &str = "";

/// A key called `name`, encrypted.
fn generate(desk: &Desk, name: &str) -> String {
    desk.packer(&format!("key generate --out keys --name {name}")).ok()
}

/// A depot with two targets of one pack, and one of a release whose name begins alike.
fn depot(desk: &Desk) {
    for (version, target) in [("1.0.0", "any"), ("1.0.0", "linux-x86_64"), ("1.0.0-beta.1", "any")] {
        let json =
            format!(r#"{{"schema":"kojibox.pack/1.0","pack":"demo","version":"{version}","target":"{target}"}}"#);
        desk.write(&format!("depot/packs/demo-{version}-{target}.kbx.json"), json);
    }
}

fn keyid16(desk: &Desk, public: &str) -> String {
    PublicKey::from_openssh(&desk.read(public)).unwrap().key_id().short()
}

#[test]
fn a_key_of_ours_is_a_key_of_ssh_keygen() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    let shown = generate(&desk, "me");
    assert_eq!(desk.list("keys"), ["me", "me.pem", "me.pub"]);
    let line = desk
        .ssh_keygen(&["-y", "-P", PASSPHRASE, "-f", "keys/me"], Path::new(NO_INPUT))
        .ok();
    assert_eq!(line, desk.read("keys/me.pub"));
    let fingerprint = desk.ssh_keygen(&["-lf", "keys/me.pub"], Path::new(NO_INPUT)).ok();
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    assert!(shown.contains(fingerprint), "{shown} has no {fingerprint}");
    // The public half needs no passphrase, from either file.
    for file in ["keys/me", "keys/me.pub"] {
        let shown = desk.packer_as(None, &format!("key show {file} --json")).ok();
        assert!(shown.contains(fingerprint), "{shown}");
    }
    let wrong = desk.ssh_keygen(&["-y", "-P", "else", "-f", "keys/me"], Path::new(NO_INPUT));
    assert_ne!(wrong.code, 0, "the file must be encrypted");
}

#[test]
fn keys_go_through_ssh_keygen_and_back() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "ours");
    let change = ["-q", "-p", "-P", PASSPHRASE, "-N", "another", "-f", "keys/ours"];
    desk.ssh_keygen(&change, Path::new(NO_INPUT)).ok();
    let make = [
        "-q",
        "-t",
        "ed25519",
        "-N",
        "another",
        "-C",
        "theirs",
        "-f",
        "keys/theirs",
    ];
    desk.ssh_keygen(&make, Path::new(NO_INPUT)).ok();
    for key in ["ours", "theirs"] {
        let sign = format!("sign demo@1.0.0 --depot depot --key keys/{key}");
        desk.packer_as(Some("another"), &sign).ok();
        let id = keyid16(&desk, &format!("keys/{key}.pub"));
        assert!(
            desk.path(&format!("depot/packs/demo-1.0.0-any.kbx.json.{id}.sshsig"))
                .is_file()
        );
    }
}

#[test]
fn a_key_that_cannot_be_opened_is_told_apart() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    let sign = "sign demo@1.0.0 --depot depot --key keys/me";
    insta::assert_snapshot!(desk.packer_as(Some("wrong"), sign).refused(2), @"error: could not open key `keys/me`: the passphrase is wrong");
    insta::assert_snapshot!(desk.packer_as(None, sign).refused(2), @r"
    error: could not open key `keys/me`: it is encrypted, and there is no terminal to ask for the passphrase
      hint: set the environment variable `KOJIBOX_KEY_PASSPHRASE`
    ");
    let missing = desk.packer("sign demo@1.0.0 --depot depot --key keys/you").refused(32);
    assert!(
        missing.starts_with("error: could not open key `keys/you`\n  caused by: "),
        "{missing}"
    );
    let make = ["-q", "-t", "ecdsa", "-N", "", "-f", "keys/curve"];
    desk.ssh_keygen(&make, Path::new(NO_INPUT)).ok();
    let kind = desk.packer("sign demo@1.0.0 --depot depot --key keys/curve").refused(2);
    assert!(
        kind.contains("expected `ssh-ed25519`") || kind.contains("could not read key"),
        "{kind}"
    );
    desk.write(
        "keys/rubbish",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    let rubbish = desk
        .packer("sign demo@1.0.0 --depot depot --key keys/rubbish")
        .refused(2);
    assert!(
        rubbish.starts_with("error: could not read key `keys/rubbish`\n  caused by: "),
        "{rubbish}"
    );
}

#[test]
#[cfg(unix)]
fn private_keys_are_for_their_owner_alone() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    let file = desk.path("keys/me");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(desk.packer("sign demo@1.0.0 --depot depot --key keys/me").refused(2), @r"
    error: could not use key `keys/me`: others may read it, its mode is 0644
      hint: run `chmod 600 keys/me`
    ");
}

#[test]
fn an_open_key_must_be_asked_for_and_is_warned_of() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    insta::assert_snapshot!(desk.packer_as(None, "key generate --out keys --name me").refused(2), @r"
    error: could not make a key: it needs a passphrase, and there is no terminal to ask on
      hint: set the environment variable `KOJIBOX_KEY_PASSPHRASE`, or pass `--unsafe-no-password`
    ");
    assert!(!desk.path("keys").exists());
    let made = desk.packer_as(None, "key generate --out keys --name me --unsafe-no-password --quiet");
    assert!(
        made.err.contains("warning: the key files have no passphrase"),
        "{made:?}"
    );
    made.ok();
    desk.ssh_keygen(&["-y", "-P", "", "-f", "keys/me"], Path::new(NO_INPUT))
        .ok();
}

#[test]
fn a_key_file_is_never_replaced_and_its_name_is_a_name() {
    let desk = Desk::new();
    generate(&desk, "me");
    let before = desk.read("keys/me");
    std::fs::remove_file(desk.path("keys/me.pub")).unwrap();
    let again = desk.packer("key generate --out keys --name me").refused(2);
    assert!(
        again.starts_with("error: could not write `keys/me`: a file of this name exists\n"),
        "{}",
        desk.tame(&again)
    );
    assert_eq!(desk.read("keys/me"), before);
    assert_eq!(
        desk.list("keys"),
        ["me", "me.pem"],
        "nothing is written before everything can be"
    );
    for name in ["../me", ".me", "a/b", "a\\b"] {
        let run = desk.packer(&format!("key generate --out keys --name={name}"));
        assert_eq!(run.code, 2, "{run:?}");
    }
}

#[test]
fn stock_ssh_keygen_verifies_a_signed_pack_with_exported_signers() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    desk.packer("sign demo@1.0.0 --depot depot --key keys/me").ok();
    let id = keyid16(&desk, "keys/me.pub");
    let signed: Vec<_> = desk
        .list("depot/packs")
        .into_iter()
        .filter(|name| name.ends_with(".sshsig"))
        .collect();
    let expected = ["any", "linux-x86_64"].map(|target| format!("demo-1.0.0-{target}.kbx.json.{id}.sshsig"));
    assert_eq!(
        signed, expected,
        "every target, and not the release whose name begins alike"
    );

    let signers = desk.packer_as(None, "key export --allowed-signers keys/me.pub").ok();
    desk.write("signers", signers);
    let verify = |namespace: &str, manifest: &str| {
        let signature = format!("depot/packs/demo-1.0.0-any.kbx.json.{id}.sshsig");
        let args = [
            "-Y",
            "verify",
            "-f",
            "signers",
            "-I",
            "publisher",
            "-n",
            namespace,
            "-s",
            &signature,
        ];
        desk.ssh_keygen(&args, Path::new(manifest)).code
    };
    assert_eq!(verify("kojibox-pack@v1", "depot/packs/demo-1.0.0-any.kbx.json"), 0);
    assert_ne!(
        verify("kojibox-site-approval@v1", "depot/packs/demo-1.0.0-any.kbx.json"),
        0
    );
    assert_ne!(
        verify("kojibox-pack@v1", "depot/packs/demo-1.0.0-linux-x86_64.kbx.json"),
        0
    );
}

#[test]
fn a_signature_is_never_replaced() {
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    let sign = "sign depot/packs/demo-1.0.0-any.kbx.json --depot depot --key keys/me";
    desk.packer(sign).ok();
    let again = desk.packer(&format!("{sign} --json")).ok();
    assert!(again.contains(r#""new":false"#), "{again}");
    let name = format!(
        "depot/packs/demo-1.0.0-any.kbx.json.{}.sshsig",
        keyid16(&desk, "keys/me.pub")
    );
    desk.write(&name, "");
    let refused = desk.packer(sign).refused(2);
    assert!(refused.contains("a file of this name exists"), "{refused}");
    assert_eq!(desk.read(&name), "");
    let twice = desk.packer(&format!("{sign} --key keys/me")).refused(2);
    assert_eq!(twice, "error: could not use key `keys/me`: it was given twice\n");
}

#[test]
fn signatures_made_elsewhere_are_attached_where_they_fit() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    let change = ["-q", "-p", "-P", PASSPHRASE, "-N", "", "-f", "keys/me"];
    desk.ssh_keygen(&change, Path::new(NO_INPUT)).ok();
    let manifest = "depot/packs/demo-1.0.0-linux-x86_64.kbx.json";
    std::fs::copy(desk.path(manifest), desk.path("carried")).unwrap();
    let approve = [
        "-q",
        "-Y",
        "sign",
        "-f",
        "keys/me",
        "-n",
        "kojibox-site-approval@v1",
        "carried",
    ];
    desk.ssh_keygen(&approve, Path::new(NO_INPUT)).ok();

    let attach = "sign demo@1.0.0 --depot depot --attach carried.sig";
    let as_pack = desk.packer(attach).refused(20);
    let expected =
        "could not attach signature `carried.sig`: it fits no manifest of pack `demo@1.0.0` as `kojibox-pack@v1`";
    assert_eq!(as_pack, format!("error: {expected}\n"));
    desk.packer(&format!("{attach} --approval")).ok();
    let placed = format!("{manifest}.{}.approval.sshsig", keyid16(&desk, "keys/me.pub"));
    assert_eq!(desk.read(&placed), desk.read("carried.sig"));

    desk.write("carried.sig", "rubbish");
    let rubbish = desk.packer(attach).refused(20);
    assert!(
        rubbish.starts_with("error: could not attach signature `carried.sig`\n  caused by: "),
        "{rubbish}"
    );
}

#[test]
fn packs_that_are_not_there_are_named() {
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    for pack in ["demo@2.0.0", "demo", "dem@1.0.0"] {
        let error = desk
            .packer(&format!("sign {pack} --depot depot --key keys/me"))
            .refused(2);
        assert!(
            error.starts_with(&format!("error: could not find pack `{pack}` in depot `depot`\n")),
            "{error}"
        );
    }
    desk.write("other.kbx.json", r#"{"schema":"something.else/1"}"#);
    let error = desk
        .packer("sign other.kbx.json --depot depot --key keys/me")
        .refused(2);
    assert_eq!(
        error,
        "error: could not sign `other.kbx.json`: it is no manifest of a pack\n"
    );
}

#[test]
fn a_minisig_holds_what_minisign_checks() {
    let desk = Desk::new();
    depot(&desk);
    generate(&desk, "me");
    let said = desk
        .packer("export-minisig demo@1.0.0 --depot depot --key keys/me --json")
        .ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let public = STANDARD.decode(said["public_key"].as_str().unwrap()).unwrap();
    assert_eq!(&public[..2], b"Ed");
    let key = VerifyingKey::from_bytes(public[10..].try_into().unwrap()).unwrap();

    let manifest = desk.read("depot/packs/demo-1.0.0-any.kbx.json");
    let file = desk.read("depot/packs/demo-1.0.0-any.kbx.json.minisig");
    let lines: Vec<&str> = file.lines().collect();
    assert!(
        lines.len() == 4 && lines[0].starts_with("untrusted comment: "),
        "{file}"
    );
    let first = STANDARD.decode(lines[1]).unwrap();
    assert_eq!((&first[..2], &first[2..10]), (&b"ED"[..], &public[2..10]));
    let signature: [u8; 64] = first[10..].try_into().unwrap();
    key.verify_strict(&Blake2b512::digest(&manifest), &signature.into())
        .unwrap();
    let comment = lines[2].strip_prefix("trusted comment: ").unwrap();
    assert_eq!(comment, "file:demo-1.0.0-any.kbx.json\thashed");
    let global: [u8; 64] = STANDARD.decode(lines[3]).unwrap().try_into().unwrap();
    key.verify_strict(&[&signature[..], comment.as_bytes()].concat(), &global.into())
        .unwrap();
}
