//! Owns the seek table that ends a blob: a skippable frame, a pure function of the lengths of the data frames.
//!
//! Source: zstd, `contrib/seekable_format/zstd_seekable_compression_format.md`, version 0.1.0.

use crate::index::Frame;

const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;

/// Bytes of the seek table of `frames` data frames.
pub const fn table_len(frames: u64) -> u64 {
    17 + 8 * frames
}

/// The seek table; frame lengths are far below 4 GiB by the limits of the format.
pub fn table(frames: &[Frame]) -> Vec<u8> {
    let small = |n: u64| u32::try_from(n).expect("frame lengths and counts are limited far below 2^32");
    let count = small(frames.len() as u64);
    let mut out = Vec::new();
    out.extend_from_slice(&SKIPPABLE.to_le_bytes());
    out.extend_from_slice(&(8 * count + 9).to_le_bytes());
    for frame in frames {
        out.extend_from_slice(&small(frame.comp_len).to_le_bytes());
        out.extend_from_slice(&small(frame.raw_len).to_le_bytes());
    }
    out.extend_from_slice(&count.to_le_bytes());
    out.push(0);
    out.extend_from_slice(&SEEKABLE.to_le_bytes());
    out
}
