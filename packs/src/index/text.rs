//! Owns the text form of an index, and the sums over its entries.

use std::{fmt::Write as _, io::Write as _};

use kojibox_signing::{Digest, Hasher};

use super::{Entry, Frame, entry};
use crate::frame;

/// Level of the compressed index: fixed, so that the same blob always has the same index bytes.
const LEVEL: i32 = 9;

/// Sums over the entries of an index, as the manifest states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Entries of type file, those stored once and named again included.
    pub n_files: u64,
    /// Sum of the sizes of these files.
    pub installed_size: u64,
    /// Bytes of the longest path.
    pub max_path_len: u32,
    /// The tree has links, so the target's file system must have them too.
    pub has_links: bool,
    /// Identity of the content.
    pub tree_sha256: Digest,
}

impl Facts {
    /// Sums over `entries`, which must be sorted and checked.
    pub fn of(entries: &[Entry]) -> Self {
        let mut facts = Self {
            n_files: 0,
            installed_size: 0,
            max_path_len: 0,
            has_links: false,
            tree_sha256: tree_sha256(entries),
        };
        for e in entries {
            if let Some((size, _)) = entry::content(entries, e) {
                facts.n_files += 1;
                facts.installed_size = facts.installed_size.saturating_add(size);
            }
            let len = u32::try_from(e.path().len()).expect("a path is at most 1024 bytes");
            facts.max_path_len = facts.max_path_len.max(len);
            facts.has_links |= matches!(e, Entry::Link { .. });
        }
        facts
    }
}

/// An index as it is stored.
#[derive(Clone, Debug)]
pub struct IndexText {
    /// The bytes of `.idx.zst`.
    pub bytes: Vec<u8>,
    /// Decoded bytes.
    pub raw_size: u64,
    /// Sums over the entries.
    pub facts: Facts,
}

impl IndexText {
    /// Compresses the index of a blob.
    pub fn new(mtime: u64, frames: &[Frame], entries: &[Entry]) -> std::io::Result<Self> {
        let facts = Facts::of(entries);
        let text = to_text(mtime, frames, entries, &facts.tree_sha256);
        Ok(Self {
            bytes: frame::Encoder::new(LEVEL, 0)?.encode(text.as_bytes())?,
            raw_size: text.len() as u64,
            facts,
        })
    }
}

/// The lines of an index, as they are; nothing is checked.
pub fn to_text(mtime: u64, frames: &[Frame], entries: &[Entry], tree_sha256: &Digest) -> String {
    let mut out = format!("kbx-idx\t1\t{mtime}\n");
    for (i, f) in frames.iter().enumerate() {
        let Frame {
            comp_off,
            comp_len,
            raw_off,
            raw_len,
            comp_sha256,
            raw_sha256,
        } = f;
        line(
            &mut out,
            format_args!("frame\t{i}\t{comp_off}\t{comp_len}\t{raw_off}\t{raw_len}\t{comp_sha256}\t{raw_sha256}"),
        );
    }
    for e in entries {
        match e {
            Entry::Dir { mode, path } => line(&mut out, format_args!("dir\t{mode:04o}\t{path}")),
            Entry::File {
                mode,
                size,
                raw_off,
                sha256,
                path,
            } => line(
                &mut out,
                format_args!("file\t{mode:04o}\t{size}\t{raw_off}\t{sha256}\t{path}"),
            ),
            Entry::Same { mode, path, first } => line(&mut out, format_args!("same\t{mode:04o}\t{path}\t{first}")),
            Entry::Link { path, target } => line(&mut out, format_args!("link\t{path}\t{target}")),
        }
    }
    let raw_total = frames.last().map_or(0, |f| f.raw_off + f.raw_len);
    line(
        &mut out,
        format_args!("end\t{}\t{}\t{raw_total}\t{tree_sha256}", frames.len(), entries.len()),
    );
    out
}

fn line(out: &mut String, args: std::fmt::Arguments<'_>) {
    writeln!(out, "{args}").expect("a string takes every text");
}

/// Identity of a tree: SHA-256 over its `dir`, `file` and `link` lines without offsets, in the order of the paths.
///
/// # Panics
/// If the first of a `same` is no earlier file, which an [`Index`](super::Index) never holds.
pub fn tree_sha256(entries: &[Entry]) -> Digest {
    let mut hasher = Hasher::new();
    for e in entries {
        let written = match e {
            Entry::Dir { mode, path } => writeln!(hasher, "dir\t{mode:04o}\t{path}"),
            Entry::Link { path, target } => writeln!(hasher, "link\t{path}\t{target}"),
            Entry::File { mode, path, .. } | Entry::Same { mode, path, .. } => {
                let (size, sha256) = entry::content(entries, e).expect("the first of a `same` was checked");
                writeln!(hasher, "file\t{mode:04o}\t{size}\t{sha256}\t{path}")
            }
        };
        written.expect("a hasher takes every byte");
    }
    hasher.finish()
}
