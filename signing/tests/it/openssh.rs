//! Owns the tests against stock `ssh-keygen`, both ways.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kojibox_signing::{
    Namespace, PublicKey, Signer as _,
    sshsig::{self, SshSig, SshSigError},
};

use crate::support::{TestKey, key, lacks, run, run_ok};

const MESSAGE: &[u8] = b"{\"schema\":\"kojibox.pack/1.0\"}\n";

/// Whether `ssh-keygen -Y verify` takes `m.sshsig` over `message` for `namespace`.
fn stock_accepts(dir: &Path, namespace: &str, message: &[u8]) -> bool {
    let args = [
        "-Y",
        "verify",
        "-f",
        "allowed_signers",
        "-I",
        "publisher",
        "-n",
        namespace,
        "-s",
        "m.sshsig",
    ];
    run("ssh-keygen", &args, dir, message).status.success()
}

/// A key that `ssh-keygen` made, taken from its unencrypted private key file: the seed is the start of the last `str[64]`.
fn stock_key(dir: &Path) -> TestKey {
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", "stock", "-f", "stock"];
    run_ok("ssh-keygen", &args, dir, b"");
    let file = fs::read_to_string(dir.join("stock")).unwrap();
    let base64: String = file.lines().filter(|line| !line.starts_with('-')).collect();
    let blob = STANDARD.decode(base64).unwrap();
    let at = blob.windows(4).rposition(|window| window == [0, 0, 0, 64]).unwrap() + 4;
    let seed: [u8; 32] = blob[at..at + 32].try_into().unwrap();
    TestKey(ed25519_dalek::SigningKey::from_bytes(&seed))
}

#[test]
fn stock_ssh_keygen_verifies_what_we_sign() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let line = key(1).public_key().to_openssh("");
    let allowed = format!("publisher namespaces=\"kojibox-pack@v1\" {line}\n");
    fs::write(dir.path().join("allowed_signers"), allowed).unwrap();
    let file = sshsig::sign(Namespace::Pack, MESSAGE, &key(1));
    fs::write(dir.path().join("m.sshsig"), file).unwrap();

    assert!(stock_accepts(dir.path(), "kojibox-pack@v1", MESSAGE));
    assert!(!stock_accepts(dir.path(), "kojibox-site-approval@v1", MESSAGE));
    assert!(!stock_accepts(dir.path(), "kojibox-pack@v1", b"something else"));
    fs::write(
        dir.path().join("m.sshsig"),
        sshsig::sign(Namespace::Pack, MESSAGE, &key(2)),
    )
    .unwrap();
    assert!(
        !stock_accepts(dir.path(), "kojibox-pack@v1", MESSAGE),
        "a key that is not allowed"
    );
}

#[test]
fn we_verify_what_stock_ssh_keygen_signs_and_make_the_same_bytes() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ours = stock_key(dir.path());
    fs::write(dir.path().join("m"), MESSAGE).unwrap();
    run_ok(
        "ssh-keygen",
        &["-q", "-Y", "sign", "-f", "stock", "-n", "kojibox-pack@v1", "m"],
        dir.path(),
        b"",
    );
    let file = fs::read(dir.path().join("m.sig")).unwrap();

    let public = PublicKey::from_openssh(&fs::read_to_string(dir.path().join("stock.pub")).unwrap()).unwrap();
    let signature = SshSig::parse(&file).unwrap();
    assert_eq!(*signature.public_key(), public);
    signature.verify(Namespace::Pack, MESSAGE).unwrap();
    assert_eq!(signature.verify(Namespace::Pack, b"else"), Err(SshSigError::Mismatch));
    assert_eq!(sshsig::sign(Namespace::Pack, MESSAGE, &ours).into_bytes(), file);
}

#[test]
fn fingerprints_and_public_key_lines_are_those_of_ssh_keygen() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ours = stock_key(dir.path()).public_key();
    let shown = run_ok("ssh-keygen", &["-lf", "stock.pub"], dir.path(), b"");
    assert_eq!(shown.split(' ').nth(1), Some(ours.fingerprint().as_str()), "{shown}");
    let line = fs::read_to_string(dir.path().join("stock.pub")).unwrap();
    assert_eq!(format!("{}\n", ours.to_openssh("stock")), line);
}

#[test]
fn a_signature_by_another_hash_or_for_no_known_purpose_is_refused() {
    if lacks(&["ssh-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    stock_key(dir.path());
    fs::write(dir.path().join("m"), MESSAGE).unwrap();
    let sign = |extra: &[&str]| {
        drop(fs::remove_file(dir.path().join("m.sig")));
        let args = [&["-q", "-Y", "sign", "-f", "stock"], extra, &["m"]].concat();
        run_ok("ssh-keygen", &args, dir.path(), b"");
        SshSig::parse(&fs::read(dir.path().join("m.sig")).unwrap())
    };
    let sha256 = sign(&["-O", "hashalg=sha256", "-n", "kojibox-pack@v1"]);
    assert_eq!(sha256, Err(SshSigError::Hash("sha256".into())));
    let git = sign(&["-n", "git"]).unwrap();
    assert_eq!(
        git.verify(Namespace::Pack, MESSAGE).unwrap_err().to_string(),
        "made for `git`, expected `kojibox-pack@v1`"
    );
}
