//! Owns the way of a tree to its final name: staged, hashed again, durable, renamed.

use std::sync::{Arc, atomic::AtomicBool};

use kojibox_packs::{
    Unwatched,
    read::{ExtractOptions, extract},
};
use kojibox_state::{
    CrashPoint, RootPath,
    doc::Versioned as _,
    journal::Record,
    layout::place,
    store::{FileMode, compose},
};

use super::{
    UpdateError,
    pipeline::{self, Fetch},
    transaction::{PROGRAM, Tx, unreadable},
    tree::Rest,
};

impl Tx<'_> {
    /// Brings tree, index and record into staging.
    pub(super) fn stage(&self) -> Result<(), UpdateError> {
        compose::create_dirs(self.store, &place::staged(self.begin.txid()))?;
        if self.is_fresh() {
            let top = self.staged("trees")?.join(&self.component.dir)?;
            compose::create_dirs(self.store, &top)?;
            self.stage_rest(&top)?;
            self.stage_program(&top)?;
            let indexes = self.staged("indexes")?;
            compose::create_dirs(self.store, &indexes)?;
            let name = place::index_name(&self.component.dir);
            self.write(&indexes.join(&name)?, self.index.bytes())?;
            self.store.reach(CrashPoint::TreeStaged)?;
        } else {
            // It is there from before: it must still be what was signed.
            self.compare(&place::component(&self.component.dir).join(PROGRAM)?)?;
        }
        let generation = self.staged("generation")?;
        compose::create_dirs(self.store, &generation)?;
        self.write(&generation.join("record.json")?, &self.record.to_bytes())
    }

    fn write(&self, path: &RootPath, bytes: &[u8]) -> Result<(), UpdateError> {
        let mut file = self.store.create_file(path)?;
        file.write(bytes)?;
        Ok(file.finish(FileMode::ReadOnly)?)
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
    fn stage_program(&self, top: &RootPath) -> Result<(), UpdateError> {
        let incoming = self.staged("incoming")?;
        compose::create_dirs(self.store, &incoming)?;
        let incoming = incoming.join(PROGRAM)?;
        let fetch = Fetch {
            source: Arc::clone(&self.offer.source),
            component: self.offer.component.clone(),
            index: Arc::clone(&self.index),
            program: PROGRAM,
            sha256: self.sha256,
        };
        pipeline::place(fetch, self.setting.version, &incoming.below(self.root.path()))?;
        let placed = top.join(PROGRAM)?;
        compose::copy(self.store, &incoming, &placed, FileMode::Program)?;
        self.compare(&placed)?;
        compose::remove_tree(self.store, &self.staged("incoming")?)?;
        Ok(())
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
        self.store.sync_tree(&place::staged(self.begin.txid()))?;
        self.store.reach(CrashPoint::Durable)?;
        let fresh = self.begin.fresh.clone();
        compose::create_dirs(self.store, &place::component_records())?;
        for dir in &fresh.components {
            self.clear(&place::component(dir), "dead")?;
            self.store
                .rename(&self.staged("trees")?.join(dir)?, &place::component(dir))?;
            self.store.reach(CrashPoint::Publishing)?;
        }
        for name in &fresh.indexes {
            let to = place::component_records().join(name)?;
            self.clear(&to, "dead.idx")?;
            self.store.rename(&self.staged("indexes")?.join(name)?, &to)?;
        }
        for dir in [place::components(), place::component_records()] {
            self.store.sync_dir(&dir)?;
        }
        self.store
            .rename(&self.staged("generation")?, &place::generation(self.record.id))?;
        self.store.sync_dir(&place::generations())?;
        self.store.reach(CrashPoint::Published)?;
        self.journal.append(&Record::Staged)?;
        Ok(self.store.reach(CrashPoint::Staged)?)
    }

    /// Moves what lies at a final name and belongs to no generation out of the way.
    fn clear(&self, path: &RootPath, to: &str) -> Result<(), UpdateError> {
        if self.root.dir().exists(path)? {
            self.store.rename(path, &self.staged(to)?)?;
        }
        Ok(())
    }
}
