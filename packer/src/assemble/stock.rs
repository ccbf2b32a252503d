//! Owns what a depot has already: blobs of packs that this publisher signed, made in the same way.
//!
//! A blob follows from its tree, the compressor and the frames, so one whose tree, compressor and frames are the wanted ones
//! is the wanted one. A pack in the depot is believed only if its signatures suffice, a blob only if its bytes match. Whatever
//! is wrong with what is there, the blob is simply written again.

use std::{fmt::Write as _, io, path::Path, sync::Arc};

use kojibox_packs::{
    Target, Unwatched, limits,
    manifest::{Component, Compressor},
    read::index_from_bytes,
    source::{BlobSource as _, Depot, Section},
    write::{InputEntry, InputKind, WrittenPart},
};
use kojibox_signing::{Digest, Hasher};

use super::blob::Blob;
use crate::depot::{Carried, Chain, Parcel, Trust, cut};

/// Signed packs of a depot whose blobs were made as they would be made now.
#[derive(Debug, Default)]
pub(super) struct Stock {
    parcels: Vec<Parcel>,
    frame_max: u64,
}

impl Stock {
    /// Looks through `depot`.
    pub(super) fn of(depot: &Path, publisher: &Chain, compressor: &Compressor, frame_max: u64) -> Self {
        let mut stock = Self {
            parcels: Vec::new(),
            frame_max,
        };
        let Ok(opened) = Depot::open(depot) else { return stock };
        let Ok(trust) = Trust::of(&opened, Some(publisher)) else {
            return stock;
        };
        let names = opened.manifests().unwrap_or_default();
        let source: Arc<dyn kojibox_packs::source::BlobSource> = Arc::new(opened);
        let parcels = names.iter().filter_map(|name| Parcel::open(&source, name, &trust).ok());
        stock.parcels = parcels.filter(|p| p.manifest.compressor == *compressor).collect();
        stock
    }

    /// The blob of the tree that `entries` make, if it is there, whole, in parts of the usual size.
    pub(super) fn take(&self, id: &str, version: &str, target: Target, entries: &[InputEntry]) -> Option<Blob> {
        let target = target.to_string();
        let fits = |c: &&Component| {
            c.id == id && c.version == version && c.target == target && c.index.frame_max == self.frame_max
        };
        let candidates: Vec<_> = self
            .parcels
            .iter()
            .flat_map(|p| p.manifest.components.iter().filter(fits).map(move |c| (p, c)))
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let tree = Digest::of(listing(entries).ok()?.as_bytes());
        let (parcel, component) = candidates.into_iter().find(|(_, c)| c.tree_sha256 == tree)?;
        take(parcel, component)
    }
}

fn take(parcel: &Parcel, component: &Component) -> Option<Blob> {
    let index_bytes = parcel.index_bytes(component).ok()?;
    let index = index_from_bytes(index_bytes.clone(), component).ok()?;
    let files = parcel.parts(&component.blob).ok()?.files;
    let usual = cut(&component.blob.name, &index, limits::PART_DEFAULT).ok()?;
    if files != usual {
        return None;
    }
    let mut whole = Hasher::new();
    let mut parts = Vec::new();
    for (name, size) in files {
        let file = parcel.source.open(&Section::Blobs, &name).ok()??;
        let mut carried = Carried::new(file, &Unwatched);
        io::copy(&mut carried, &mut whole).ok()?;
        let (sha256, _) = carried.finish();
        parts.push((name, WrittenPart { size, sha256 }));
    }
    (whole.finish() == component.blob.sha256).then(|| Blob {
        stated: component.blob.clone(),
        index: component.index.clone(),
        index_bytes,
        content: (*index).clone(),
        parts,
        unpublished: None,
        taken: true,
    })
}

/// The listing of a tree that was not packed: every file is read and hashed.
fn listing(entries: &[InputEntry]) -> io::Result<String> {
    let mut out = String::new();
    for entry in entries {
        let path = &entry.path;
        let line = match &entry.kind {
            InputKind::Dir { mode } => writeln!(out, "dir\t{mode:04o}\t{path}"),
            InputKind::Link { target } => writeln!(out, "link\t{path}\t{target}"),
            InputKind::File { mode, open, .. } => {
                let mut carried = Carried::new(open()?, &Unwatched);
                io::copy(&mut carried, &mut io::sink())?;
                let (sha256, size) = carried.finish();
                writeln!(out, "file\t{mode:04o}\t{size}\t{sha256}\t{path}")
            }
        };
        line.expect("a string takes every text");
    }
    Ok(out)
}
