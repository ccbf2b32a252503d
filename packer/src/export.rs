//! Owns `.kpack`: one pack with everything that belongs to it in one file.

use std::{
    fs,
    io::{BufWriter, Read},
    path::Path,
};

use kojibox_console::{Exit, Report};
use kojibox_packs::{
    Progress, names,
    source::{KpackWriter, Section},
};

use crate::{
    depot::{Carried, Parcel, Pending, PlaceError, Refused, io_error, make_dir, sync_dir},
    interrupt,
};

/// Why a single-file pack could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The pack in the depot is not good.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The file could not be written.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl From<ExportError> for Report {
    fn from(error: ExportError) -> Self {
        if interrupt::asked() {
            return interrupt::report();
        }
        let report: Self = match error {
            ExportError::Refused(e) => e.into(),
            ExportError::Place(e) => e.into(),
        };
        match report.exit() {
            Exit::NoSpace => report.hint("free space there; FAT32 holds no file above 4 GiB, lay out a stick instead"),
            _ => report,
        }
        .state("no file was written")
    }
}

/// Bytes of blobs in a pack: what an export counts.
pub fn size(parcel: &Parcel) -> u64 {
    parcel.manifest.components.iter().map(|c| c.blob.size).sum()
}

/// Writes `parcel` to the file `to`, replacing it; every byte is compared with its signed hash on the way. Gives the size.
pub fn export(parcel: &Parcel, to: &Path, progress: &dyn Progress) -> Result<u64, ExportError> {
    let dir = to
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    make_dir(dir)?;
    let hint = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut pending = Pending::create(dir, &hint)?;
    let file = pending.file().try_clone().map_err(io_error("write", to))?;
    let mut kpack = Export {
        parcel,
        to,
        progress,
        out: KpackWriter::new(BufWriter::with_capacity(1 << 20, file)),
    };
    kpack.documents()?;
    kpack.blobs()?;
    let (out, size) = kpack.out.finish().map_err(io_error("write", to))?;
    drop(out.into_inner().map_err(|e| io_error("write", to)(e.into_error()))?);
    pending.publish(to)?;
    sync_dir(dir)?;
    Ok(size)
}

struct Export<'a> {
    parcel: &'a Parcel,
    to: &'a Path,
    progress: &'a dyn Progress,
    out: KpackWriter<BufWriter<fs::File>>,
}

impl Export<'_> {
    fn bytes(&mut self, section: &Section, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let added = self.out.add(section, name, bytes.len() as u64, &mut &*bytes);
        Ok(added.map_err(io_error("write", self.to))?)
    }

    /// Everything but blobs, in the order of the format.
    fn documents(&mut self) -> Result<(), ExportError> {
        let parcel = self.parcel;
        self.bytes(&Section::Packs, &parcel.name, parcel.manifest.bytes())?;
        for (name, bytes) in &parcel.signatures {
            self.bytes(&Section::Packs, name, bytes)?;
        }
        let trust = Section::Trust(parcel.chain.root16());
        for (version, root) in (1..).zip(parcel.chain.documents()) {
            self.bytes(&trust, &names::root(version), root)?;
        }
        for document in parcel.manifest.documents() {
            self.bytes(&Section::Packs, &document.name, &parcel.document(document)?)?;
        }
        for component in &parcel.manifest.components {
            self.bytes(&Section::Blobs, &component.index.name, &parcel.index_bytes(component)?)?;
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), ExportError> {
        for component in &self.parcel.manifest.components {
            let blob = &component.blob;
            let parts = self.parcel.parts(blob)?;
            let mut carried = Carried::new(parts.open(&*self.parcel.source), self.progress);
            for (name, size) in &parts.files {
                let added = self
                    .out
                    .add(&Section::Blobs, name, *size, &mut (&mut carried).take(*size));
                if let Err(e) = added {
                    return Err(match carried.take_failure() {
                        Some(e) => self.parcel.unreadable(blob, e).into(),
                        None => io_error("write", self.to)(e).into(),
                    });
                }
            }
            self.parcel.check_blob(blob, carried.finish())?;
        }
        Ok(())
    }
}
