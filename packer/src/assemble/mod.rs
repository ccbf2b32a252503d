//! Owns the way from prepared component trees to a signed pack in a depot.
//!
//! [`Job::make`] makes every byte, [`Made::compare_with_lock`] compares, [`Made::publish`] makes the pack visible. Files of a depot that are made
//! here: `blobs/*.tar.zst[.NNN]`, `blobs/*.idx.zst`, `packs/*.{cdx.json,provenance.json,SHA256SUMS,kbx.json,sshsig}`,
//! `trust/<root16>/N.root.json`.

mod blob;
mod component;
mod differs;
mod error;
mod implicit;
mod inventory;
mod pack;
mod preset;
mod provenance;
mod publish;
mod purl;
mod reproduce;
mod runtime;
mod sbom;
mod stock;

pub use differs::Difference;
pub use error::{AssembleError, TwoDigests};
pub use implicit::{LAUNCHER, PACK};
pub use pack::{Issued, Job, Made, Order};
pub use preset::{Effort, Preset};
pub use publish::{Published, Publisher};
pub use runtime::RuntimeError;
