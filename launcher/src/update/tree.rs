//! Owns what lies beside the program in the launcher's tree: verified bytes become files in staging.

use kojibox_packs::{
    index::Entry,
    path::PackPath,
    read::{SinkResult, TreeSink},
};
use kojibox_signing::Digest;
use kojibox_state::{
    RootPath, Store,
    store::{FileMode, NewFile, compose},
};

/// Writes a tree below `top`, the program left out.
pub(super) struct Rest<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) top: &'a RootPath,
    pub(super) program: &'static str,
    pub(super) open: Option<(Box<dyn NewFile + 'a>, FileMode)>,
}

fn mode(bits: u32) -> FileMode {
    if bits & 0o100 == 0 {
        FileMode::ReadOnly
    } else {
        FileMode::Program
    }
}

impl TreeSink for Rest<'_> {
    fn skip(&self, entry: &Entry) -> bool {
        entry.path().as_str() == self.program
    }

    fn dir(&mut self, path: &PackPath, _: u32) -> SinkResult {
        Ok(self.store.create_dir(&self.top.join(path)?)?)
    }

    fn begin_file(&mut self, path: &PackPath, bits: u32, _: u64, _: &Digest) -> SinkResult {
        self.open = Some((self.store.create_file(&self.top.join(path)?)?, mode(bits)));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> SinkResult {
        match &mut self.open {
            Some((file, _)) => Ok(file.write(bytes)?),
            None => Ok(()),
        }
    }

    fn end_file(&mut self) -> SinkResult {
        match self.open.take() {
            Some((file, mode)) => Ok(file.finish(mode)?),
            None => Ok(()),
        }
    }

    fn same(&mut self, path: &PackPath, bits: u32, first: &PackPath, _: &Digest, _: u64) -> SinkResult {
        let (from, to) = (self.top.join(first)?, self.top.join(path)?);
        compose::copy(self.store, &from, &to, mode(bits))?;
        Ok(())
    }

    fn link(&mut self, path: &PackPath, target: &str) -> SinkResult {
        Ok(self.store.symlink(target, &self.top.join(path)?)?)
    }
}
