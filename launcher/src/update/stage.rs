//! Owns the way of a tree to its final name: staged, hashed again, durable, renamed.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use kojibox_packs::{
    Unwatched,
    read::{ExtractOptions, extract},
};
use kojibox_state::{
    CrashPoint, RootPath,
    journal::Record,
    layout::place,
    steps::NewPack,
    store::{FileMode, compose},
};

use super::{
    UpdateError,
    pipeline::{self, Fetch},
    transaction::{PROGRAM, Tx, unreadable},
    tree::Rest,
};

/// Copied at a time.
const PIECE: usize = 256 << 10;

impl Tx<'_> {
    /// Brings tree, index, manifest and record into staging. What is in the way at a final name leaves first: an undo takes what it
    /// finds there for ours.
    pub(super) fn stage(&mut self) -> Result<(), UpdateError> {
        compose::create_dirs(self.store, &self.steps().staging())?;
        for note in self.steps().clear_places()? {
            self.note(note);
        }
        if self.is_fresh() {
            let top = self.steps().staged("trees")?.join(&self.component.dir)?;
            compose::create_dirs(self.store, &top)?;
            self.stage_rest(&top)?;
            self.stage_program(&top)?;
            let name = place::index_name(&self.component.dir);
            self.steps().stage_index(&name, self.index.bytes())?;
            self.store.reach(CrashPoint::TreeStaged)?;
        } else {
            // It is there from before: it must still be what was signed.
            self.compare(&place::component(&self.component.dir).join(PROGRAM)?)?;
        }
        if !self.begin.fresh.packs.is_empty() {
            self.steps().stage_pack(&NewPack {
                digest: self.offer.manifest.digest(),
                manifest: self.offer.manifest.bytes(),
                signatures: &self.offer.signatures,
            })?;
        }
        Ok(self.steps().stage_generation(&self.record)?)
    }

    /// Everything but the program, if there is anything.
    fn stage_rest(&self, top: &RootPath) -> Result<(), UpdateError> {
        if self.index.entries().iter().all(|e| e.path().as_str() == PROGRAM) {
            return Ok(());
        }
        let mut sink = Rest {
            store: self.store,
            top,
            program: PROGRAM,
            open: None,
        };
        let (source, component) = (self.offer.source.as_ref(), &self.offer.component);
        let (options, stop) = (ExtractOptions::default(), AtomicBool::new(false));
        let done = extract(source, component, &self.index, &options, &mut sink, &Unwatched, &stop);
        done.map(drop).map_err(|e| unreadable(self.offer, e))
    }

    /// The program, through the pipeline, and then through our own hands: what gets a place in the tree is hashed again.
    ///
    /// The pipeline writes by itself, so it does that outside of the root, which only the store changes.
    fn stage_program(&self, top: &RootPath) -> Result<(), UpdateError> {
        let incoming = tempfile::tempdir().map_err(|e| UpdateError::Pipeline(Box::new(e.into())))?;
        let fetched = incoming.path().join(PROGRAM);
        let fetch = Fetch {
            source: Arc::clone(&self.offer.source),
            component: self.offer.component.clone(),
            index: Arc::clone(&self.index),
            program: PROGRAM,
            sha256: self.sha256,
        };
        pipeline::place(fetch, self.setting.version, &fetched)?;
        let placed = top.join(PROGRAM)?;
        self.bring(&fetched, &placed)?;
        self.compare(&placed)
    }

    /// Copies a file of elsewhere into staging.
    fn bring(&self, from: &Path, to: &RootPath) -> Result<(), UpdateError> {
        let failed = |source| UpdateError::Fetched {
            path: from.to_owned(),
            source,
        };
        let mut source = File::open(from).map_err(failed)?;
        let mut target = self.store.create_file(to)?;
        let mut piece = vec![0; PIECE];
        loop {
            let n = source.read(&mut piece).map_err(failed)?;
            if n == 0 {
                return Ok(target.finish(FileMode::Program)?);
            }
            target.write(&piece[..n])?;
        }
    }

    fn compare(&self, program: &RootPath) -> Result<(), UpdateError> {
        let got = compose::hash(self.root.dir(), program)?.map(|(digest, _)| digest);
        if got == Some(self.sha256) {
            return Ok(());
        }
        Err(UpdateError::Differs {
            path: program.below(self.root.path()),
            got: got.map_or("nothing".to_owned(), |d| d.to_string()),
            expected: self.sha256.to_string(),
        })
    }

    /// Durable first, then the final names, then the directories; STAGED is in the journal after it.
    pub(super) fn publish(&mut self) -> Result<(), UpdateError> {
        self.steps().make_durable()?;
        self.steps().publish(&mut || ())?;
        self.journal.append(&Record::Staged)?;
        Ok(self.store.reach(CrashPoint::Staged)?)
    }
}
