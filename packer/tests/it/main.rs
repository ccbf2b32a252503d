//! Integration tests of the packer, all in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fixture that fails is a failed test")]

mod keys;
mod stock;
mod trust;
