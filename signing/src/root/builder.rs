//! Owns the making of trust roots: start, change, collect signatures, publish.
//!
//! A draft travels between people as the same JSON with fewer signatures; it is a root once every threshold is met.

use std::collections::BTreeMap;

use super::{
    TrustedRoot,
    body::{Body, Members, Role, RootKey},
    envelope::Envelope,
    error::RootError,
    schema,
};
use crate::{
    KeyId, Keyring, PublicKey, Signer, UtcTime,
    json::{Json, object},
};

/// A trust root in the making.
#[derive(Clone, Debug)]
pub struct RootBuilder {
    body: Body,
    signatures: BTreeMap<String, Vec<u8>>,
}

/// Who has signed a draft and who may, for one root whose keys are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Version of the root whose keys are asked.
    pub version: u64,
    /// How many of them must sign.
    pub needed: usize,
    /// Those who have.
    pub signed: Vec<KeyId>,
    /// Those who have not.
    pub waiting: Vec<KeyId>,
}

impl Progress {
    /// True if enough have signed.
    pub fn is_met(&self) -> bool {
        self.signed.len() >= self.needed
    }
}

impl RootBuilder {
    /// Starts a chain: version 1, no keys yet.
    pub fn first(issued: UtcTime, expires: UtcTime) -> Self {
        Self {
            body: Body::new(1, issued, expires),
            signatures: BTreeMap::new(),
        }
    }

    /// Starts the next version with everything as it was.
    pub fn after(root: &TrustedRoot, issued: UtcTime, expires: UtcTime) -> Self {
        let mut body = root.body.clone();
        body.version = body.version.saturating_add(1);
        body.issued = issued;
        body.expires = expires;
        Self {
            body,
            signatures: BTreeMap::new(),
        }
    }

    /// Takes up a draft that another person wrote. Nothing about it is verified but its form.
    ///
    /// # Errors
    /// [`RootError`] if the form is broken.
    pub fn from_draft(bytes: &[u8]) -> Result<Self, RootError> {
        let envelope = Envelope::parse(bytes)?;
        Ok(Self {
            body: Body::read(envelope.signed())?,
            signatures: envelope.into_signatures(),
        })
    }

    /// Version that this becomes.
    pub fn version(&self) -> u64 {
        self.body.version.into()
    }

    /// When it is said to be made.
    pub fn issued(&self) -> UtcTime {
        self.body.issued
    }

    /// When it must have been followed.
    pub fn expires(&self) -> UtcTime {
        self.body.expires
    }

    /// Keys of a role as drafted; `None` if it has none or its threshold cannot be met yet.
    pub fn ring(&self, role: Role) -> Option<Keyring> {
        self.body.ring(role)
    }

    /// What the draft calls a key.
    pub fn name_of(&self, id: &KeyId) -> Option<&str> {
        self.body.name_of(id)
    }

    /// Gives `role` to `key`. A change of the draft drops its signatures, since they covered something else.
    pub fn add_key(&mut self, role: Role, key: &PublicKey, name: Option<&str>) {
        let id = key.key_id();
        let known = self.body.keys.entry(id);
        known.or_insert_with(|| RootKey::new(key.clone(), name));
        let start = || Members {
            threshold: 1,
            keys: [].into(),
        };
        self.body.roles.entry(role).or_insert_with(start).keys.insert(id);
        self.signatures.clear();
    }

    /// Takes `role` from a key; a key without any role leaves the root.
    ///
    /// # Errors
    /// [`RootError::NoSuchKey`] if the role does not have it.
    pub fn remove_key(&mut self, role: Role, id: &KeyId) -> Result<(), RootError> {
        let members = self.body.roles.get_mut(&role);
        let Some(members) = members.filter(|members| members.keys.contains(id)) else {
            return Err(RootError::NoSuchKey { role, id: *id });
        };
        members.keys.remove(id);
        if members.keys.is_empty() && role == Role::Approval {
            self.body.roles.remove(&role);
        }
        if !self.body.roles.values().any(|members| members.keys.contains(id)) {
            self.body.keys.remove(id);
        }
        self.signatures.clear();
        Ok(())
    }

    /// Says how many keys of `role` must sign. Whether there are that many is asked when the root is written.
    ///
    /// # Errors
    /// [`RootError::Threshold`] if the role has no keys at all.
    pub fn set_threshold(&mut self, role: Role, threshold: u32) -> Result<(), RootError> {
        let members = self.body.roles.get_mut(&role);
        let members = members.ok_or(RootError::Threshold {
            role,
            threshold,
            keys: 0,
        })?;
        members.threshold = threshold;
        self.signatures.clear();
        Ok(())
    }

    /// Adds a signature; one that is there already stays.
    ///
    /// # Errors
    /// [`RootError::NotARootKey`] if it would count for nothing; any broken rule of the draft.
    pub fn sign(&mut self, signer: &dyn Signer, previous: Option<&TrustedRoot>) -> Result<(), RootError> {
        self.body.check()?;
        let id = signer.public_key().key_id();
        let has = |ring: Option<Keyring>| ring.is_some_and(|ring| ring.get(&id).is_some());
        if !has(self.ring(Role::Root)) && !has(previous.and_then(|root| root.ring(Role::Root))) {
            return Err(RootError::NotARootKey(id));
        }
        let signature = signer.sign(&self.body.to_json().canonical());
        self.signatures
            .entry(id.to_string())
            .or_insert_with(|| signature.to_vec());
        Ok(())
    }

    /// Who has signed and who may: for the root before, if there is one, and for this one.
    pub fn progress(&self, previous: Option<&TrustedRoot>) -> Vec<Progress> {
        let message = self.body.to_json().canonical();
        let before = previous.map(|root| (root.version(), root.ring(Role::Root)));
        let own = (self.version(), self.ring(Role::Root));
        let asked = before.into_iter().chain([own]);
        asked
            .filter_map(|(version, ring)| {
                let ring = ring?;
                let has_signed = |(id, key): &(&KeyId, &PublicKey)| {
                    let signature = self.signatures.get(&id.to_string());
                    let signature = signature.and_then(|bytes| bytes.as_slice().try_into().ok());
                    signature.is_some_and(|signature| key.signed(&message, signature))
                };
                let (signed, waiting): (Vec<_>, Vec<_>) = ring.keys().partition(has_signed);
                let ids = |keys: Vec<(&KeyId, &PublicKey)>| keys.into_iter().map(|(id, _)| *id).collect();
                Some(Progress {
                    version,
                    needed: ring.threshold(),
                    signed: ids(signed),
                    waiting: ids(waiting),
                })
            })
            .collect()
    }

    /// The file, with the signatures there are.
    ///
    /// # Errors
    /// [`RootError`] naming the first rule that the draft breaks.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RootError> {
        self.body.check()?;
        let signature = |(id, bytes): (&String, &Vec<u8>)| {
            Json::Map(object([
                ("keyid", Json::text(id)),
                ("sig", Json::text(&schema::to_hex(bytes))),
            ]))
        };
        let signatures = self.signatures.iter().map(signature).collect();
        let file = object([("signatures", Json::List(signatures)), ("signed", self.body.to_json())]);
        Ok(Json::Map(file).pretty())
    }
}
