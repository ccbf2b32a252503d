//! Owns detached signatures in the SSHSIG format: made here and by `ssh-keygen -Y sign`, read here and by `ssh-keygen -Y verify`.
//!
//! Bytes: `TRUST.md`, section 3. Only Ed25519 with SHA-512, version 1, an empty `reserved` field and no byte more are read.
//!
//! Source: `PROTOCOL.sshsig` of OpenSSH.

mod armor;

use std::fmt;

use sha2::{Digest as _, Sha512};

use crate::{
    KeyError, PublicKey, Signer,
    key::SSH_ED25519,
    wire::{Reader, put_string},
};

const MAGIC: &[u8; 6] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &[u8] = b"sha512";
/// How the namespaces of our own purposes begin.
const OURS: &str = "kojibox-";
/// Longest namespace that is read; ours have at most 24 bytes.
const MAX_NAMESPACE: usize = 64;

/// What a signature is for. One made for one purpose is worth nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// The publisher stands for a pack: over a manifest.
    Pack,
    /// A site agrees to a pack: over the same manifest.
    Approval,
    /// Reserved for statements about a trust root; `root.json` itself is signed the TUF way.
    Root,
    /// Reserved for statements about a feed; its documents are signed the TUF way.
    Feed,
}

impl Namespace {
    /// The name inside the signed bytes, as `ssh-keygen -n` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pack => "kojibox-pack@v1",
            Self::Approval => "kojibox-site-approval@v1",
            Self::Root => "kojibox-root@v1",
            Self::Feed => "kojibox-feed@v1",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a signature file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshSigError {
    /// Longer than any signature of ours.
    #[error("{0} bytes, at most {max} bytes are read", max = armor::MAX_BYTES)]
    TooLarge(usize),
    /// First line.
    #[error("the first line is not `{}`", armor::BEGIN)]
    NoBegin,
    /// Last line.
    #[error(
        "the last line is not `{}` with its line break; the file may be cut short",
        armor::END
    )]
    NoEnd,
    /// Between them.
    #[error("the lines between are not base64 of at most 76 characters each")]
    Base64,
    /// A field is missing, too long, or followed by more.
    #[error("the encoding is not that of an SSH signature")]
    Encoding,
    /// Another version of the format.
    #[error("the SSH signature has version {0}, expected 1")]
    Version(u32),
    /// The public key in it.
    #[error("the public key in the signature: {0}")]
    Key(KeyError),
    /// `reserved` must be empty.
    #[error("the reserved field of the SSH signature is not empty")]
    Reserved,
    /// Another hash.
    #[error("the signature hashes with `{}`, expected `sha512`", .0.escape_debug())]
    Hash(String),
    /// Made for another purpose.
    #[error("made for `{}`, expected `{expected}`", got.escape_debug())]
    Namespace {
        /// As the file says.
        got: String,
        /// As asked for.
        expected: Namespace,
    },
    /// Made by an upstream for another purpose than its own.
    #[error("it was made for `{got}`, expected `{expected}`")]
    ForeignNamespace {
        /// What it says.
        got: String,
        /// What the upstream signs for.
        expected: String,
    },
    /// The mathematics say no.
    #[error("does not fit the bytes")]
    Mismatch,
}

/// Signs `message` for `ns`: the content of a `.sshsig` file, the same bytes that `ssh-keygen -Y sign` writes.
pub fn sign(ns: Namespace, message: &[u8], signer: &dyn Signer) -> String {
    let signature = signer.sign(&to_be_signed(ns.as_str(), &Sha512::digest(message)));
    let mut sigblob = Vec::with_capacity(83);
    put_string(&mut sigblob, SSH_ED25519.as_bytes());
    put_string(&mut sigblob, &signature);

    let mut blob = Vec::with_capacity(256);
    blob.extend_from_slice(MAGIC);
    blob.extend_from_slice(&VERSION.to_be_bytes());
    put_string(&mut blob, &signer.public_key().to_wire());
    put_string(&mut blob, ns.as_str().as_bytes());
    put_string(&mut blob, b"");
    put_string(&mut blob, HASH);
    put_string(&mut blob, &sigblob);
    armor::encode(&blob)
}

/// The bytes under the signature: the namespace is part of them, the message by its hash.
fn to_be_signed(namespace: &str, digest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(MAGIC);
    put_string(&mut out, namespace.as_bytes());
    put_string(&mut out, b"");
    put_string(&mut out, HASH);
    put_string(&mut out, digest);
    out
}

/// One signature as read from a file. It says who claims to have signed; [`SshSig::verify`] says whether that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSig {
    key: PublicKey,
    namespace: String,
    signature: [u8; 64],
}

impl SshSig {
    /// Reads the content of a `.sshsig` file.
    ///
    /// # Errors
    /// [`SshSigError`] for everything that is not exactly the format of `TRUST.md`, section 3.
    pub fn parse(file: &[u8]) -> Result<Self, SshSigError> {
        let blob = armor::decode(file)?;
        let mut reader = Reader::new(&blob);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(SshSigError::Encoding);
        }
        let version = reader.u32().ok_or(SshSigError::Encoding)?;
        if version != VERSION {
            return Err(SshSigError::Version(version));
        }
        let mut string = || reader.string().ok_or(SshSigError::Encoding);
        let (key, namespace, reserved, hash, sigblob) = (string()?, string()?, string()?, string()?, string()?);
        if !reader.is_at_end() {
            return Err(SshSigError::Encoding);
        }
        if !reserved.is_empty() {
            return Err(SshSigError::Reserved);
        }
        if hash != HASH {
            return Err(SshSigError::Hash(shown(hash)));
        }
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.iter().all(u8::is_ascii_graphic) {
            return Err(SshSigError::Encoding);
        }
        Ok(Self {
            key: PublicKey::from_wire(key).map_err(SshSigError::Key)?,
            namespace: shown(namespace),
            signature: signature_of(sigblob)?,
        })
    }

    /// The key that the file names as its maker.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Decides whether [`Self::public_key`] signed exactly `message` for `ns`. Whether that key may is the keyring's word.
    ///
    /// # Errors
    /// [`SshSigError::Namespace`] if made for another purpose, [`SshSigError::Mismatch`] if it does not fit.
    pub fn verify(&self, ns: Namespace, message: &[u8]) -> Result<(), SshSigError> {
        if self.namespace != ns.as_str() {
            let got = self.namespace.clone();
            return Err(SshSigError::Namespace { got, expected: ns });
        }
        self.fits(&Sha512::digest(message))
    }

    /// Decides whether [`Self::public_key`] signed a message with this SHA-512 for a purpose that is none of ours: what an
    /// upstream says of a file. It never speaks for a pack, whose purposes are refused here.
    ///
    /// # Errors
    /// [`SshSigError::ForeignNamespace`] if made for another purpose, [`SshSigError::Mismatch`] if it does not fit.
    pub fn verify_foreign(&self, namespace: &str, sha512: &[u8]) -> Result<(), SshSigError> {
        if self.namespace != namespace || namespace.starts_with(OURS) {
            return Err(SshSigError::ForeignNamespace {
                got: self.namespace.clone(),
                expected: namespace.to_owned(),
            });
        }
        self.fits(sha512)
    }

    fn fits(&self, sha512: &[u8]) -> Result<(), SshSigError> {
        if self.key.signed(&to_be_signed(&self.namespace, sha512), &self.signature) {
            Ok(())
        } else {
            Err(SshSigError::Mismatch)
        }
    }
}

fn signature_of(sigblob: &[u8]) -> Result<[u8; 64], SshSigError> {
    let mut reader = Reader::new(sigblob);
    let kind = reader.string();
    let signature = reader.string().and_then(|bytes| bytes.try_into().ok());
    match (kind, signature) {
        (Some(kind), Some(signature)) if kind == SSH_ED25519.as_bytes() && reader.is_at_end() => Ok(signature),
        _ => Err(SshSigError::Encoding),
    }
}

/// A short text of outside bytes, for messages.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(MAX_NAMESPACE).collect()
}
