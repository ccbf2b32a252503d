//! Owns [`StagingSink`]: where verified bytes become files of a staged tree.

use kojibox_packs::{
    index::Entry,
    path::PackPath,
    read::{SinkResult, Start, TreeSink},
};
use kojibox_signing::Digest;
use kojibox_state::{
    RootPath, Store, StoreError,
    store::{FileMode, NewFile},
};

use super::{
    error::Cause,
    place_tree::{Placed, file_mode, share},
};

/// Writes one tree below `top`; called by one thread, in the order of the index.
pub(super) struct StagingSink<'a> {
    store: &'a dyn Store,
    top: &'a RootPath,
    placed: &'a Placed,
    open: Option<Open<'a>>,
    failure: Option<Cause>,
}

/// The file at hand.
enum Open<'a> {
    /// Made by us.
    New(Box<dyn NewFile + 'a>, FileMode),
    /// Its first bytes are of an interrupted attempt.
    Resumed(RootPath, FileMode),
}

impl<'a> StagingSink<'a> {
    pub(super) fn new(store: &'a dyn Store, top: &'a RootPath, placed: &'a Placed) -> Self {
        Self {
            store,
            top,
            placed,
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
        self.open = Some(Open::New(file, file_mode(mode)));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match &mut self.open {
            Some(Open::New(file, _)) => file.write(bytes),
            Some(Open::Resumed(path, _)) => self.store.append(path, bytes),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        match self.open.take() {
            Some(Open::New(file, mode)) => file.finish(mode),
            Some(Open::Resumed(path, mode)) => {
                // Windows cannot make a read-only file durable later.
                self.store.sync_file(&path)?;
                self.store.set_mode(&path, mode)
            }
            None => Ok(()),
        }
    }
}

impl TreeSink for StagingSink<'_> {
    fn skip(&self, entry: &Entry) -> bool {
        self.placed.have.contains(entry.path().as_str())
    }

    fn start(&self, entry: &Entry) -> Option<Start> {
        self.placed.starts.get(entry.path().as_str()).cloned()
    }

    fn resume_file(&mut self, path: &PackPath, mode: u32, _from: u64) -> SinkResult {
        // It was cut to that length when it was verified.
        match self.at(path) {
            Ok(at) => self.open = Some(Open::Resumed(at, file_mode(mode))),
            Err(cause) => return self.keep(Err(cause)),
        }
        Ok(())
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
        let ended = self.finish().map_err(Cause::from);
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
