//! Owns the way from one prepared tree to a blob, its index and what the manifest says of it.

use std::io::{self, Read as _};

use kojibox_packs::{
    Target,
    index::{Entry, Index},
    manifest::{Component, Text, Upstream},
    write::{InputEntry, InputKind, OpenFile},
};
use kojibox_signing::Digest;

use super::{
    AssembleError,
    blob::{Blob, Maker},
    differs,
    inventory::{self, Inventory},
    runtime::Scan,
    sbom::{FileHash, InnerPackage},
};
use crate::{definition::RuntimeKind, interrupt, source::DebianPackage};

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
    /// The upstream's signature that was checked.
    pub(super) signature: Option<String>,
    /// Digest over the inputs; absent: the tree is the input.
    pub(super) inputs_sha256: Option<Digest>,
    /// The entries are the same for every target.
    pub(super) portable: bool,
    /// The Debian packages that its files are from.
    pub(super) packages: Vec<DebianPackage>,
    pub(super) entries: Vec<InputEntry>,
}

/// One component after it was packed; its blob is not visible yet.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) component: Component,
    pub(super) blob: Blob,
    /// The lines behind its `tree_sha256`.
    pub(super) listing: String,
    pub(super) files: Vec<FileHash>,
    pub(super) packages: Vec<InnerPackage>,
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

    /// Gets the blob and says what came of it.
    pub(super) fn pack(mut self, pack_target: Target, maker: &Maker<'_>) -> Result<Packed, AssembleError> {
        let (scan, packages, needs) = self.look(pack_target)?;
        let runtime = scan.finish(self.runtime).map_err(|source| AssembleError::Runtime {
            component: self.id.clone(),
            source,
        })?;
        let target = if self.portable { Target::Any } else { pack_target };
        let entries = std::mem::take(&mut self.entries);
        let blob = maker.blob(&self.id, &self.version, target, entries);
        let blob = blob.map_err(|source| AssembleError::Blob {
            component: self.id.clone(),
            source,
        })?;
        let facts = *blob.content.facts();
        Ok(Packed {
            listing: differs::listing(&blob.content),
            files: hashes(&blob.content),
            packages,
            component: Component {
                id: self.id,
                title: self.title,
                version: self.version,
                license: self.license,
                target: target.to_string(),
                upstream: Upstream {
                    source: self.upstream,
                    sha256: self.inputs_sha256.unwrap_or(facts.tree_sha256),
                    signature: self.signature,
                },
                blob: blob.stated.clone(),
                index: blob.index.clone(),
                tree_sha256: facts.tree_sha256,
                installed_size: facts.installed_size,
                n_files: facts.n_files,
                max_path_len: facts.max_path_len,
                runtime,
                needs,
                requires: self.requires,
                conflicts: self.conflicts,
                default: self.default,
                data_format: self.data_format,
            },
            blob,
        })
    }

    /// Looks into the files for what they need and what they hold.
    fn look(&self, target: Target) -> Result<(Scan, Vec<InnerPackage>, Vec<String>), AssembleError> {
        let mut scan = Scan::new(target);
        let mut inventory = Inventory::default();
        inventory.bundled(&self.packages);
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
