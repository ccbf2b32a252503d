//! Owns the index of a blob: its frames and entries as hashed text (`.idx.zst`).
//!
//! The index, not the tar inside the blob, says where bytes go. Everything in it is checked when it is read: offsets
//! follow from the entries, frames cover the stream without gap or overlap, paths make one tree on every system.
//!
//! Source: packs/FORMAT.md, "Index".

mod entry;
mod error;
mod fields;
mod parse;
mod text;

use std::io::BufReader;

use kojibox_signing::{Digest, Document};

pub use entry::{Entry, Frame};
pub use error::{IndexError, LineError};
pub use text::{Facts, IndexText, to_text, tree_sha256};

use crate::{frame, limits};

/// A whole index that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    mtime: u64,
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    raw_size: u64,
    facts: Facts,
}

impl Index {
    /// Seconds since 1970 that every header carries.
    pub fn mtime(&self) -> u64 {
        self.mtime
    }

    /// Data frames in the order of the blob.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Entries in the order of the raw stream: ascending by the bytes of their paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Decoded bytes of the index itself.
    pub fn raw_size(&self) -> u64 {
        self.raw_size
    }

    /// Sums over the entries.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Identity of the content.
    pub fn tree_sha256(&self) -> &Digest {
        &self.facts.tree_sha256
    }

    /// Bytes of the blob: data frames and seek table.
    pub fn blob_size(&self) -> u64 {
        self.frames_size() + crate::seek::table_len(self.frames.len() as u64)
    }

    /// Bytes of the data frames.
    pub fn frames_size(&self) -> u64 {
        self.frames.last().map_or(0, |f| f.comp_off + f.comp_len)
    }

    /// Bytes of the raw stream.
    pub fn raw_total(&self) -> u64 {
        self.frames.last().map_or(0, |f| f.raw_off + f.raw_len)
    }

    /// The entry at `path`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        entry::find(&self.entries, path)
    }

    /// Size and digest of the file at `path`; a `same` has those of its first.
    pub fn content(&self, path: &str) -> Option<(u64, &Digest)> {
        entry::content(&self.entries, self.get(path)?)
    }

    /// Reads decoded text; memory grows with the entries read, never ahead of them.
    pub fn from_text(text: impl std::io::BufRead) -> Result<Self, IndexError> {
        parse::parse(text)
    }
}

impl Document for Index {
    type Error = IndexError;

    const MAX_BYTES: usize = limits::INDEX;

    /// Takes the compressed bytes: one frame of the format, decoded line by line.
    fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let raw_size = frame::content_size(bytes)?;
        if raw_size > limits::INDEX_RAW {
            return Err(IndexError::Long(raw_size));
        }
        frame::check(bytes, raw_size)?;
        let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)
            .map_err(IndexError::Decode)?
            .single_frame();
        decoder
            .window_log_max(limits::WINDOW_LOG_MAX)
            .map_err(IndexError::Decode)?;
        parse::parse(BufReader::with_capacity(64 << 10, decoder))
    }
}
