//! Owns [`Refusal`]: the one classification of every refusal of this crate, so that all programs end with the same code.

/// Why bytes were refused, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No sufficient valid signature over the bytes as read.
    Unsigned,
    /// A signed hash does not match.
    Damaged,
    /// Written by a newer format than this program reads.
    TooNew,
    /// Older than what was verified before.
    Replay,
    /// Signed content that breaks the format.
    Malformed,
}
