//! Owns [`Entry`] and [`Frame`]: the lines of an index as values.

use kojibox_signing::Digest;

use crate::path::PackPath;

/// One thing of a component tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Dir {
        /// Always 0755.
        mode: u32,
        /// Where.
        path: PackPath,
    },
    /// A file with its bytes.
    File {
        /// 0644 or 0755.
        mode: u32,
        /// Bytes.
        size: u64,
        /// Where its data starts in the raw stream; 0 when it has none.
        raw_off: u64,
        /// Digest of its bytes.
        sha256: Digest,
        /// Where.
        path: PackPath,
    },
    /// A file with the bytes and mode of an earlier one.
    Same {
        /// 0644 or 0755, as the first.
        mode: u32,
        /// Where.
        path: PackPath,
        /// Path of the file that has the bytes.
        first: PackPath,
    },
    /// A relative link that stays in the tree.
    Link {
        /// Where.
        path: PackPath,
        /// What it points to, from the directory it is in.
        target: String,
    },
}

impl Entry {
    /// Where it is in the tree.
    pub fn path(&self) -> &PackPath {
        match self {
            Self::Dir { path, .. } | Self::File { path, .. } | Self::Same { path, .. } | Self::Link { path, .. } => {
                path
            }
        }
    }

    /// Bytes of data that follow its header.
    pub fn data_len(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            _ => 0,
        }
    }
}

/// One data frame of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it starts in the blob.
    pub comp_off: u64,
    /// Compressed bytes.
    pub comp_len: u64,
    /// Where its content starts in the raw stream.
    pub raw_off: u64,
    /// Bytes of content.
    pub raw_len: u64,
    /// Digest of the compressed bytes.
    pub comp_sha256: Digest,
    /// Digest of the content.
    pub raw_sha256: Digest,
}

pub(super) fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    let at = entries.binary_search_by(|e| e.path().as_str().cmp(path)).ok()?;
    entries.get(at)
}

pub(super) fn content<'a>(entries: &'a [Entry], entry: &'a Entry) -> Option<(u64, &'a Digest)> {
    match entry {
        Entry::File { size, sha256, .. } => Some((*size, sha256)),
        Entry::Same { first, .. } => match find(entries, first)? {
            Entry::File { size, sha256, .. } => Some((*size, sha256)),
            _ => None,
        },
        _ => None,
    }
}
