//! Owns [`Keyring`]: the keys that a trust root accepts for one role, and how many of them must agree.

use std::collections::BTreeMap;

use crate::{KeyId, PublicKey};

/// Public keys accepted for a role, as the trust root states them, with the threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    threshold: usize,
    keys: BTreeMap<KeyId, PublicKey>,
}

/// The threshold cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a threshold of {threshold} over {keys} keys, expected between 1 and the number of keys")]
pub struct KeyringError {
    threshold: usize,
    keys: usize,
}

impl Keyring {
    /// Takes `keys`, a repeated one once.
    ///
    /// # Errors
    /// [`KeyringError`] if the threshold is 0 or more than there are distinct keys.
    pub fn new(threshold: usize, keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, KeyringError> {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (key.key_id(), key)).collect();
        if threshold == 0 || threshold > keys.len() {
            let keys = keys.len();
            return Err(KeyringError { threshold, keys });
        }
        Ok(Self { threshold, keys })
    }

    /// How many distinct keys must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys, in the order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyId, &PublicKey)> {
        self.keys.iter()
    }

    /// The key with this id, if the role has it.
    pub fn get(&self, id: &KeyId) -> Option<&PublicKey> {
        self.keys.get(id)
    }
}
