//! Owns reading minisign's public keys and signatures, and deciding with them.
//!
//! Only prehashed signatures (`ED`, Ed25519 over BLAKE2b-512) are taken, which minisign makes since version 0.10; the older
//! form would need the whole file in memory.
//!
//! Source: `minisign.h` and `minisign.c` of minisign 0.12.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};

use super::UpstreamError;

const KEY: &[u8; 2] = b"Ed";
const PREHASHED: &[u8; 2] = b"ED";
const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// A public key as minisign writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MinisignKey {
    number: [u8; 8],
    key: VerifyingKey,
}

impl MinisignKey {
    /// Reads the second line of a `minisign.pub`: base64 of `Ed`, the key's number and the key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 42] = STANDARD.decode(text).ok()?.try_into().ok()?;
        let (kind, rest) = bytes.split_first_chunk::<2>()?;
        let (number, key) = rest.split_first_chunk::<8>()?;
        if kind != KEY {
            return None;
        }
        let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
        (!key.is_weak()).then_some(Self { number: *number, key })
    }

    /// As it is written in a definition.
    pub(super) fn text(&self) -> String {
        STANDARD.encode([&KEY[..], &self.number, self.key.as_bytes()].concat())
    }

    /// The key's number as minisign prints it.
    pub(super) fn id(&self) -> String {
        format!("{:016X}", u64::from_le_bytes(self.number))
    }

    /// Decides whether `signature` is this key's over a file with this BLAKE2b-512.
    pub(super) fn verify(&self, signature: &str, digest: &[u8]) -> Result<(), UpstreamError> {
        let read = Minisig::parse(signature).ok_or(UpstreamError::Encoding("minisign"))?;
        if read.kind == *KEY {
            return Err(UpstreamError::Legacy);
        }
        if read.kind != *PREHASHED {
            return Err(UpstreamError::Encoding("minisign"));
        }
        if read.number != self.number {
            let got = format!("{:016X}", u64::from_le_bytes(read.number));
            return Err(UpstreamError::OtherKey {
                got,
                expected: self.id(),
            });
        }
        let signed = |message: &[u8], signature: &[u8; 64]| {
            let signature = Signature::from_bytes(signature);
            self.key.verify_strict(message, &signature).is_ok()
        };
        let global = [&read.signature[..], read.comment.as_bytes()].concat();
        if signed(digest, &read.signature) && signed(&global, &read.global) {
            return Ok(());
        }
        Err(UpstreamError::Mismatch)
    }
}

/// A signature as read; nothing of it is decided.
struct Minisig<'t> {
    kind: [u8; 2],
    number: [u8; 8],
    signature: [u8; 64],
    comment: &'t str,
    global: [u8; 64],
}

impl<'t> Minisig<'t> {
    /// Reads the four lines.
    fn parse(text: &'t str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next()?.strip_prefix(UNTRUSTED)?;
        let first: [u8; 74] = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let comment = lines.next()?.strip_prefix(TRUSTED)?;
        let global = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let (kind, rest) = first.split_first_chunk::<2>()?;
        let (number, signature) = rest.split_first_chunk::<8>()?;
        if lines.any(|line| !line.is_empty()) {
            return None;
        }
        Some(Self {
            kind: *kind,
            number: *number,
            signature: signature.try_into().ok()?,
            comment,
            global,
        })
    }
}
