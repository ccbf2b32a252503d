//! Owns [`StagingSink`]: where verified bytes become files of a staged tree.

use std::collections::BTreeSet;

use kojibox_packs::{
    index::Entry,
    path::PackPath,
    read::{SinkResult, TreeSink},
};
use kojibox_signing::Digest;
use kojibox_state::{
    RootPath, Store, StoreError,
    store::{FileMode, NewFile},
};

use super::{
    error::Cause,
    place_tree::{file_mode, share},
};

/// Writes one tree below `top`; called by one thread, in the order of the index.
pub(super) struct StagingSink<'a> {
    store: &'a dyn Store,
    top: &'a RootPath,
    have: &'a BTreeSet<String>,
    open: Option<(Box<dyn NewFile + 'a>, FileMode)>,
    failure: Option<Cause>,
}

impl<'a> StagingSink<'a> {
    pub(super) fn new(store: &'a dyn Store, top: &'a RootPath, have: &'a BTreeSet<String>) -> Self {
        Self {
            store,
            top,
            have,
            open: None,
            failure: None,
        }
    }

    /// The first refusal of the file system, which says more than what the reader made of it.
    pub(super) fn into_failure(self) -> Option<Cause> {
        self.failure
    }

    fn keep(&mut self, result: Result<(), Cause>) -> SinkResult {
        result.map_err(|cause| {
            let told = cause.to_string();
            self.failure.get_or_insert(cause);
            told.into()
        })
    }

    fn at(&self, path: &PackPath) -> Result<RootPath, Cause> {
        Ok(self.top.join(path)?)
    }

    fn begin(&mut self, path: &PackPath, mode: u32) -> Result<(), Cause> {
        let file = self.store.create_file(&self.at(path)?)?;
        self.open = Some((file, file_mode(mode)));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match &mut self.open {
            Some((file, _)) => file.write(bytes),
            None => Ok(()),
        }
    }
}

impl TreeSink for StagingSink<'_> {
    fn skip(&self, entry: &Entry) -> bool {
        self.have.contains(entry.path().as_str())
    }

    fn dir(&mut self, path: &PackPath, _mode: u32) -> SinkResult {
        let made = self.at(path).and_then(|at| Ok(self.store.create_dir(&at)?));
        self.keep(made)
    }

    fn begin_file(&mut self, path: &PackPath, mode: u32, _size: u64, _sha256: &Digest) -> SinkResult {
        let begun = self.begin(path, mode);
        self.keep(begun)
    }

    fn data(&mut self, bytes: &[u8]) -> SinkResult {
        let written = self.write(bytes).map_err(Cause::from);
        self.keep(written)
    }

    fn end_file(&mut self) -> SinkResult {
        let ended = match self.open.take() {
            Some((file, mode)) => file.finish(mode).map_err(Cause::from),
            None => Ok(()),
        };
        self.keep(ended)
    }

    fn same(&mut self, path: &PackPath, mode: u32, first: &PackPath, _sha256: &Digest, _size: u64) -> SinkResult {
        let from_to = self.at(first).and_then(|from| Ok((from, self.at(path)?)));
        let shared = from_to.and_then(|(from, to)| share(self.store, &from, &to, file_mode(mode)));
        self.keep(shared)
    }

    fn link(&mut self, path: &PackPath, target: &str) -> SinkResult {
        let made = self.at(path).and_then(|at| Ok(self.store.symlink(target, &at)?));
        self.keep(made)
    }
}
