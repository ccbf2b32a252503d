//! Owns [`Layout`]: which bytes of a blob make a block, which blocks make a group, and where everything lies in a parity file.

use std::ops::Range;

use super::{BLOCK_MAX, BLOCK_UNIT, BLOCKS_MAX, DATA, DATA_MAX, HEAD, PARITY_MAX, ParityError, directory::CHECKSUM};
use crate::limits;

/// The sizes from which every place follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    data: u32,
    parity: u32,
    block: u64,
    size: u64,
}

impl Layout {
    /// The layout that is written for a blob of `size` bytes: groups of 32 blocks as equal as they can be, `parity` blocks each.
    ///
    /// A blob up to 128 MiB is one group of smaller blocks, so the parity of a small blob is small too.
    pub fn of_blob(size: u64, parity: u32) -> Result<Self, ParityError> {
        let per_group = u64::from(DATA);
        let groups = size.div_ceil(per_group * BLOCK_MAX).max(1);
        let block = size.div_ceil(per_group * groups).max(1).next_multiple_of(BLOCK_UNIT);
        Self::new(DATA, parity, block, size)
    }

    /// Checks every number before anything is computed from it.
    pub fn new(data: u32, parity: u32, block: u64, size: u64) -> Result<Self, ParityError> {
        let limit = |what, got| Err(ParityError::Limit { what, got });
        if !(1..=DATA_MAX).contains(&data) {
            return limit("number of data blocks", data.into());
        }
        if !(1..=PARITY_MAX).contains(&parity) {
            return limit("number of parity blocks", parity.into());
        }
        if !(BLOCK_UNIT..=BLOCK_MAX).contains(&block) || !block.is_multiple_of(BLOCK_UNIT) {
            return limit("block size", block);
        }
        if !(1..=limits::BLOB).contains(&size) {
            return limit("blob size", size);
        }
        let layout = Self {
            data,
            parity,
            block,
            size,
        };
        if layout.checksums() > BLOCKS_MAX {
            return limit("number of blocks", layout.checksums());
        }
        Ok(layout)
    }

    /// Data blocks of a whole group.
    pub fn data(&self) -> u32 {
        self.data
    }

    /// Parity blocks of a group: how many lost blocks of it come back.
    pub fn parity(&self) -> u32 {
        self.parity
    }

    /// Bytes of a block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Bytes of the blob.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Data blocks of the blob; the last one may be shorter.
    pub fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// Groups of the blob; the last one may have fewer data blocks.
    pub fn groups(&self) -> u64 {
        self.blocks().div_ceil(self.data.into())
    }

    /// Parity blocks of all groups.
    pub fn parity_blocks(&self) -> u64 {
        self.groups() * u64::from(self.parity)
    }

    /// Checksums in the directory: of the data blocks, then of the parity blocks.
    pub fn checksums(&self) -> u64 {
        self.blocks() + self.parity_blocks()
    }

    /// Bytes of the checksums.
    pub fn table_len(&self) -> u64 {
        self.checksums() * CHECKSUM as u64
    }

    /// Bytes of a parity file.
    pub fn file_len(&self) -> u64 {
        2 * (HEAD as u64 + self.table_len()) + self.parity_blocks() * self.block
    }

    /// Where parity block `n`, counted over all groups, begins in its file.
    pub fn parity_offset(&self, n: u64) -> u64 {
        HEAD as u64 + self.table_len() + n * self.block
    }

    /// The block that holds the byte at `offset` of the blob.
    pub fn block_at(&self, offset: u64) -> u64 {
        offset / self.block
    }

    /// The group of a block.
    pub fn group_of(&self, block: u64) -> u64 {
        block / u64::from(self.data)
    }

    /// Data blocks of a group.
    pub fn members(&self, group: u64) -> Range<u64> {
        let first = group * u64::from(self.data);
        first..(first + u64::from(self.data)).min(self.blocks())
    }

    /// Bytes of the blob that a block holds.
    pub fn bytes_of(&self, block: u64) -> Range<u64> {
        let start = block * self.block;
        start..(start + self.block).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;
    use crate::parity::{BLOCK_MAX, ParityError};

    #[test]
    fn a_small_blob_has_small_blocks_and_a_large_one_blocks_of_4_mib() {
        let of = |size| {
            let l = Layout::of_blob(size, 2).unwrap();
            (l.block(), l.blocks(), l.groups(), l.parity_blocks())
        };
        assert_eq!(of(1), (4096, 1, 1, 2));
        assert_eq!(of(100_000), (4096, 25, 1, 2));
        assert_eq!(of(32 * BLOCK_MAX), (BLOCK_MAX, 32, 1, 2));
        // One byte more makes two groups, of blocks half as long.
        assert_eq!(of(32 * BLOCK_MAX + 1), (BLOCK_MAX / 2 + 4096, 64, 2, 4));
        assert_eq!(of(5 << 30), (BLOCK_MAX, 1280, 40, 80));
    }

    #[test]
    fn numbers_beyond_the_limits_are_refused_before_they_are_used() {
        for (data, parity, block, size) in [
            (0, 2, 4096, 1),
            (65, 2, 4096, 1),
            (32, 0, 4096, 1),
            (32, 9, 4096, 1),
            (32, 2, 0, 1),
            (32, 2, 4095, 1),
            (32, 2, 8 << 20, 1),
            (32, 2, 4096, 0),
            (32, 2, 4096, 1 << 60),
            (32, 2, 4096, u64::MAX),
        ] {
            let error = Layout::new(data, parity, block, size).unwrap_err();
            assert!(matches!(error, ParityError::Limit { .. }), "{error:?}");
        }
    }
}
