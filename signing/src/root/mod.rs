//! Owns trust roots: TUF `root.json`, version by version, with the pack and approval roles in the signed field `x-kojibox`.
//!
//! A [`TrustedRoot`] has been verified against its own threshold and, when it came by [`TrustedRoot::advance`], against
//! the one before it. Expiry is not judged here, since this crate has no clock: see [`TrustedRoot::expires`].
//!
//! Source: TUF specification 1.0.34, sections 4.3 and 5.3; `TRUST.md`, sections 4 and 5.

mod body;
mod builder;
mod envelope;
mod error;
mod schema;

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};

pub use body::Role;
pub use builder::{Progress, RootBuilder};
pub use error::RootError;

use crate::{Digest, KeyId, Keyring, UtcTime};
use body::Body;
use envelope::Envelope;

/// Longest `root.json` that is read.
pub const MAX_BYTES: usize = 64 * 1024;

/// First 16 hex digits of the SHA-256 of the first `root.json`: names a publisher's folder.
pub fn root16(first_root: &[u8]) -> String {
    Digest::of(first_root).short()
}

/// `SHA256:` and the unpadded base64 of the SHA-256 of the file: what people compare.
pub fn fingerprint(root: &[u8]) -> String {
    let digest = Digest::of(root);
    format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(digest.as_bytes()))
}

/// A `root.json` that its own root keys signed in sufficient number.
#[derive(Clone, Debug)]
pub struct TrustedRoot {
    body: Body,
    bytes: Vec<u8>,
}

impl TrustedRoot {
    /// Takes a root that a person or a program vouches for. The bytes prove only that they are whole, not whose they are.
    ///
    /// # Errors
    /// [`RootError`] if the root breaks the format or its own keys did not sign it in sufficient number.
    pub fn pin(bytes: &[u8]) -> Result<Self, RootError> {
        let envelope = Envelope::parse(bytes)?;
        let body = Body::parse(envelope.signed())?;
        envelope.require(&body)?;
        let bytes = bytes.to_vec();
        Ok(Self { body, bytes })
    }

    /// Goes to the next version, which both the keys of this one and its own must have signed. Stays as it is on failure.
    ///
    /// The old keys come first: nothing of the new root is interpreted before they vouched for it.
    ///
    /// # Errors
    /// [`RootError`]; [`RootError::Version`] if the version is not exactly one higher.
    pub fn advance(&mut self, next: &[u8]) -> Result<(), RootError> {
        let envelope = Envelope::parse(next)?;
        envelope.require(&self.body)?;
        let body = Body::parse(envelope.signed())?;
        let expected = u64::from(self.body.version) + 1;
        let got = u64::from(body.version);
        if got != expected {
            return Err(RootError::Version { got, expected });
        }
        envelope.require(&body)?;
        *self = Self {
            body,
            bytes: next.to_vec(),
        };
        Ok(())
    }

    /// Version, counted from 1.
    pub fn version(&self) -> u64 {
        self.body.version.into()
    }

    /// Keys of the publisher for packs.
    pub fn pack_ring(&self) -> Keyring {
        self.ring(Role::Pack).expect("a root without pack keys is refused")
    }

    /// Keys of the site for its countersignature, if this root has any.
    pub fn approval_ring(&self) -> Option<Keyring> {
        self.ring(Role::Approval)
    }

    /// Keys of a role; every role but [`Role::Approval`] has some.
    pub fn ring(&self, role: Role) -> Option<Keyring> {
        self.body.ring(role)
    }

    /// What the root calls a key, unverified prose for people.
    pub fn name_of(&self, id: &KeyId) -> Option<&str> {
        self.body.name_of(id)
    }

    /// When it was made, a lower bound of the present time.
    pub fn issued(&self) -> UtcTime {
        self.body.issued
    }

    /// When it must have been followed by the next. The last of a chain is judged by it, one on the way is not.
    pub fn expires(&self) -> UtcTime {
        self.body.expires
    }

    /// The exact bytes, for storing.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
