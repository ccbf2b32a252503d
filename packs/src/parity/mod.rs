//! Owns parity: Reed-Solomon blocks beside a blob, from which a reader gets back what a medium has lost.
//!
//! Parity is not signed and decides nothing. It says which blocks of a blob are not what they were and what they must have been;
//! whatever comes of it is compared with the signed hash of its frame like any other byte.
//!
//! Source: packs/FORMAT.md, "Parity".

mod code;
mod directory;
mod layout;
mod write;

pub use directory::{Checksum, Directory, HEAD, Head};
pub use layout::Layout;
pub use write::{ParityWriter, whole};

pub(crate) use code::Group;

/// Data blocks of a group, as this crate writes them.
pub const DATA: u32 = 32;
/// Most parity blocks of a group.
pub const PARITY_MAX: u32 = 8;
/// Bytes of the longest block.
pub const BLOCK_MAX: u64 = 4 << 20;
/// Bytes of the shortest block, and what every block is a multiple of.
pub const BLOCK_UNIT: u64 = 4096;

/// Most data blocks of a group that are read.
pub(crate) const DATA_MAX: u32 = 64;
/// Most blocks, parity ones too: their checksums take 64 MiB.
pub(crate) const BLOCKS_MAX: u64 = 1 << 22;

/// Why a parity file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParityError {
    /// Shorter than its own head.
    #[error("it is cut short")]
    Short,
    /// Another kind of file.
    #[error("it does not begin like a parity file")]
    Magic,
    /// Made by a newer version of the format.
    #[error("it is of version {0}, version 1 is known")]
    Version(u32),
    /// Head or checksums are not what they were.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// A number is outside of what the format allows.
    #[error("its {what} is {got}, which the format does not allow")]
    Limit {
        /// Which number.
        what: &'static str,
        /// As it says.
        got: u64,
    },
    /// It was made for other bytes.
    #[error("it belongs to another blob")]
    Other,
    /// Its length does not follow from its head.
    #[error("it has {got} bytes, expected {expected} bytes")]
    Length {
        /// As found.
        got: u64,
        /// As its head implies.
        expected: u64,
    },
}

/// Parity blocks for 32 data blocks from a percentage; `None` for one that is not a whole number of blocks from 1 to 8.
///
/// Units: thousandths of a percent, so that 6.25 % is 6250.
pub fn blocks_of_percent(thousandths: u64) -> Option<u32> {
    const STEP: u64 = 100_000 / DATA as u64;
    let m = u32::try_from(thousandths / STEP).ok()?;
    (thousandths.is_multiple_of(STEP) && (1..=PARITY_MAX).contains(&m)).then_some(m)
}

#[cfg(test)]
mod tests {
    use super::blocks_of_percent;

    #[test]
    fn a_percentage_is_a_whole_number_of_blocks_in_32() {
        assert_eq!(blocks_of_percent(3_125), Some(1));
        assert_eq!(blocks_of_percent(6_250), Some(2));
        assert_eq!(blocks_of_percent(25_000), Some(8));
        for none in [0, 1, 6_000, 6_251, 28_125, u64::MAX] {
            assert_eq!(blocks_of_percent(none), None, "{none}");
        }
    }
}
