//! Owns the reading of blobs: one pass over the medium, every byte hashed against the signed index before it is decoded.
//!
//! One thread reads, workers hash and decode whole frames, the calling thread compares headers and hands the tree over
//! in the order of the index. The outcome does not depend on the number of threads: the first failure in the order of
//! the blob is the one that is reported.
//!
//! What the medium has lost is got back from parity, where there is parity ([`ExtractReport::repaired`] counts it), and is then held
//! against its signed hash like everything else.
//!
//! Memory: [`ExtractOptions::queue_bytes`] (or one frame, compressed and raw, if that is more), at most 1 MiB plus one
//! raw frame per worker beside it, and the index; while damage is repaired, 45 MiB more and one frame per worker. All threads have ended when a call returns.

mod budget;
mod commit;
mod error;
mod medium;
mod parity_file;
mod parts;
mod pipeline;
mod repair;
mod start;
mod survey;

use std::sync::atomic::AtomicBool;

use kojibox_signing::{Digest, Verified};

pub use error::{Damage, Incurable, ReadError};
pub use start::{Start, verified_start};
pub use survey::{Place, Survey, survey};

use crate::{
    Progress,
    index::{Entry, Index},
    limits,
    manifest::{Component, DataFile},
    path::PackPath,
    source::{BlobSource, Section},
};

/// How much of the machine an extraction may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtractOptions {
    /// Workers that hash and decode; at least 1.
    pub threads: usize,
    /// Bytes of frames, compressed and raw, that are under way at once.
    pub queue_bytes: u64,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            queue_bytes: 64 << 20,
        }
    }
}

/// What a receiver of a tree answers; its error comes back in [`ReadError::Sink`].
pub type SinkResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Receives a tree. Called by one thread, in the order of the index; every byte was verified before.
pub trait TreeSink {
    /// True if `entry` is not wanted, because it is there already. Asked once per entry before anything is read;
    /// frames that nobody needs are not read.
    fn skip(&self, _entry: &Entry) -> bool {
        false
    }

    /// What is there of `entry`, a file that is not skipped: its first bytes, as [`verified_start`] gave them. Asked
    /// once per file before anything is read; frames that hold nothing else are not read.
    fn start(&self, _entry: &Entry) -> Option<Start> {
        None
    }

    /// A directory; its parents came before.
    fn dir(&mut self, path: &PackPath, mode: u32) -> SinkResult;
    /// A file begins; exactly `size` bytes follow, or fewer and no end if a part of the blob is missing.
    fn begin_file(&mut self, path: &PackPath, mode: u32, size: u64, sha256: &Digest) -> SinkResult;
    /// A file of which [`TreeSink::start`] gave the first `from` bytes goes on; the rest of it follows.
    fn resume_file(&mut self, path: &PackPath, _mode: u32, _from: u64) -> SinkResult {
        Err(format!("`{path}` was never begun").into())
    }
    /// The next bytes of the file.
    fn data(&mut self, bytes: &[u8]) -> SinkResult;
    /// The file is whole, its digest was compared.
    fn end_file(&mut self) -> SinkResult;
    /// A file with the bytes and mode of an earlier one.
    fn same(&mut self, path: &PackPath, mode: u32, first: &PackPath, sha256: &Digest, size: u64) -> SinkResult;
    /// A link that stays in the tree.
    fn link(&mut self, path: &PackPath, target: &str) -> SinkResult;
}

/// A receiver that drops everything: extracting to it verifies a blob.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl TreeSink for Discard {
    fn dir(&mut self, _: &PackPath, _: u32) -> SinkResult {
        Ok(())
    }

    fn begin_file(&mut self, _: &PackPath, _: u32, _: u64, _: &Digest) -> SinkResult {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> SinkResult {
        Ok(())
    }

    fn end_file(&mut self) -> SinkResult {
        Ok(())
    }

    fn same(&mut self, _: &PackPath, _: u32, _: &PackPath, _: &Digest, _: u64) -> SinkResult {
        Ok(())
    }

    fn link(&mut self, _: &PackPath, _: &str) -> SinkResult {
        Ok(())
    }
}

/// What an extraction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtractReport {
    /// Compressed bytes read from the medium.
    pub bytes_read: u64,
    /// Bytes of files that were there already.
    pub bytes_kept: u64,
    /// Data frames read.
    pub frames: u64,
    /// Blocks that the medium has lost and that parity brought back: it is failing.
    pub repaired: u64,
}

/// Reads the index of `component`: hash first, then every rule, then the sums that the manifest states.
pub fn read_index(source: &dyn BlobSource, component: &Component) -> Result<Verified<Index>, ReadError> {
    let stated = &component.index;
    let never = AtomicBool::new(false);
    let found = medium::patiently(&never, || source.read_small(&Section::Blobs, &stated.name, stated.size))?;
    let bytes = found.ok_or_else(|| ReadError::Missing(source.locate(&Section::Blobs, &stated.name)))?;
    index_from_bytes(bytes, component)
}

/// Compares a document beside a manifest with what the manifest states; false if the medium does not have it.
pub fn check_document(source: &dyn BlobSource, file: &DataFile) -> Result<bool, ReadError> {
    let never = AtomicBool::new(false);
    let max = limits::SMALL.max(file.size);
    let Some(bytes) = medium::patiently(&never, || source.read_small(&Section::Packs, &file.name, max))? else {
        return Ok(false);
    };
    let (got, expected) = (Digest::of(&bytes), file.sha256);
    if got == expected {
        return Ok(true);
    }
    Err(ReadError::Damaged {
        path: source.locate(&Section::Packs, &file.name),
        offset: 0,
        frame: None,
        source: Damage::Hash { got, expected },
    })
}

/// The same for bytes that were kept, as in the records of an install root.
pub fn index_from_bytes(bytes: Vec<u8>, component: &Component) -> Result<Verified<Index>, ReadError> {
    let stated = &component.index;
    let index = Verified::<Index>::by_digest(bytes, &stated.sha256).map_err(|source| ReadError::Index {
        name: stated.name.clone(),
        source,
    })?;
    check_index(&index, component)?;
    Ok(index)
}

/// Compares what manifest and index both state; the index is signed through its hash, so a difference is malformed.
fn check_index(index: &Index, component: &Component) -> Result<(), ReadError> {
    let fail = |what, got: String, expected: String| {
        Err(ReadError::Disagree {
            component: component.id.clone(),
            what,
            got,
            expected,
        })
    };
    let facts = index.facts();
    let longest = index.frames().iter().map(|f| f.raw_len).max().unwrap_or(0);
    if facts.tree_sha256 != component.tree_sha256 {
        return fail(
            "tree sha256",
            facts.tree_sha256.to_string(),
            component.tree_sha256.to_string(),
        );
    }
    if longest > component.index.frame_max {
        return fail(
            "longest frame",
            longest.to_string(),
            format!("at most {}", component.index.frame_max),
        );
    }
    for (what, got, expected) in [
        ("decoded index size", index.raw_size(), component.index.raw_size),
        ("blob size", index.blob_size(), component.blob.size),
        ("number of files", facts.n_files, component.n_files),
        ("installed size", facts.installed_size, component.installed_size),
        ("longest path", facts.max_path_len.into(), component.max_path_len.into()),
    ] {
        if got != expected {
            return fail(what, got.to_string(), expected.to_string());
        }
    }
    Ok(())
}

/// Reads the blob of `component` and hands its tree to `sink`.
///
/// `index` must be the one that [`read_index`] gave for the same component. When `sink` skips nothing, every byte of the
/// blob is checked, its seek table too. `progress` counts compressed bytes of data frames, skipped ones included, so its
/// total is [`Index::frames_size`].
///
/// Parts are taken as they are needed: none is looked for if `sink` has everything. If parts are missing, what those at hand hold is
/// handed over all the same, whole files and the first frames of a large one, so that a next call which skips it needs only the others.
///
/// # Errors
/// [`ReadError`], the first in the order of the blob, but for a missing part, which is told last. What `sink` got until then
/// was verified, but is not whole.
pub fn extract(
    source: &dyn BlobSource,
    component: &Component,
    index: &Index,
    options: &ExtractOptions,
    sink: &mut dyn TreeSink,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<ExtractReport, ReadError> {
    let mut plan = commit::Plan::new(index, sink);
    if plan.frames.is_empty() {
        progress.add(index.frames_size());
        return Ok(ExtractReport {
            bytes_kept: plan.bytes_kept,
            ..ExtractReport::default()
        });
    }
    let medium = medium::Medium::open(source, &component.blob, index, cancel)?;
    let missing = plan.limit(index, &|offset| medium.has(offset));
    let missing = missing.map(|offset| medium.missing_at(offset));
    if let (Some(_), true) = (&missing, medium.is_nothing() || plan.frames.is_empty()) {
        return missing.map_or(Ok(ExtractReport::default()), Err);
    }
    let repair = repair::Repair::new(source, &medium, &component.blob, options.threads, cancel);
    let report = pipeline::run(
        &pipeline::Job {
            component,
            index,
            medium: &medium,
            repair: &repair,
            plan: &plan,
            options,
            progress,
            cancel,
        },
        sink,
    )?;
    missing.map_or(Ok(report), Err)
}

/// Bytes of the blob that [`extract`] would read for `sink`.
pub fn bytes_needed(index: &Index, sink: &dyn TreeSink) -> u64 {
    let frames = commit::Plan::new(index, sink).frames;
    frames.iter().map(|n| index.frames()[*n].comp_len).sum()
}

/// Looks whether anything of the blob of `component` is on the medium, whole or in parts that fit; reads nothing of it.
pub fn find_blob(source: &dyn BlobSource, component: &Component, index: &Index) -> Result<(), ReadError> {
    let never = AtomicBool::new(false);
    let medium = medium::Medium::open(source, &component.blob, index, &never)?;
    let lacking = medium.is_nothing().then(|| medium.first_missing()).flatten();
    lacking.map_or(Ok(()), Err)
}

/// Hashes a whole blob, parts in order, without decoding anything: what `sha256sum` says about it.
pub fn blob_sha256(
    source: &dyn BlobSource,
    component: &Component,
    index: &Index,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Digest, ReadError> {
    medium::Medium::open_whole(source, &component.blob, index, cancel)?.sha256(progress)
}
