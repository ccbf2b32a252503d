//! Owns the only door from outside bytes to meaning: [`Signed`] goes in, [`Verified`] comes out.
//!
//! Order: signatures over the raw bytes, then the parser. Nothing is parsed whose signature or signed hash did not match.

use std::{collections::BTreeSet, error::Error, fmt, ops::Deref};

use crate::{
    Digest, KeyId, Keyring, Namespace, Refusal,
    sshsig::{SshSig, SshSigError},
};

/// Most signature files that are looked at for one document.
const MAX_SIGNATURES: usize = 64;

/// Something that is signed, or whose hash is: raw bytes with a parser that comes after the verdict.
pub trait Document: Sized {
    /// What the parser says.
    type Error: Error + Send + Sync + 'static;

    /// Longest encoding that is looked at.
    const MAX_BYTES: usize;

    /// Reads the document. Only called with bytes whose signature or signed hash matched.
    fn parse(bytes: &[u8]) -> Result<Self, Self::Error>;
}

/// Outside bytes with the signature files found beside them; nothing of it is believed yet.
#[must_use = "signed bytes mean nothing until `verify`"]
pub struct Signed<T> {
    bytes: Vec<u8>,
    signatures: Vec<Vec<u8>>,
    document: std::marker::PhantomData<fn() -> T>,
}

impl<T: Document> Signed<T> {
    /// Takes raw bytes as read.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            signatures: Vec::new(),
            document: std::marker::PhantomData,
        }
    }

    /// Adds the content of one `.sshsig` file.
    pub fn attach(mut self, signature: Vec<u8>) -> Self {
        self.signatures.push(signature);
        self
    }

    /// Decides: enough distinct keys of `ring` signed exactly these bytes for `ns`; then, and only then, parses.
    ///
    /// A signature that does not count (unknown key, other namespace, damaged) is no failure while enough others do.
    ///
    /// # Errors
    /// [`VerifyError`]; an empty signature file is always one, since it is the mark of a copy cut short.
    pub fn verify(self, ring: &Keyring, ns: Namespace) -> Result<Verified<T>, VerifyError<T::Error>> {
        limit(&self.bytes, T::MAX_BYTES)?;
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(VerifyError::TooManySignatures(self.signatures.len()));
        }
        let mut keys = BTreeSet::new();
        let mut rejected = Vec::new();
        for signature in &self.signatures {
            if signature.is_empty() {
                return Err(VerifyError::EmptySignature);
            }
            match count(signature, ring, ns, &self.bytes) {
                Ok(id) => drop(keys.insert(id)),
                Err(reason) => rejected.push(reason),
            }
        }
        if keys.len() < ring.threshold() {
            return Err(VerifyError::NotEnough {
                valid: keys.len(),
                needed: ring.threshold(),
                reasons: Rejections(rejected),
            });
        }
        Verified::parse(self.bytes, keys.into_iter().collect())
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            signatures: self.signatures.clone(),
            document: self.document,
        }
    }
}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, signatures) = (self.bytes.len(), self.signatures.len());
        write!(f, "Signed({bytes} bytes, {signatures} signatures)")
    }
}

fn limit<E: Error + 'static>(bytes: &[u8], limit: usize) -> Result<(), VerifyError<E>> {
    if bytes.len() > limit {
        return Err(VerifyError::TooLarge {
            got: bytes.len(),
            limit,
        });
    }
    Ok(())
}

/// The key of `ring` that made this signature.
fn count(signature: &[u8], ring: &Keyring, ns: Namespace, message: &[u8]) -> Result<KeyId, Rejection> {
    let signature = SshSig::parse(signature).map_err(Rejection::Unreadable)?;
    let id = signature.public_key().key_id();
    if ring.get(&id).is_none() {
        let keys = ring.keys().count();
        return Err(Rejection::UnknownKey { id, keys });
    }
    signature
        .verify(ns, message)
        .map_err(|why| Rejection::Invalid { id, why })?;
    Ok(id)
}

/// Why one signature did not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not in the one form that is read.
    #[error("a signature file is unreadable: {0}")]
    Unreadable(SshSigError),
    /// Made by a key that the trust root does not give this role.
    #[error("signed by key `{}`, to which the trust root does not give this role ({keys} keys have it)", id.short())]
    UnknownKey {
        /// Who signed.
        id: KeyId,
        /// How many keys have the role.
        keys: usize,
    },
    /// Made by a key of the role, over something else.
    #[error("signature of key `{}`: {why}", id.short())]
    Invalid {
        /// Who signed.
        id: KeyId,
        /// What is wrong.
        why: SshSigError,
    },
}

/// Why each of the signatures did not count, one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejections(Vec<Rejection>);

impl Rejections {
    /// One reason for each signature that did not count.
    pub fn reasons(&self) -> &[Rejection] {
        &self.0
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, more)) = self.0.split_first() else {
            return f.write_str("there is no other signature");
        };
        write!(f, "{first}")?;
        more.iter().try_for_each(|reason| write!(f, "\n{reason}"))
    }
}

impl Error for Rejections {}

/// Why bytes did not become a [`Verified`].
#[derive(Debug, thiserror::Error)]
pub enum VerifyError<E: Error + 'static> {
    /// Longer than any such document may be.
    #[error("{got} bytes are too long, at most {limit} bytes are read")]
    TooLarge {
        /// Length as read.
        got: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// More signature files than are looked at.
    #[error("{0} signature files, at most {MAX_SIGNATURES} are read")]
    TooManySignatures(usize),
    /// A signature file without content: a copy was cut short.
    #[error("a signature file is empty")]
    EmptySignature,
    /// Fewer valid signatures than the threshold asks for.
    #[error("{valid} of {needed} needed signatures are valid")]
    NotEnough {
        /// Distinct keys whose signature counts.
        valid: usize,
        /// The threshold.
        needed: usize,
        /// Why the others do not count.
        #[source]
        reasons: Rejections,
    },
    /// Not the bytes that a signed document names.
    #[error("sha256 is `{got}`, expected `{expected}`")]
    Digest {
        /// Of the bytes as read.
        got: Digest,
        /// As signed.
        expected: Digest,
    },
    /// The signature is good, the content is not.
    #[error("the signed content breaks the format")]
    Document(#[source] E),
}

impl<E: Error + 'static> VerifyError<E> {
    /// What scripts see; `None` when the parser's error decides.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::TooLarge { .. } | Self::TooManySignatures(_) | Self::EmptySignature | Self::NotEnough { .. } => {
                Some(Refusal::Unsigned)
            }
            Self::Digest { .. } => Some(Refusal::Damaged),
            Self::Document(_) => None,
        }
    }
}

/// A document whose signature or signed hash matched, with the exact bytes it was read from.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    document: T,
    bytes: Vec<u8>,
    digest: Digest,
    keys: Vec<KeyId>,
}

impl<T: Document> Verified<T> {
    /// Takes bytes that a verified document names by their hash; `expected` must come from a [`Verified`].
    ///
    /// # Errors
    /// [`VerifyError`]: too long, another hash, or content that breaks the format.
    pub fn by_digest(bytes: Vec<u8>, expected: &Digest) -> Result<Self, VerifyError<T::Error>> {
        limit(&bytes, T::MAX_BYTES)?;
        let got = Digest::of(&bytes);
        if got != *expected {
            let expected = *expected;
            return Err(VerifyError::Digest { got, expected });
        }
        Self::parse(bytes, Vec::new())
    }

    fn parse(bytes: Vec<u8>, keys: Vec<KeyId>) -> Result<Self, VerifyError<T::Error>> {
        Ok(Self {
            document: T::parse(&bytes).map_err(VerifyError::Document)?,
            digest: Digest::of(&bytes),
            bytes,
            keys,
        })
    }
}

impl<T> Verified<T> {
    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Keys whose signatures counted, sorted; empty when a signed hash decided.
    pub fn keys(&self) -> &[KeyId] {
        &self.keys
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.document
    }
}
