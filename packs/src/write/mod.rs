//! Owns the making of a blob: a tree of inputs becomes frames, parts and an index.
//!
//! The bytes follow from the entries and the options alone, not from the number of threads: the calling thread reads,
//! cuts and writes in order, workers compress whole frames, each in one single-threaded call.
//!
//! Memory: `threads` + 4 frames of `frame_max` bytes raw, `threads` + 1 of them compressed, and about 300 bytes per entry.
//!
//! Each input is opened once and read once; its digest comes from that read. One case needs a second read: a file larger
//! than `frame_max` that has size, mode and first `frame_max` bytes in common with an earlier one, and then differs.
//!
//! Source: packs/FORMAT.md, "Framing".

mod framer;
mod input;
mod output;
mod parts;
mod pool;
mod reading;

use std::io;

use kojibox_signing::Digest;

pub use input::{InputEntry, InputKind, OpenFile};
pub use output::{BlobOutput, DirOutput};
pub use parts::{PartCutter, PartError};

use crate::{
    Progress, Target, frame,
    index::{Facts, IndexText},
    limits,
    manifest::{BlobRef, IndexRef},
    names,
    path::{PathError, TreeError},
    seek,
};

/// How a blob is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobOptions {
    /// Compression level, 1 to 22.
    pub level: i32,
    /// Largest window as a power of two, 10 to 27; 0: the smallest that spans a frame.
    pub window_log: u32,
    /// Largest raw frame in bytes, 64 KiB to 64 MiB.
    pub frame_max: u64,
    /// Workers that compress; at least 1.
    pub threads: usize,
    /// Seconds since 1970 that every file carries; a constant of the component, never the date of a release.
    pub mtime: u64,
    /// Largest part in bytes; at least one frame must fit.
    pub part_size: u64,
}

impl Default for BlobOptions {
    fn default() -> Self {
        Self {
            level: 9,
            window_log: 0,
            frame_max: limits::FRAME_DEFAULT,
            threads: 1,
            mtime: limits::MTIME_DEFAULT,
            part_size: limits::PART_DEFAULT,
        }
    }
}

impl BlobOptions {
    /// The window that is set, as the manifest states it.
    pub fn effective_window_log(&self) -> u32 {
        if self.window_log != 0 {
            return self.window_log;
        }
        let spans = self.frame_max.next_power_of_two().trailing_zeros();
        spans.clamp(10, limits::WINDOW_LOG_MAX)
    }

    fn check(&self) -> Result<(), WriteError> {
        let range = |option, got: u64, least: u64, most: u64| {
            if (least..=most).contains(&got) {
                Ok(())
            } else {
                Err(WriteError::Option {
                    option,
                    got,
                    least,
                    most,
                })
            }
        };
        let level = u64::try_from(self.level).unwrap_or(0);
        range("level", level, 1, 22)?;
        if self.window_log != 0 {
            range("window_log", self.window_log.into(), 10, limits::WINDOW_LOG_MAX.into())?;
        }
        range(
            "frame_max",
            self.frame_max,
            limits::FRAME_MAX_LOW,
            limits::FRAME_MAX_HIGH,
        )?;
        range("threads", self.threads as u64, 1, 1024)?;
        range("mtime", self.mtime, 1, limits::MTIME_MAX)?;
        range("part_size", self.part_size, frame::bound(self.frame_max), limits::BLOB)
    }
}

/// What was written.
#[derive(Clone, Debug)]
#[must_use = "a blob without its index cannot be read"]
pub struct WrittenBlob {
    /// Bytes of all parts together.
    pub size: u64,
    /// Digest of all parts together; names the blob.
    pub sha256: Digest,
    /// Parts in order; one if the blob is not split.
    pub parts: Vec<WrittenPart>,
    /// The bytes of the index file.
    pub index_bytes: Vec<u8>,
    /// Decoded bytes of the index.
    pub index_raw_size: u64,
    /// Digest of `index_bytes`.
    pub index_sha256: Digest,
    /// Largest raw frame that was allowed.
    pub frame_max: u64,
    /// Data frames.
    pub n_frames: u64,
    /// Bytes of files that were stored once and named again.
    pub deduplicated: u64,
    /// Identity of the content.
    pub tree_sha256: Digest,
    /// Entries of type file.
    pub n_files: u64,
    /// Sum of file sizes in bytes.
    pub installed_size: u64,
    /// Bytes of the longest path.
    pub max_path_len: u32,
    /// The tree has links.
    pub has_links: bool,
}

/// One part of a written blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenPart {
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Digest,
}

impl WrittenBlob {
    /// The stem of its files, and what the manifest says about blob and index.
    pub fn refs(&self, component: &str, version: &str, target: Target) -> (String, BlobRef, IndexRef) {
        let stem = names::blob_stem(component, version, target, &self.sha256);
        let blob = BlobRef {
            name: names::blob(&stem),
            size: self.size,
            sha256: self.sha256,
        };
        let index = IndexRef {
            name: names::index(&stem),
            size: self.index_bytes.len() as u64,
            raw_size: self.index_raw_size,
            frame_max: self.frame_max,
            sha256: self.index_sha256,
        };
        (stem, blob, index)
    }

    /// File names of the parts, with their sizes and digests: one plain name, or numbered ones.
    pub fn part_names(&self, blob: &str) -> Vec<(String, WrittenPart)> {
        let single = self.parts.len() == 1;
        let name = |number| {
            if single {
                blob.to_owned()
            } else {
                names::part(blob, number)
            }
        };
        (1..).map(name).zip(self.parts.iter().copied()).collect()
    }
}

/// Why a blob could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An option is out of its range.
    #[error("option `{option}` is {got}, allowed is {least} to {most}")]
    Option {
        /// Which.
        option: &'static str,
        /// As given.
        got: u64,
        /// Smallest allowed.
        least: u64,
        /// Largest allowed.
        most: u64,
    },
    /// A path that does not fit the others.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A link that leaves the tree, or a path that breaks the rules.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A mode that does not exist in a pack.
    #[error("`{path}` has mode {mode:04o}, which does not exist in a pack")]
    Mode {
        /// Which entry.
        path: String,
        /// As given.
        mode: u32,
    },
    /// An input could not be opened or read.
    #[error("could not read input `{path}`")]
    Input {
        /// Which entry.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An input has another size than it was listed with.
    #[error("input `{path}` changed while it was read: expected {expected} bytes, got {got}")]
    Size {
        /// Which entry.
        path: String,
        /// As listed.
        expected: u64,
        /// `N bytes`, or that there were more.
        got: String,
    },
    /// An input had other bytes when it was read again.
    #[error("input `{path}` changed while it was read: its bytes differ between two reads")]
    Changed {
        /// Which entry.
        path: String,
    },
    /// More than the format holds.
    #[error("too many {what}, at most {most} are allowed")]
    Limit {
        /// Of what.
        what: &'static str,
        /// Most allowed.
        most: u64,
    },
    /// The blob cannot be cut into parts of that size.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The compressor refused.
    #[error("could not compress")]
    Compress(#[source] io::Error),
    /// The output could not be written; its source names the file.
    #[error("could not write the blob")]
    Output(#[source] io::Error),
}

/// Writes the blob of `entries` to `out`.
///
/// Entries may come in any order; directories that are only implied are added. `progress` counts the bytes of input
/// files, so its total is the sum of their sizes.
///
/// # Errors
/// [`WriteError`]; what was written to `out` until then is of no use.
pub fn write_blob(
    entries: Vec<InputEntry>,
    options: &BlobOptions,
    out: &mut dyn BlobOutput,
    progress: &dyn Progress,
) -> Result<WrittenBlob, WriteError> {
    options.check()?;
    let entries = input::prepare(entries)?;
    std::thread::scope(|scope| {
        let pool = pool::Pool::start(scope, options)?;
        let sink = parts::PartSink::new(out, options.part_size);
        let mut framer = framer::Framer::new(pool, sink, options, progress);
        for entry in entries {
            framer.add(entry)?;
        }
        framer.finish()
    })
}

/// Everything but the entries and frames, which the index holds.
fn written(
    text: IndexText,
    frame_max: u64,
    n_frames: usize,
    deduplicated: u64,
    size: u64,
    sha256: Digest,
    parts: Vec<WrittenPart>,
) -> WrittenBlob {
    let Facts {
        n_files,
        installed_size,
        max_path_len,
        has_links,
        tree_sha256,
    } = text.facts;
    debug_assert!(size > seek::table_len(n_frames as u64));
    WrittenBlob {
        size,
        sha256,
        parts,
        index_sha256: Digest::of(&text.bytes),
        index_bytes: text.bytes,
        index_raw_size: text.raw_size,
        frame_max,
        n_frames: n_frames as u64,
        deduplicated,
        tree_sha256,
        n_files,
        installed_size,
        max_path_len,
        has_links,
    }
}
