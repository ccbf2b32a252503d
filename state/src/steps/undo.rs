//! Owns the way back from any point before the commit: what BEGIN named as fresh leaves its place again.
//!
//! Every step looks before it acts, so that it can be repeated after a stop anywhere in it. Trees go back to staging,
//! where the next attempt finds them; nothing that any generation names is touched.

use super::{Named, Steps};
use crate::{
    doc::{self, Versioned as _},
    error::StateError,
    layout::place,
    records::Pointer,
    root::BadMark,
    store::{compose, unless_absent},
};

impl Steps<'_> {
    /// Takes back what this transaction published. Names are durable when it returns.
    pub fn undo(&self) -> Result<(), StateError> {
        let fresh = &self.begin.fresh;
        for id in &fresh.generations {
            self.retire_generation(*id)?;
        }
        if !fresh.generations.is_empty() {
            self.sync_names(&place::generations())?;
        }
        let named = Named::by(self.root, &[])?;
        // The generation waits in staging until everything else has its place, and comes back to it first. Without it nothing
        // was published, and what lies at a final name is a person's.
        if !fresh.generations.is_empty() && !self.root.dir().exists(&self.staged("generation")?)? {
            return self.remove_records(&named);
        }
        for dir in fresh.components.iter().filter(|dir| !named.dirs.contains(*dir)) {
            let from = place::component(dir);
            if self.root.dir().exists(&from)? {
                let trees = self.staged("trees")?;
                compose::create_dirs(self.store, &trees)?;
                let back = trees.join(dir)?;
                // A stop between two attempts may have left another copy in staging; the published one is whole.
                compose::remove_tree(self.store, &back)?;
                self.store.rename(&from, &back)?;
            }
        }
        // Also what a stopped attempt took back may not be durable yet, so these are not skipped.
        if !fresh.components.is_empty() {
            self.sync_names(&place::components())?;
        }
        self.remove_records(&named)
    }

    /// Writes `pointer`, or removes the pointer, if this transaction has replaced it. Durable when it returns.
    pub fn point_back(&self, pointer: Option<&Pointer>) -> Result<(), StateError> {
        if !self.is_committed()? {
            return Ok(());
        }
        if let Some(pointer) = pointer {
            return doc::replace(self.store, &place::pointer(), pointer);
        }
        unless_absent(self.store.remove_file(&place::pointer()))?;
        Ok(self.store.sync_dir(&place::state())?)
    }

    /// Marks a generation whose gate has failed.
    pub fn mark_bad(&self, id: u64, reason: &str, at: &str) -> Result<(), StateError> {
        if self.root.bad_mark(id)?.is_some() {
            // Written by an attempt that was stopped, perhaps before its name was durable.
            return Ok(self.store.sync_dir(&place::generation(id))?);
        }
        let mark = BadMark {
            schema: BadMark::SCHEMA.to_owned(),
            txid: self.begin.txid().to_owned(),
            at: at.to_owned(),
            reason: reason.to_owned(),
        };
        doc::replace(self.store, &place::generation_bad_mark(id), &mark)
    }

    /// Takes a generation's directory out of sight in one step.
    fn retire_generation(&self, id: u64) -> Result<(), StateError> {
        let from = place::generation(id);
        if !self.root.dir().exists(&from)? {
            return Ok(());
        }
        let to = self.staged("generation")?;
        compose::create_dirs(self.store, &self.staging())?;
        compose::remove_tree(self.store, &to)?;
        Ok(self.store.rename(&from, &to)?)
    }

    fn remove_records(&self, named: &Named) -> Result<(), StateError> {
        let fresh = &self.begin.fresh;
        for digest in fresh.packs.iter().filter(|d| !named.packs.contains(*d)) {
            compose::remove_tree(self.store, &place::pack_record(digest))?;
        }
        for name in fresh.indexes.iter().filter(|n| !named.indexes.contains(*n)) {
            unless_absent(self.store.remove_file(&place::component_records().join(name)?))?;
        }
        if !fresh.packs.is_empty() {
            self.sync_names(&place::pack_records())?;
        }
        if !fresh.indexes.is_empty() {
            self.sync_names(&place::component_records())?;
        }
        Ok(())
    }
}
