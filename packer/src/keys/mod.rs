//! Owns everything around private keys: key files, passphrases, signature files beside manifests, and the files of a trust root.
//!
//! Key files are OpenSSH's, encrypted unless that is refused in so many words: `NAME` (mode 0600), `NAME.pub`, `NAME.pem`.
//! Private keys exist only in the packer; nothing here ever replaces a file that exists.

mod chain;
mod draft;
mod error;
mod files;
mod manifests;
mod minisign;
mod platform;
mod secret;
mod unlock;

pub use chain::TrustChain;
pub use draft::{Draft, Saved};
pub use error::KeyError;
pub use files::read_public;
pub use manifests::{find_manifests, place_signature, read_signature};
pub use minisign::Minisig;
pub use secret::{KeyFile, SecretKey};
pub use unlock::{PASSPHRASE_VAR, Unlock};
