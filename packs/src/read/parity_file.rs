//! Owns [`ParityFile`]: the parity of a blob where it lies on a medium, read in pieces.

use std::{
    io::{Seek as _, SeekFrom},
    sync::atomic::AtomicBool,
};

use super::{
    error::Incurable,
    medium::{Stop, patiently},
};
use crate::{
    fill::fill,
    manifest::BlobRef,
    names,
    parity::{Directory, HEAD, Head, Layout, ParityError},
    source::{BlobSource, Section},
};

/// A parity file with its directory.
pub(super) struct ParityFile {
    name: String,
    directory: Directory,
}

impl ParityFile {
    /// Reads the directory of the parity of `blob`, the first copy or the second; `None` if there is no parity.
    pub(super) fn open(
        source: &dyn BlobSource,
        blob: &BlobRef,
        cancel: &AtomicBool,
    ) -> Result<Option<Self>, Incurable> {
        let name = names::parity(&blob.name);
        let path = || source.locate(&Section::Parity, &name);
        let told = |stop: Stop| stop.incurable(path());
        let len = patiently::<_, Stop>(cancel, || match source.open(&Section::Parity, &name)? {
            Some(mut file) => Ok(Some(file.seek(SeekFrom::End(0))?)),
            None => Ok(None),
        });
        let Some(len) = len.map_err(told)? else {
            return Ok(None);
        };
        let read = |offset, len| read(source, &name, offset, len, cancel).map_err(told);
        let useless = |source| Incurable::Useless { path: path(), source };
        let ours = |bytes: &[u8]| match Head::parse(bytes).map_err(useless)? {
            head if head.blob_sha256 == blob.sha256 && head.layout.size() == blob.size => Ok(head),
            _ => Err(useless(ParityError::Other)),
        };
        let first = || {
            let head = ours(&read(0, HEAD as u64)?)?;
            Directory::new(head, read(HEAD as u64, head.layout.table_len())?).map_err(useless)
        };
        let second = || {
            let at = len
                .checked_sub(HEAD as u64)
                .ok_or_else(|| useless(ParityError::Short))?;
            let head = ours(&read(at, HEAD as u64)?)?;
            let table = at.checked_sub(head.layout.table_len());
            let table = table.ok_or_else(|| useless(ParityError::Short))?;
            Directory::new(head, read(table, head.layout.table_len())?).map_err(useless)
        };
        let directory = first().or_else(|why| second().map_err(|_| why))?;
        Ok(Some(Self { name, directory }))
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn layout(&self) -> &Layout {
        self.directory.layout()
    }

    /// Parity block `row` of `group`, if it is what it was.
    pub(super) fn block(&self, source: &dyn BlobSource, group: u64, row: u32, cancel: &AtomicBool) -> Option<Vec<u8>> {
        let layout = self.layout();
        let n = group * u64::from(layout.parity()) + u64::from(row);
        let bytes = read(source, &self.name, layout.parity_offset(n), layout.block(), cancel).ok()?;
        self.directory.is_parity(n, &bytes).then_some(bytes)
    }
}

/// Reads `len` bytes at `offset`, which a directory within its limits states.
fn read(source: &dyn BlobSource, name: &str, offset: u64, len: u64, cancel: &AtomicBool) -> Result<Vec<u8>, Stop> {
    patiently(cancel, || {
        let mut file = source.open(&Section::Parity, name)?.ok_or(Stop::Gone)?;
        // The list of checksums may be long and its length is not signed: no memory before the file is that long.
        if file.seek(SeekFrom::End(0))?.saturating_sub(offset) < len {
            return Err(Stop::Short(0));
        }
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; usize::try_from(len).expect("at most 64 MiB by the limits of parity")];
        match fill(&mut file, &mut bytes)? as u64 {
            got if got < len => Err(Stop::Short(got)),
            _ => Ok(bytes),
        }
    })
}
