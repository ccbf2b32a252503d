//! Owns what can be wrong with a trust root.

use crate::{KeyError, KeyId, Refusal, root::Role};

/// Why a `root.json` is refused.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Longer than any root may be.
    #[error("the trust root has {got} bytes, at most {limit} bytes are read")]
    TooLarge {
        /// Length as read.
        got: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// No strict JSON: damaged, with duplicate keys or with fractions.
    #[error("the trust root is not strict JSON")]
    Json(#[source] serde_json::Error),
    /// Not the outer form of TUF metadata, so that it does not even say what was signed.
    #[error("`{at}` of the trust root is not {expected}; it states no signatures that can be checked")]
    Envelope {
        /// Where, with dots.
        at: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A field is missing or of another kind.
    #[error("`{at}` of the trust root is not {expected}")]
    Field {
        /// Where, with dots.
        at: String,
        /// What should be there.
        expected: &'static str,
    },
    /// Made by a later TUF than 1.x.
    #[error("the trust root follows TUF `{}`, expected 1.x", .0.escape_debug())]
    SpecVersion(String),
    /// A key cannot be used.
    #[error("key `{}` of the trust root cannot be used", id.escape_debug())]
    Key {
        /// As the root calls it.
        id: String,
        /// Why not.
        #[source]
        source: KeyError,
    },
    /// The id is not that of the key.
    #[error("the trust root calls a key `{}`, its id is `{computed}`", stated.escape_debug())]
    KeyId {
        /// As the root calls it.
        stated: String,
        /// As it is.
        computed: KeyId,
    },
    /// A role names a key that is not there.
    #[error("role `{role}` names key `{}`, which the trust root does not hold", id.escape_debug())]
    MissingKey {
        /// Which role.
        role: Role,
        /// Which key.
        id: String,
    },
    /// A role names a key twice.
    #[error("role `{role}` names key `{}` twice", id.short())]
    DuplicateKey {
        /// Which role.
        role: Role,
        /// Which key.
        id: KeyId,
    },
    /// 0, or more than there are keys.
    #[error("role `{role}` asks for {threshold} of {keys} keys, expected between 1 and the number of keys")]
    Threshold {
        /// Which role.
        role: Role,
        /// How many must sign.
        threshold: u32,
        /// How many there are.
        keys: usize,
    },
    /// One key in two hands.
    #[error("key `{}` has the roles `{first}` and `{second}`; no key may serve two purposes", id.short())]
    SharedKey {
        /// Which key.
        id: KeyId,
        /// One role.
        first: Role,
        /// The other.
        second: Role,
    },
    /// It would be dead on arrival.
    #[error("the trust root expires before it is issued")]
    ExpiresFirst,
    /// Two signatures in the name of one key.
    #[error("two signatures of the trust root are by key `{}`", .0.escape_debug())]
    DuplicateSignature(String),
    /// A signature without bytes.
    #[error("the signature of key `{}` is empty", .0.escape_debug())]
    EmptySignature(String),
    /// Not the next of the chain.
    #[error("the trust root has version {got}, expected {expected}")]
    Version {
        /// As read.
        got: u64,
        /// One more than the version before.
        expected: u64,
    },
    /// Too few of the keys that must sign did so.
    #[error("{valid} of {needed} needed signatures by the root keys of version {version} are valid")]
    NotEnough {
        /// The root whose keys were asked.
        version: u64,
        /// Distinct keys whose signature counts.
        valid: usize,
        /// The threshold.
        needed: usize,
    },
    /// The role has no such key.
    #[error("role `{role}` has no key `{}`", id.short())]
    NoSuchKey {
        /// Which role.
        role: Role,
        /// Which key.
        id: KeyId,
    },
    /// Its signature would count for nothing.
    #[error("key `{}` is a root key neither of this version nor of the one before", .0.short())]
    NotARootKey(KeyId),
}

impl RootError {
    /// What scripts see.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::TooLarge { .. }
            | Self::Json(_)
            | Self::Envelope { .. }
            | Self::DuplicateSignature(_)
            | Self::EmptySignature(_)
            | Self::NotEnough { .. } => Refusal::Unsigned,
            Self::Version { .. } => Refusal::Replay,
            Self::SpecVersion(_) => Refusal::TooNew,
            _ => Refusal::Malformed,
        }
    }
}
