//! Owns [`Steps`]: what the transactions of every program that changes an install root are made of, so that there is one
//! rule for what is published, taken back, moved aside and closed.
//!
//! The order of the steps is the engine's (the installer's, and the launcher's for its own update); what each step does to
//! the disk, and what a recovery may conclude from it, is here. Each can be stopped and repeated.
//!
//! Source: TRANSACTIONS.md.

mod aside;
mod close;
mod publish;
mod undo;

use std::collections::BTreeSet;

use kojibox_signing::Digest;

pub use self::{aside::Aside, close::Ending, publish::NewPack};
use crate::{
    error::StateError,
    journal::Begin,
    layout::place,
    path::{RootPath, RootPathError},
    records::Pointer,
    root::InstallRoot,
    store::{Store, StoreError, unless_absent},
};

/// A transaction under way, as its steps see it.
#[derive(Clone, Copy)]
pub struct Steps<'a> {
    /// The root as it is.
    pub root: &'a InstallRoot,
    /// The one way to change it.
    pub store: &'a dyn Store,
    /// What was intended.
    pub begin: &'a Begin,
}

impl Steps<'_> {
    /// `staging/<txid>`.
    pub fn staging(&self) -> RootPath {
        place::staged(self.begin.txid())
    }

    /// Something in `staging/<txid>`.
    pub fn staged(&self, what: &str) -> Result<RootPath, RootPathError> {
        self.staging().join(what)
    }

    /// True once the pointer is this transaction's.
    pub fn is_committed(&self) -> Result<bool, StateError> {
        Ok(self.root.pointer()?.is_some_and(|p| p.txid == self.begin.txid()))
    }

    /// The pointer that this transaction writes.
    pub fn next_pointer(&self, generation: u64, confirmed: bool) -> Pointer {
        Pointer {
            schema: <Pointer as crate::doc::Versioned>::SCHEMA.to_owned(),
            current: generation,
            previous: self.return_to(generation),
            confirmed,
            txid: self.begin.txid().to_owned(),
        }
    }

    /// Where a later rollback from `next` goes: the generation before, or the one before that if its gate never passed; one whose
    /// record is damaged is no way back.
    fn return_to(&self, next: u64) -> Option<u64> {
        let before = self.begin.pointer.as_ref()?;
        let candidates = if before.confirmed {
            [Some(before.current), before.previous]
        } else {
            [before.previous, Some(before.current)]
        };
        let good = |id: &u64| *id != next && matches!(self.root.generation(*id), Ok(Some(_)));
        candidates.into_iter().flatten().find(good)
    }

    /// Syncs a directory that a very early stop may not have let come into being.
    pub fn sync_names(&self, dir: &RootPath) -> Result<(), StoreError> {
        unless_absent(self.store.sync_dir(dir)).map(drop)
    }
}

/// What the records of all generations name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Directories below `components/`.
    pub dirs: BTreeSet<String>,
    /// Manifests.
    pub packs: BTreeSet<Digest>,
    /// File names below `records/components/`.
    pub indexes: BTreeSet<String>,
}

impl Named {
    /// What must stay because a generation names it; those in `without` do not count, and those whose record is damaged cannot.
    pub fn by(root: &InstallRoot, without: &[u64]) -> Result<Self, StateError> {
        let mut named = Self::default();
        for generation in root.generations()? {
            if without.contains(&generation.record.id) {
                continue;
            }
            named.packs.extend(generation.record.manifests().map(|p| p.digest));
            for c in &generation.record.components {
                named.dirs.insert(c.dir.clone());
                named.indexes.insert(place::index_name(&c.dir));
            }
        }
        Ok(named)
    }
}
