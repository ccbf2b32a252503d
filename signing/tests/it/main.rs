//! Owns the integration tests of the crate: one binary, one module per subject.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fixture that fails is a failed test")]

mod embedded;
mod keys;
mod no_panic;
mod openssh;
mod python_tuf;
mod root;
mod sshsig;
mod support;
mod trust_md;
mod verdict;
