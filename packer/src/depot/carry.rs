//! Owns copying bytes out of a source: counted, hashed, stopped by Ctrl-C, with read and write failures told apart.

use std::io::{self, Read};

use kojibox_packs::Progress;
use kojibox_signing::{Digest, Hasher};

use crate::interrupt;

/// A reader that hashes and counts what passes.
pub(crate) struct Carried<'a, R> {
    inner: R,
    hasher: Hasher,
    size: u64,
    progress: &'a dyn Progress,
    failed: Option<io::Error>,
}

impl<'a, R: Read> Carried<'a, R> {
    pub(crate) fn new(inner: R, progress: &'a dyn Progress) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
            size: 0,
            progress,
            failed: None,
        }
    }

    /// Why reading failed, if it did; else whatever went wrong was the other side.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Digest and size of what passed.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.size)
    }
}

impl<R: Read> Read for Carried<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check().map_err(io::Error::other)?;
        match self.inner.read(buf) {
            Ok(n) => {
                self.hasher.update(&buf[..n]);
                self.size += n as u64;
                self.progress.add(n as u64);
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let kind = e.kind();
                self.failed = Some(e);
                Err(kind.into())
            }
        }
    }
}
