//! Owns the fixtures: keys from a number, roots in the making, a document that can be signed, stock tools to ask.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use ed25519_dalek::{Signer as _, SigningKey};
use kojibox_signing::{
    Document, Namespace, PublicKey, Signed, Signer,
    root::{Role, RootBuilder},
    sshsig,
};

/// A key that is known by one number.
#[derive(Clone)]
pub(crate) struct TestKey(pub(crate) SigningKey);

/// The key of number `n`.
pub(crate) fn key(n: u8) -> TestKey {
    TestKey(SigningKey::from_bytes(&[n; 32]))
}

impl Signer for TestKey {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(&self.0.verifying_key().to_bytes()).unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    digits.concat()
}

/// A document whose parser refuses the word `bad`, and records nothing else.
#[derive(Debug)]
pub(crate) struct Note(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the note is bad")]
pub(crate) struct BadNote;

impl Document for Note {
    type Error = BadNote;
    const MAX_BYTES: usize = 64;

    fn parse(bytes: &[u8]) -> Result<Self, BadNote> {
        match String::from_utf8_lossy(bytes).into_owned() {
            text if text.contains("bad") => Err(BadNote),
            text => Ok(Self(text)),
        }
    }
}

/// `message` with the signatures of `keys` for packs.
pub(crate) fn signed(message: &[u8], keys: &[TestKey]) -> Signed<Note> {
    keys.iter().fold(Signed::new(message.to_vec()), |signed, key| {
        signed.attach(sshsig::sign(Namespace::Pack, message, key).into_bytes())
    })
}

pub(crate) const ROOT: u8 = 1;
pub(crate) const PACK: u8 = 10;
pub(crate) const FEED: u8 = 20;

/// A first root with one key for each purpose, not signed yet.
pub(crate) fn first_draft() -> RootBuilder {
    let mut draft = RootBuilder::first(
        "2026-01-01T00:00:00Z".parse().unwrap(),
        "2036-01-01T00:00:00Z".parse().unwrap(),
    );
    draft.add_key(Role::Root, &key(ROOT).public_key(), Some("alice"));
    draft.add_key(Role::Pack, &key(PACK).public_key(), None);
    for role in Role::FEED {
        draft.add_key(role, &key(FEED).public_key(), None);
    }
    draft
}

/// The first root, signed.
pub(crate) fn first_root() -> Vec<u8> {
    let mut draft = first_draft();
    draft.sign(&key(ROOT), None).unwrap();
    draft.to_bytes().unwrap()
}

/// Runs a stock tool with `input` on its stdin.
pub(crate) fn run(program: &str, args: &[&str], dir: &Path, input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` is needed by this test: {error}"));
    // A tool that ends before it has read everything closes the pipe; its exit status tells.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// Runs a stock tool that must succeed; gives its stdout.
pub(crate) fn run_ok(program: &str, args: &[&str], dir: &Path, input: &[u8]) -> String {
    let output = run(program, args, dir, input);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{program} {args:?}: {out}{err}");
    out.into_owned()
}

/// True if this machine has not all of the stock `tools` that a test asks: then it is left out, which is told, or a failure
/// where everything must be there (`.ci/run`).
pub(crate) fn lacks(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |tool: &&&str| {
        let name = format!("{tool}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path).any(|folder| folder.join(&name).is_file())
    };
    match tools.iter().find(|tool| !has(tool)) {
        None => false,
        Some(tool) => {
            left_out(&format!("there is no `{tool}`"));
            true
        }
    }
}

/// Tells why a test is left out; fails where none may be.
#[expect(clippy::print_stderr, reason = "what is left out is told")]
pub(crate) fn left_out(why: &str) {
    let all = std::env::var_os("NEXTEST_PROFILE").is_some_and(|profile| profile == "ci");
    assert!(!all, "{why}; run `.ci/run setup` as root");
    eprintln!("left out: {why}");
}
