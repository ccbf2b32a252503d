//! Owns the way from one prepared tree to a blob, its index and what the manifest says of it.

use std::{
    io::{self, Read},
    path::Path,
};

use kojibox_packs::{
    Progress, Target,
    index::{Entry, Index},
    manifest::{Component, Text, Upstream},
    write::{BlobOptions, BlobOutput, DirOutput, InputEntry, InputKind, OpenFile, WrittenPart, write_blob},
};
use kojibox_signing::{Digest, Document as _};

use super::{
    AssembleError, differs,
    inventory::{self, Inventory},
    runtime::Scan,
    sbom::{FileHash, InnerPackage},
};
use crate::{definition::RuntimeKind, interrupt};

/// Longest program that is looked into for what it needs of its host.
const MAX_PROGRAM: u64 = 1 << 30;

/// One component before it is packed.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) id: String,
    pub(super) title: Text,
    pub(super) version: String,
    pub(super) license: String,
    pub(super) default: bool,
    pub(super) requires: Vec<String>,
    pub(super) conflicts: Vec<String>,
    pub(super) data_format: Option<String>,
    pub(super) runtime: Option<RuntimeKind>,
    pub(super) upstream: String,
    /// Digest over the inputs; absent: the tree is the input.
    pub(super) inputs_sha256: Option<Digest>,
    /// The entries are the same for every target.
    pub(super) portable: bool,
    pub(super) entries: Vec<InputEntry>,
}

/// Where blobs go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'a> {
    /// Into a depot, unnamed until published.
    Depot(&'a Path),
    /// Nowhere: only the digests are wanted.
    Nowhere,
}

/// One component after it was packed; its blob is not visible yet.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) component: Component,
    pub(super) parts: Vec<(String, WrittenPart)>,
    pub(super) index: Vec<u8>,
    /// The lines behind its `tree_sha256`.
    pub(super) listing: String,
    pub(super) files: Vec<FileHash>,
    pub(super) packages: Vec<InnerPackage>,
    /// Bytes of files that were stored once and named again.
    pub(super) deduplicated: u64,
    pub(super) unpublished: Option<DirOutput>,
}

impl Input {
    /// Sum of the sizes of its files.
    pub(super) fn size(&self) -> u64 {
        let size = |e: &InputEntry| match e.kind {
            InputKind::File { size, .. } => size,
            _ => 0,
        };
        self.entries.iter().map(size).sum()
    }

    /// Writes the blob and says what came of it.
    pub(super) fn pack(
        mut self,
        pack_target: Target,
        options: &BlobOptions,
        to: Destination<'_>,
        progress: &dyn Progress,
    ) -> Result<Packed, AssembleError> {
        let (scan, packages, needs) = self.look(pack_target)?;
        let runtime = scan.finish(self.runtime).map_err(|source| AssembleError::Runtime {
            component: self.id.clone(),
            source,
        })?;
        let target = if self.portable { Target::Any } else { pack_target };
        let entries = std::mem::take(&mut self.entries).into_iter().map(stoppable).collect();
        let mut nowhere = Nowhere;
        let mut dir = match to {
            Destination::Depot(depot) => Some(DirOutput::new(&depot.join("blobs"), &format!("{}-{target}", self.id))),
            Destination::Nowhere => None,
        };
        let out: &mut dyn BlobOutput = match &mut dir {
            Some(dir) => dir,
            None => &mut nowhere,
        };
        let written = write_blob(entries, options, out, progress).map_err(|source| AssembleError::Blob {
            component: self.id.clone(),
            source,
        })?;
        let index = Index::parse(&written.index_bytes).expect("an index that was just written can be read");
        let (_, blob, index_ref) = written.refs(&self.id, &self.version, target);
        Ok(Packed {
            parts: written.part_names(&blob.name),
            listing: differs::listing(&index),
            files: hashes(&index),
            packages,
            deduplicated: written.deduplicated,
            unpublished: dir,
            component: Component {
                id: self.id,
                title: self.title,
                version: self.version,
                license: self.license,
                target: target.to_string(),
                upstream: Upstream {
                    source: self.upstream,
                    sha256: self.inputs_sha256.unwrap_or(written.tree_sha256),
                    signature: None,
                },
                blob,
                index: index_ref,
                tree_sha256: written.tree_sha256,
                installed_size: written.installed_size,
                n_files: written.n_files,
                max_path_len: written.max_path_len,
                runtime,
                needs,
                requires: self.requires,
                conflicts: self.conflicts,
                default: self.default,
                data_format: self.data_format,
            },
            index: written.index_bytes,
        })
    }

    /// Looks into the files for what they need and what they hold.
    fn look(&self, target: Target) -> Result<(Scan, Vec<InnerPackage>, Vec<String>), AssembleError> {
        let mut scan = Scan::new(target);
        let mut inventory = Inventory::default();
        let (mut exec, mut symlink) = (false, false);
        for entry in &self.entries {
            let path = entry.path.as_str();
            let (mode, size, open) = match &entry.kind {
                InputKind::Dir { .. } => continue,
                InputKind::Link { .. } => {
                    symlink = true;
                    continue;
                }
                InputKind::File { mode, size, open } => (*mode, *size, open),
            };
            exec |= mode == 0o755;
            let read = |limit| read(open, limit).map_err(|source| self.unreadable(path, source));
            if Inventory::wants(path) && size <= inventory::MAX_BYTES {
                inventory.file(path, &read(size)?);
            } else if size >= 64 && scan.wants(&read(4)?) && size <= MAX_PROGRAM {
                scan.file(path, &read(size)?);
            }
        }
        let needs = [(exec, "exec"), (symlink, "symlink")];
        let needs = needs
            .into_iter()
            .filter(|(needed, _)| *needed)
            .map(|(_, name)| name.to_owned());
        Ok((scan, inventory.into_packages(), needs.collect()))
    }

    fn unreadable(&self, path: &str, source: io::Error) -> AssembleError {
        AssembleError::Read {
            component: self.id.clone(),
            path: path.to_owned(),
            source,
        }
    }
}

fn read(open: &OpenFile, limit: u64) -> io::Result<Vec<u8>> {
    interrupt::check().map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    open()?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hashes(index: &Index) -> Vec<FileHash> {
    let files = index
        .entries()
        .iter()
        .filter(|e| matches!(e, Entry::File { .. } | Entry::Same { .. }));
    files
        .map(|entry| {
            let (_, sha256) = index
                .content(entry.path())
                .expect("an index that was read knows each file's content");
            FileHash {
                path: entry.path().to_string(),
                sha256: *sha256,
            }
        })
        .collect()
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

struct Stoppable(Box<dyn Read + Send>);

impl Read for Stoppable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check().map_err(io::Error::other)?;
        self.0.read(buf)
    }
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
