//! The pack format: what a pack is made of, how it is written and how it is read.
//!
//! `FORMAT.md` beside this crate is the normative text; the tests hold the code to it. No path from outside is ever
//! joined here except validated file names below the folders of a depot.

mod fill;
pub mod frame;
pub mod header;
pub mod index;
pub mod limits;
pub mod manifest;
pub mod names;
pub mod parity;
pub mod path;
mod progress;
pub mod read;
pub mod seek;
pub mod source;
pub mod sums;
mod target;
pub mod write;

pub use progress::{Progress, Unwatched};
pub use target::{Arch, Os, Target, TargetError};

/// What kind of failure an error is, as scripts see it; programs turn it into their exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A signed hash does not match (21).
    Damaged,
    /// Signed content that breaks the format (24).
    Malformed,
    /// A medium or a part of a blob is not there (33).
    MediumMissing,
    /// Written by a newer version of the format (22).
    TooNew,
    /// The system could not read or write (32).
    Io,
    /// The caller asked to stop (3).
    Cancelled,
    /// The receiver of an extraction refused; its own error says why.
    Sink,
}
