//! Verifies, stages, activates atomically and rolls back packs from a read-only medium.
//!
//! [`plan`] is the seam: the modules above it decide (what, from where, trusted by whom, is there room), and
//! `transaction` makes it true. Nothing here writes to a medium, and nothing but `transaction` writes to an install root.

pub mod answers;
pub mod ask;
pub mod flow;
pub mod gate;
pub mod medium;
mod nearest;
pub mod plan;
pub mod platform;
pub mod preflight;
pub mod progress;
mod report;
pub mod select;
#[cfg(test)]
mod testing;
pub mod trust;
pub mod wizard;
pub mod world;
