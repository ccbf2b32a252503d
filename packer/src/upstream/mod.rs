//! Owns what an upstream's own signature over a download says: who must have signed, and whether that is so.
//!
//! Such a signature speaks for bytes on their way to the builder. It is no trust of a pack: that is `signing`'s alone.
//!
//! *Limitations*: minisign and SSH signatures with Ed25519 keys. Those of `OpenPGP` are recognised and refused.

mod minisign;

use std::{fmt, io::Read};

use blake2::Blake2b512;
use kojibox_signing::{
    PublicKey,
    sshsig::{SshSig, SshSigError},
};
use sha2::Sha512;

use crate::interrupt::Stoppable;
use minisign::MinisignKey;

/// Longest signature that is read, in bytes.
pub(crate) const MAX_SIGNATURE: u64 = 16 << 10;

/// Who must have signed a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy(Box<Kind>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Minisign(MinisignKey),
    Ssh { key: PublicKey, namespace: String },
}

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The file could not be read.
    #[error("the file could not be read")]
    Read(#[source] std::io::Error),
    /// The upstream has none.
    #[error("there is none")]
    Missing,
    /// Another kind of signature.
    #[error("it is an OpenPGP signature, which is not read; expected one of {0}")]
    OpenPgp(&'static str),
    /// Not a signature.
    #[error("it is no {0} signature")]
    Encoding(&'static str),
    /// An SSH signature that is refused before it is compared.
    #[error("it is no SSH signature that is taken")]
    Ssh(#[source] SshSigError),
    /// The old form of minisign.
    #[error(
        "it is a minisign signature of the old form, without a hash; ask the upstream to sign with minisign 0.10 or newer"
    )]
    Legacy,
    /// Somebody else signed.
    #[error("it is by key `{got}`, expected `{expected}`")]
    OtherKey {
        /// Key in the signature.
        got: String,
        /// Key in the definition.
        expected: String,
    },
    /// The mathematics say no.
    #[error("it does not fit the bytes")]
    Mismatch,
}

impl SignedBy {
    /// A key of minisign, as the second line of a `minisign.pub`.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn minisign(key: &str) -> Result<Self, String> {
        let key = MinisignKey::parse(key);
        key.map(|key| Self(Box::new(Kind::Minisign(key))))
            .ok_or_else(|| "no public key of minisign; expected its line that starts with `RW`".to_owned())
    }

    /// A key of SSH and the namespace that its owner signs downloads in.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn ssh(key: &str, namespace: &str) -> Result<Self, String> {
        let key = PublicKey::from_openssh(key).map_err(|e| e.to_string())?;
        if namespace.is_empty() || namespace.len() > 64 || !namespace.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("no namespace; expected 1 to 64 letters, digits and signs, such as `file`".to_owned());
        }
        let namespace = namespace.to_owned();
        Ok(Self(Box::new(Kind::Ssh { key, namespace })))
    }

    /// What is added to the address of a file for the address of its signature.
    pub(crate) fn suffix(&self) -> &'static str {
        match *self.0 {
            Kind::Minisign(_) => ".minisig",
            Kind::Ssh { .. } => ".sig",
        }
    }

    /// A short name for manifests: the kind and the key as its own tools print it.
    pub(crate) fn short(&self) -> String {
        match &*self.0 {
            Kind::Minisign(key) => format!("minisign:{}", key.id()),
            Kind::Ssh { key, .. } => format!("ssh:{}", key.fingerprint()),
        }
    }

    /// Takes the bytes of a detached signature, if they may be one of the expected kind.
    pub(crate) fn take(&self, bytes: Vec<u8>) -> Result<String, UpstreamError> {
        let kind = match *self.0 {
            Kind::Minisign(_) => "minisign",
            Kind::Ssh { .. } => "SSH",
        };
        // A binary OpenPGP packet has its highest bit set; nothing of the other two kinds starts so.
        if bytes.starts_with(b"-----BEGIN PGP") || bytes.first().is_some_and(|b| b & 0x80 != 0) {
            return Err(UpstreamError::OpenPgp(kind));
        }
        if bytes.len() as u64 > MAX_SIGNATURE {
            return Err(UpstreamError::Encoding(kind));
        }
        String::from_utf8(bytes).map_err(|_| UpstreamError::Encoding(kind))
    }

    /// Decides whether `signature` is the upstream's over all of `file`.
    pub fn verify(&self, signature: &str, file: &mut dyn Read) -> Result<(), UpstreamError> {
        match &*self.0 {
            Kind::Minisign(key) => key.verify(signature, &digest::<Blake2b512>(file)?),
            Kind::Ssh { key, namespace } => {
                let read = SshSig::parse(signature.as_bytes()).map_err(UpstreamError::Ssh)?;
                if read.public_key() != key {
                    return Err(UpstreamError::OtherKey {
                        got: read.public_key().fingerprint(),
                        expected: key.fingerprint(),
                    });
                }
                let digest = digest::<Sha512>(file)?;
                match read.verify_foreign(namespace, &digest) {
                    Err(SshSigError::Mismatch) => Err(UpstreamError::Mismatch),
                    other => other.map_err(UpstreamError::Ssh),
                }
            }
        }
    }
}

impl fmt::Display for SignedBy {
    /// The whole statement, as the lock keeps it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Minisign(key) => write!(f, "minisign {}", key.text()),
            Kind::Ssh { key, namespace } => write!(f, "ssh {namespace} {}", key.to_openssh("")),
        }
    }
}

fn digest<D: sha2::Digest>(file: &mut dyn Read) -> Result<Vec<u8>, UpstreamError> {
    let mut hasher = D::new();
    let mut buf = vec![0; 1 << 16];
    let mut file = Stoppable(file);
    loop {
        match file.read(&mut buf) {
            Ok(0) => return Ok(hasher.finalize().to_vec()),
            Ok(n) => hasher.update(&buf[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(UpstreamError::Read(e)),
        }
    }
}
