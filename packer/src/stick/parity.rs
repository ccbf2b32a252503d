//! Owns the parity of a stick: planned with its size, made while a blob passes, kept where it is whole, listed for plain tools.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use kojibox_packs::{
    names,
    parity::{self, Layout, ParityWriter},
    source::{MAX_FAT32, Section},
    sums,
};
use kojibox_signing::Digest;

use super::{Plan, StickError, plan::Blob};
use crate::{
    depot::{Parcel, Pending, PlaceError, io_error, make_dir, sync_dir, write_small},
    interrupt::Stoppable,
};

/// The parity that a blob gets.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) layout: Layout,
    /// A file of that name and size is there; its bytes were not looked at yet.
    pub(super) looks_there: bool,
}

/// Plans `blocks` parity blocks per group for a blob.
pub(super) fn plan(dir: &Path, blob: &str, size: u64, blocks: u32) -> Result<Planned, StickError> {
    let layout = Layout::of_blob(size, blocks).map_err(|source| StickError::Parity {
        blob: blob.to_owned(),
        source,
    })?;
    if layout.file_len() > MAX_FAT32 {
        return Err(StickError::ParitySize {
            blob: blob.to_owned(),
            size: layout.file_len(),
        });
    }
    let name = names::parity(blob);
    let there = dir.join("parity").join(&name).metadata();
    Ok(Planned {
        looks_there: there.is_ok_and(|m| m.len() == layout.file_len()),
        name,
        layout,
    })
}

/// Parity files of a stick with their digests, by blob.
#[derive(Debug, Default)]
pub(super) struct Made(BTreeMap<String, Digest>);

/// The parity of one blob, which it makes while it passes; without parity, nothing.
pub(super) struct Making(Option<Open>);

struct Open {
    pending: Pending,
    writer: ParityWriter<File>,
    to: PathBuf,
}

impl Making {
    /// Begins the parity of `blob`, unless none is wanted or a whole one is there.
    pub(super) fn begin(plan: &Plan, blob: &Blob, made: &mut Made) -> Result<Self, StickError> {
        let Some(planned) = &blob.parity else {
            return Ok(Self(None));
        };
        let folder = plan.dir.join("parity");
        let to = folder.join(&planned.name);
        let sha256 = blob.component.blob.sha256;
        if planned.looks_there
            && let Some(digest) = whole(&to, &sha256, &planned.layout)
        {
            made.0.insert(blob.component.blob.name.clone(), digest);
            return Ok(Self(None));
        }
        make_dir(&folder)?;
        let mut pending = Pending::create(&folder, &planned.name)?;
        let file = pending.file().try_clone().map_err(io_error("write", &to))?;
        let writer = ParityWriter::new(file, planned.layout, sha256, plan.threads).map_err(io_error("write", &to))?;
        Ok(Self(Some(Open { pending, writer, to })))
    }

    /// Takes the next bytes of the blob.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), PlaceError> {
        match &mut self.0 {
            Some(open) => open.writer.write_all(bytes).map_err(io_error("write", &open.to)),
            None => Ok(()),
        }
    }

    /// Gives the parity its name: the whole blob has passed, and was what is signed.
    pub(super) fn finish(self, blob: &Blob, made: &mut Made) -> Result<(), StickError> {
        let (Some(open), Some(planned)) = (self.0, &blob.parity) else {
            return Ok(());
        };
        drop(open.writer.finish().map_err(io_error("write", &open.to))?);
        open.pending.publish(&open.to)?;
        let sha256 = blob.component.blob.sha256;
        let digest = whole(&open.to, &sha256, &planned.layout).ok_or_else(|| {
            let changed = io::Error::other("it reads back otherwise than it was written");
            io_error("write", &open.to)(changed)
        })?;
        made.0.insert(blob.component.blob.name.clone(), digest);
        Ok(())
    }
}

/// The digest of a parity file that is whole, for this blob and in this layout.
fn whole(path: &Path, blob_sha256: &Digest, layout: &Layout) -> Option<Digest> {
    let mut file = io::BufReader::with_capacity(1 << 20, Stoppable(File::open(path).ok()?));
    let (found, digest) = parity::whole(&mut file, blob_sha256).ok()?.ok()?;
    (found == *layout).then_some(digest)
}

impl Made {
    /// Writes the list of the parity files of `parcel`, if it has any.
    pub(super) fn list(&self, dir: &Path, parcel: &Parcel) -> Result<(), PlaceError> {
        let blobs = parcel.manifest.components.iter().map(|c| &c.blob.name);
        let files: BTreeMap<String, Digest> = blobs
            .filter_map(|blob| Some((names::parity(blob), *self.0.get(blob)?)))
            .collect();
        if files.is_empty() {
            return Ok(());
        }
        let text = sums::to_text(
            files
                .iter()
                .map(|(name, digest)| (&Section::Parity, name.as_str(), *digest)),
        );
        let folder = dir.join("parity");
        write_small(&folder, &parcel.manifest.sums.name, text.as_bytes())?;
        sync_dir(&folder)
    }
}
