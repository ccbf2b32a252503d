//! The two releases as processes: what visitors, the launcher and a migration see of them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests that fails must fail its test"
)]

mod book;
mod client;
mod migration;
mod visitors;
