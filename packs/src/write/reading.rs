//! Owns the reading of one input: exactly its stated size, or an error that says how it changed.

use std::io::{self, Read};

use kojibox_signing::{Digest, Hasher};

use super::{OpenFile, WriteError};
use crate::{fill::fill, index::Entry, path::PackPath};

/// A file to be read.
pub(super) struct Source<'e> {
    pub(super) path: &'e PackPath,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) open: &'e OpenFile,
}

impl Source<'_> {
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>, WriteError> {
        (self.open)().map_err(|e| self.input(e))
    }

    /// Reads exactly `len` bytes into `out`.
    pub(super) fn fill(&self, file: &mut dyn Read, out: &mut Vec<u8>, len: u64) -> Result<(), WriteError> {
        out.resize(usize::try_from(len).expect("at most one frame is read at once"), 0);
        let got = fill(file, out).map_err(|e| self.input(e))? as u64;
        if got < len {
            Err(self.size(format!("{got} bytes before the end of a piece of {len} bytes")))
        } else {
            Ok(())
        }
    }

    /// Hashes the next `left` bytes and expects the end.
    pub(super) fn rest(&self, file: &mut dyn Read, mut hasher: Hasher, left: u64) -> Result<Digest, WriteError> {
        let got = io::copy(&mut file.take(left), &mut hasher).map_err(|e| self.input(e))?;
        if got < left {
            return Err(self.size(format!("{} bytes", self.size - left + got)));
        }
        self.end(file)?;
        Ok(hasher.finish())
    }

    /// Expects the end of the file.
    pub(super) fn end(&self, file: &mut dyn Read) -> Result<(), WriteError> {
        let got = io::copy(&mut file.take(1), &mut io::sink()).map_err(|e| self.input(e))?;
        if got == 0 {
            Ok(())
        } else {
            Err(self.size("more".to_owned()))
        }
    }

    pub(super) fn entry(&self, sha256: Digest, raw_off: u64) -> Entry {
        Entry::File {
            mode: self.mode,
            size: self.size,
            raw_off,
            sha256,
            path: self.path.clone(),
        }
    }

    fn input(&self, source: io::Error) -> WriteError {
        let path = self.path.to_string();
        WriteError::Input { path, source }
    }

    fn size(&self, got: String) -> WriteError {
        WriteError::Size {
            path: self.path.to_string(),
            expected: self.size,
            got,
        }
    }
}
