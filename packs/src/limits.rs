//! Owns the limits of the format; each is checked before memory is taken.
//!
//! Source: packs/FORMAT.md, "Limits".

/// Raw bytes of a frame unless set otherwise.
pub const FRAME_DEFAULT: u64 = 8 << 20;
/// Smallest `frame_max`.
pub const FRAME_MAX_LOW: u64 = 64 << 10;
/// Largest `frame_max`.
pub const FRAME_MAX_HIGH: u64 = 64 << 20;
/// Largest window of a frame, as a power of two.
pub const WINDOW_LOG_MAX: u32 = 27;
/// A file above this size has frames of its own (or a quarter of `frame_max`, if that is less).
pub const SMALL_FILE: u64 = 1 << 20;
/// Most frames of a blob.
pub const FRAMES: u64 = 1 << 20;
/// Most entries of a blob.
pub const ENTRIES: u64 = 2_000_000;
/// Bytes of the longest compressed index.
pub const INDEX: usize = 256 << 20;
/// Bytes of the longest decoded index.
pub const INDEX_RAW: u64 = 1 << 30;
/// Bytes of the longest line of an index, without the line break.
pub const INDEX_LINE: usize = 4096;
/// Bytes of the longest blob or raw stream, so that sums of a few sizes never overflow.
pub const BLOB: u64 = 1 << 60;
/// Bytes of the longest manifest.
pub const MANIFEST: usize = 4 << 20;
/// Bytes of the longest other file that is read whole (signature, root, SBOM, sums).
pub const SMALL: u64 = 64 << 20;
/// Most files of a folder of a depot, or of a single-file pack.
pub const FILES: usize = 100_000;
/// Seconds since 1970 that every file carries unless set otherwise: 1980-01-01, the first day of FAT.
pub const MTIME_DEFAULT: u64 = 315_532_800;
/// Largest modification time, the largest number of a ustar field.
pub const MTIME_MAX: u64 = OCTAL_11;
/// Bytes of a part unless set otherwise: below 2 GB, whole MiB.
pub const PART_DEFAULT: u64 = 1_999_634_432;
/// Largest size that a ustar field holds.
pub(crate) const OCTAL_11: u64 = 0o777_7777_7777;

/// Largest size of a file that shares frames with others.
pub const fn small_file(frame_max: u64) -> u64 {
    let quarter = frame_max / 4;
    if quarter < SMALL_FILE { quarter } else { SMALL_FILE }
}
