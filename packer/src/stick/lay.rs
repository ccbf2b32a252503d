//! Owns laying a plan out: blobs, then documents, installers, `README.txt`, then signatures, then manifests.
//!
//! Crash: every file is written beside its place and renamed; a manifest of the same name with other content is taken
//! away first and the new one comes last. Whatever manifest is on the stick, everything it names is there.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use kojibox_packs::{Progress, names};
use kojibox_signing::Hasher;

use super::{
    Plan, StickError,
    error::Lack,
    installer,
    parity::{Made, Making},
    plan::Blob,
    readme,
};
use crate::{
    depot::{self, Carried, Claim, Pending, PlaceError, io_error, sync_dir, write_small},
    interrupt,
};

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Laid {
    /// Blobs that were copied.
    pub copied: usize,
    /// Blobs that were there already, whole.
    pub kept: usize,
    /// `README.txt` belongs to somebody else; ours has another name.
    pub foreign_readme: bool,
}

impl Plan {
    /// Lays the stick out; `progress` counts bytes of blobs, those that are there too.
    pub fn lay_out(&self, progress: &dyn Progress) -> Result<Laid, StickError> {
        if !self.fits() {
            return Err(StickError::NoSpace {
                dir: self.dir.clone(),
                lack: Lack {
                    needed: self.to_write,
                    free: self.free,
                },
            });
        }
        let _claim = Claim::take(&self.dir)?;
        let (packs, blobs) = (self.dir.join("packs"), self.dir.join("blobs"));
        for parcel in &self.parcels {
            depot::withdraw(&packs.join(&parcel.name), parcel.manifest.bytes())?;
        }
        let (mut laid, mut made) = (Laid::default(), Made::default());
        for blob in &self.blobs {
            if self.keep(&blobs, blob, &mut made, progress)? {
                laid.kept += 1;
            } else {
                self.copy(&blobs, blob, &mut made, progress)?;
                laid.copied += 1;
            }
            write_small(&blobs, &blob.component.index.name, &blob.index)?;
        }
        sync_dir(&blobs)?;
        for parcel in &self.parcels {
            made.list(&self.dir, parcel)?;
        }
        for chain in &self.publishers {
            chain.write(&self.dir).map_err(StickError::Trust)?;
        }
        for installer in &self.installers {
            installer::place(&self.dir, installer)?;
        }
        laid.foreign_readme = self.place_readme()?;
        self.place_packs(&packs)?;
        sync_dir(&self.dir)?;
        Ok(laid)
    }

    /// Copies a blob into its parts; they get their names only after all of it matched the signed hash.
    fn copy(&self, folder: &Path, blob: &Blob, made: &mut Made, progress: &dyn Progress) -> Result<(), StickError> {
        let parcel = &self.parcels[blob.parcel];
        let stated = &blob.component.blob;
        let parts = parcel.parts(stated)?;
        let mut carried = Carried::new(parts.open(&*parcel.source), progress);
        let mut pending = Vec::new();
        let mut making = Making::begin(self, blob, made)?;
        for (name, size) in &blob.layout {
            let mut file = Pending::create(folder, name)?;
            let mut both = Both {
                file: file.file(),
                parity: &mut making,
                failed: None,
            };
            let copied = io::copy(&mut (&mut carried).take(*size), &mut both);
            if let Some(e) = both.failed {
                return Err(e.into());
            }
            if let Err(e) = copied {
                return Err(match carried.take_failure() {
                    Some(e) => parcel.unreadable(stated, e).into(),
                    None if interrupt::asked() => StickError::Interrupted,
                    None => io_error("write", &folder.join(name))(e).into(),
                });
            }
            pending.push((file, folder.join(name)));
        }
        // One byte more shows that the source is longer than it should be.
        let beyond = io::copy(&mut (&mut carried).take(1), &mut io::sink());
        if let Err(e) = beyond {
            return Err(parcel.unreadable(stated, e).into());
        }
        parcel.check_blob(stated, carried.finish())?;
        for (file, to) in pending {
            file.publish(&to)?;
        }
        making.finish(blob, made)?;
        Ok(drop_other_parts(folder, blob)?)
    }

    /// True if the blob is there, whole. Its bytes are read, since sizes say nothing of a stick that was pulled.
    fn keep(&self, folder: &Path, blob: &Blob, made: &mut Made, progress: &dyn Progress) -> Result<bool, StickError> {
        if !blob.looks_there {
            return Ok(false);
        }
        let mut making = Making::begin(self, blob, made)?;
        let mut hasher = Hasher::new();
        for (name, _) in &blob.layout {
            let path = folder.join(name);
            let file = File::open(&path).map_err(io_error("read", &path))?;
            let mut carried = Carried::new(file, progress);
            let mut both = Both {
                file: &mut hasher,
                parity: &mut making,
                failed: None,
            };
            let copied = io::copy(&mut carried, &mut both);
            if let Some(e) = both.failed {
                return Err(e.into());
            }
            match copied {
                Ok(_) => {}
                Err(_) if interrupt::asked() => return Err(StickError::Interrupted),
                // A file that cannot be read is replaced.
                Err(_) => return Ok(false),
            }
        }
        let whole = hasher.finish() == blob.component.blob.sha256;
        if whole {
            making.finish(blob, made)?;
        }
        Ok(whole)
    }

    /// Writes `README.txt` unless somebody else's is there; true if so.
    fn place_readme(&self) -> Result<bool, PlaceError> {
        let path = self.dir.join(names::README);
        let foreign = fs::read(&path).is_ok_and(|old| !readme::is_ours(&old));
        let name = if foreign { readme::OTHER_NAME } else { names::README };
        write_small(&self.dir, name, self.readme.as_bytes())?;
        Ok(foreign)
    }

    /// Documents and signatures of every pack, then every manifest.
    fn place_packs(&self, packs: &Path) -> Result<(), StickError> {
        for parcel in &self.parcels {
            for document in parcel.manifest.documents() {
                write_small(packs, &document.name, &parcel.document(document)?)?;
            }
            for (name, bytes) in &parcel.signatures {
                write_small(packs, name, bytes)?;
            }
            let ring = parcel.chain.newest().pack_ring();
            depot::settle(packs, &parcel.name, parcel.manifest.bytes(), &ring)?;
        }
        sync_dir(packs)?;
        for parcel in &self.parcels {
            write_small(packs, &parcel.name, parcel.manifest.bytes())?;
        }
        Ok(sync_dir(packs)?)
    }
}

/// Writes what passes to a file (or a hasher) and to the parity of its blob.
struct Both<'a> {
    file: &'a mut dyn Write,
    parity: &'a mut Making,
    /// The parity could not be written.
    failed: Option<PlaceError>,
}

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.parity.take(&bytes[..len]).map_err(|e| {
            self.failed = Some(e);
            io::Error::from(io::ErrorKind::Other)
        })?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes parts of the same blob that an earlier layout left: they would be read instead.
fn drop_other_parts(folder: &Path, blob: &Blob) -> Result<(), PlaceError> {
    let wanted: BTreeSet<&str> = blob.layout.iter().map(|(name, _)| name.as_str()).collect();
    let whole = &blob.component.blob.name;
    let others = (1..=names::MAX_PARTS)
        .map(|n| names::part(whole, n))
        .chain([whole.clone()]);
    for name in others.filter(|name| !wanted.contains(name.as_str())) {
        let path: PathBuf = folder.join(&name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error("remove", &path)(e)),
        }
    }
    Ok(())
}
