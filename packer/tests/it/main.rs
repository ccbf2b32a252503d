//! Integration tests of the packer, all in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fixture that fails is a failed test")]

mod bench;
mod build;
mod damaged;
mod definition;
mod finished;
#[cfg(unix)]
mod interrupted;
mod keys;
mod parity;
mod sources;
mod stock;
mod trust;
