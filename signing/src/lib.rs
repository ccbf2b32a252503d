//! Bytes in, verdict out: digests, keys, SSHSIG, the trust root. Opens no file and reads no clock.
//!
//! `TRUST.md` beside this crate is the normative text; the tests hold the code to it.

mod digest;
pub mod embedded;
mod json;
mod key;
mod keyring;
mod refusal;
pub mod root;
mod signed;
pub mod sshsig;
mod time;
mod wire;

pub use digest::{Digest, DigestError, Hasher};
pub use key::{KeyError, KeyId, PublicKey, Signer};
pub use keyring::{Keyring, KeyringError};
pub use refusal::Refusal;
pub use signed::{Document, Rejection, Rejections, Signed, Verified, VerifyError};
pub use sshsig::Namespace;
pub use time::{TimeError, UtcTime};
