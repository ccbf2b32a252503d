//! Owns getting the blob of one tree: taken from the depot if the same tree is there already, else written.

use std::{io, path::Path};

use kojibox_packs::{
    Progress, Target,
    index::{Entry, Index},
    manifest::{BlobRef, IndexRef},
    write::{BlobOptions, BlobOutput, DirOutput, InputEntry, InputKind, WriteError, WrittenPart, write_blob},
};
use kojibox_signing::Document as _;

use super::stock::Stock;
use crate::interrupt::Stoppable;

/// A blob, its index and what is known of them.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) stated: BlobRef,
    pub(super) index: IndexRef,
    pub(super) index_bytes: Vec<u8>,
    pub(super) content: Index,
    /// File names with their sizes and digests.
    pub(super) parts: Vec<(String, WrittenPart)>,
    /// What must still get its name; `None` if it is in the depot already, or nowhere.
    pub(super) unpublished: Option<DirOutput>,
    /// It was in the depot already.
    pub(super) taken: bool,
}

/// Where blobs go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'a> {
    /// Into a depot, unnamed until published; what is in stock is not written again.
    Depot(&'a Path, &'a Stock),
    /// Nowhere: only the digests are wanted.
    Nowhere,
}

/// Makes blobs, all in the same way.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub(super) options: BlobOptions,
    pub(super) to: Destination<'a>,
    pub(super) progress: &'a dyn Progress,
}

impl Maker<'_> {
    /// Gets the blob of a tree; `entries` are sorted and whole.
    pub(super) fn blob(
        &self,
        id: &str,
        version: &str,
        target: Target,
        entries: Vec<InputEntry>,
    ) -> Result<Blob, WriteError> {
        let entries: Vec<_> = entries.into_iter().map(stoppable).collect();
        let mut nowhere = Nowhere;
        let mut dir = None;
        let out: &mut dyn BlobOutput = match self.to {
            Destination::Nowhere => &mut nowhere,
            Destination::Depot(depot, stock) => {
                if let Some(blob) = stock.take(id, version, target, &entries) {
                    self.progress.add(blob.content.facts().installed_size);
                    return Ok(blob);
                }
                dir.insert(DirOutput::new(&depot.join("blobs"), &format!("{id}-{target}")))
            }
        };
        let written = write_blob(entries, &self.options, out, self.progress)?;
        let (_, blob, index) = written.refs(id, version, target);
        Ok(Blob {
            content: Index::parse(&written.index_bytes).expect("an index that was just written can be read"),
            parts: written.part_names(&blob.name),
            stated: blob,
            index,
            index_bytes: written.index_bytes,
            unpublished: dir,
            taken: false,
        })
    }
}

impl Blob {
    /// Bytes of files that are stored once and named again.
    pub(super) fn stored_once(&self) -> u64 {
        let again = self
            .content
            .entries()
            .iter()
            .filter(|e| matches!(e, Entry::Same { .. }));
        again
            .filter_map(|e| self.content.content(e.path()))
            .map(|(size, _)| size)
            .sum()
    }
}

/// The same entry, whose reading ends at Ctrl-C.
fn stoppable(entry: InputEntry) -> InputEntry {
    let kind = match entry.kind {
        InputKind::File { mode, size, open } => InputKind::File {
            mode,
            size,
            open: std::sync::Arc::new(move || Ok(Box::new(Stoppable(open()?)))),
        },
        other => other,
    };
    InputEntry { path: entry.path, kind }
}

/// Takes parts and forgets them.
struct Nowhere;

impl BlobOutput for Nowhere {
    fn begin_part(&mut self, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end_part(&mut self) -> io::Result<()> {
        Ok(())
    }
}
