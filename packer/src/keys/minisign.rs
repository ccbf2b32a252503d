//! Owns signatures in minisign's format, for those who check with minisign. They are written, never read.
//!
//! Shape: four lines, algorithm `ED` (Ed25519 over BLAKE2b-512 of the file), and the global signature over signature and
//! trusted comment. Minisign has no purposes, so such a signature says only that the key's owner had these bytes.
//!
//! Source: `minisign.h` and `minisign.c` of minisign 0.12.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest as _};
use kojibox_signing::{PublicKey, Signer};

use super::{KeyError, manifests};

/// A file's signature in minisign's format.
#[derive(Clone, Debug)]
pub struct Minisig {
    text: String,
    public: String,
}

impl Minisig {
    /// Signs `message`, the content of the file called `name`.
    pub fn sign(name: &str, message: &[u8], signer: &dyn Signer) -> Self {
        let public = signer.public_key();
        let signature = signer.sign(&Blake2b512::digest(message));
        let comment = format!("file:{name}\thashed");
        let global = signer.sign(&[&signature[..], comment.as_bytes()].concat());
        let first = STANDARD.encode([b"ED", &number(&public)[..], &signature].concat());
        let text = format!(
            "untrusted comment: kojibox key {}\n{first}\ntrusted comment: {comment}\n{}\n",
            public.key_id().short(),
            STANDARD.encode(global),
        );
        let public = STANDARD.encode([b"Ed", &number(&public)[..], public.as_bytes()].concat());
        Self { text, public }
    }

    /// The four lines.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The public key as `minisign -P` takes it.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Writes `<manifest file>.minisig`; gives its path, and whether it is new.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if other bytes are there.
    pub fn place(&self, manifest: &Path) -> Result<(PathBuf, bool), KeyError> {
        manifests::place_beside(manifest, ".minisig", self.text.as_bytes())
    }
}

/// Minisign calls a key by eight bytes; ours are the first of its key id.
fn number(key: &PublicKey) -> [u8; 8] {
    let id = key.key_id().short();
    u64::from_str_radix(&id, 16)
        .expect("a short key id is 16 hex digits")
        .to_be_bytes()
}
