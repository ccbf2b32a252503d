//! Owns laying out a stick: choosing packs, planning what is copied, copying it crash-safe, the installer and `README.txt`.
//!
//! A stick is a depot that is carried: everything is verified on the way, manifests come last, files of other people are
//! left alone. Parts are cut anew where that is asked for, always at frame borders.

mod choose;
mod error;
mod installer;
mod lay;
mod parity;
mod plan;
mod readme;

use std::path::PathBuf;

use kojibox_packs::Target;

pub use error::StickError;
pub use lay::Laid;
pub use plan::{Plan, PlannedInstaller, PlannedPack, PlannedParity};

use crate::{
    depot::{Chain, PackRef},
    tools::Tools,
};

/// What is wanted on a stick.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The stick.
    pub dir: PathBuf,
    /// Where packs are taken from.
    pub depot: PathBuf,
    /// These packs; none: the newest release of each.
    pub packs: Vec<PackRef>,
    /// Machines that the stick is for; none: those that the packs are for.
    pub targets: Vec<Target>,
    /// The publisher, whose root the installers carry.
    pub trust: Option<Chain>,
    /// Where installers are; none: the stick has none.
    pub tools: Option<Tools>,
    /// Blobs are cut anew into parts of at most this size.
    pub part_size: Option<u64>,
    /// Parity blocks for each 32 blocks of a blob; none: no parity is made.
    pub parity: Option<u32>,
    /// Threads that compute parity.
    pub threads: usize,
}
