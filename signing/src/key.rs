//! Owns Ed25519 public keys and their ids, in the three text forms that stock tools read.
//!
//! A key is refused on construction when it is no point, not in its one canonical encoding, or of small order;
//! so a [`PublicKey`] that exists can be trusted to mean one key. Verification is `verify_strict`, always.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Digest, DigestError,
    wire::{Reader, put_string},
};

/// Name of the key type in SSH encodings.
pub(crate) const SSH_ED25519: &str = "ssh-ed25519";
/// Longest line of an OpenSSH public key that is read.
const MAX_LINE: usize = 4096;
/// DER of `SubjectPublicKeyInfo` up to the 32 key bytes (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 public key that is neither weak nor ambiguous.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Why bytes or text are no usable public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no point of the curve.
    #[error("the bytes are no Ed25519 public key")]
    NotAPoint,
    /// Another encoding of the same point exists.
    #[error("the Ed25519 public key is not in its canonical encoding")]
    NotCanonical,
    /// Anyone can sign for such a key.
    #[error("the Ed25519 public key is weak: it is a point of small order")]
    Weak,
    /// A key of another kind.
    #[error("the key is of type `{}`, expected `ssh-ed25519`", .0.escape_debug())]
    OtherType(String),
    /// The line is not `ssh-ed25519 BASE64 [comment]`.
    #[error("the line is no OpenSSH public key, expected `ssh-ed25519 BASE64 [comment]`")]
    NotALine,
}

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError`] for bytes that are no point, not canonical, or weak.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    /// Reads one line `ssh-ed25519 BASE64 [comment]`, as in a `.pub` file; the comment is ignored.
    ///
    /// # Errors
    /// [`KeyError`] for other key types, options before the type, and bytes that do not decode exactly.
    pub fn from_openssh(line: &str) -> Result<Self, KeyError> {
        let line = line.trim_ascii();
        if line.len() > MAX_LINE || line.contains(['\n', '\r']) {
            return Err(KeyError::NotALine);
        }
        let mut words = line.splitn(3, ' ');
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
            return Err(KeyError::NotALine);
        };
        if kind != SSH_ED25519 {
            return Err(KeyError::OtherType(kind.chars().take(64).collect()));
        }
        let blob = STANDARD.decode(blob).map_err(|_| KeyError::NotALine)?;
        Self::from_wire(&blob)
    }

    /// Reads the SSH encoding: string `ssh-ed25519`, string of 32 bytes, nothing else.
    pub(crate) fn from_wire(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        let kind = reader.string().ok_or(KeyError::NotALine)?;
        if kind != SSH_ED25519.as_bytes() {
            let kind = String::from_utf8_lossy(kind).chars().take(64).collect();
            return Err(KeyError::OtherType(kind));
        }
        let bytes = reader.string().and_then(|b| b.try_into().ok());
        match bytes {
            Some(bytes) if reader.is_at_end() => Self::from_bytes(bytes),
            _ => Err(KeyError::NotALine),
        }
    }

    pub(crate) fn to_wire(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(51);
        put_string(&mut out, SSH_ED25519.as_bytes());
        put_string(&mut out, self.as_bytes());
        out
    }

    /// The line of a `.pub` file, without a line break; control characters of `comment` become spaces.
    pub fn to_openssh(&self, comment: &str) -> String {
        let comment = comment.replace(char::is_control, " ");
        let line = format!("{SSH_ED25519} {} {}", STANDARD.encode(self.to_wire()), comment.trim());
        line.trim_end().to_owned()
    }

    /// The key as `SubjectPublicKeyInfo` PEM, for `openssl pkeyutl`.
    pub fn to_pem(&self) -> String {
        let der = [&SPKI_PREFIX[..], self.as_bytes()].concat();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }

    /// `SHA256:…`, the same that `ssh-keygen -lf` prints.
    pub fn fingerprint(&self) -> String {
        let digest = Digest::of(&self.to_wire());
        format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(digest.as_bytes()))
    }

    /// The id by which trust roots and file names call this key.
    pub fn key_id(&self) -> KeyId {
        let public = self.to_hex();
        let json = format!(r#"{{"keytype":"ed25519","keyval":{{"public":"{public}"}},"scheme":"ed25519"}}"#);
        KeyId(Digest::of(json.as_bytes()))
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn to_hex(&self) -> String {
        Digest::from_bytes(*self.as_bytes()).to_string()
    }

    /// True if `signature` is this key's over exactly `message`.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// Name of a key: the TUF key id, SHA-256 of the key's canonical JSON. Text form is 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl KeyId {
    /// The first 16 hex digits, as file names carry them (`keyid16`).
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

impl FromStr for KeyId {
    type Err = DigestError;

    fn from_str(s: &str) -> Result<Self, DigestError> {
        s.parse().map(Self)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Digest::deserialize(d).map(Self)
    }
}

/// Whoever holds a private key. Nothing in this crate does: the packer implements it.
pub trait Signer {
    /// The public half.
    fn public_key(&self) -> PublicKey;

    /// Signs exactly `message` with pure Ed25519 (RFC 8032).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}
