//! Owns the way back from any point before the commit: what BEGIN named as fresh leaves its place again.
//!
//! Every step looks before it acts, so that it can be repeated after a stop anywhere in it. Trees go back to staging,
//! where the next attempt finds them; nothing that any generation names is touched.

use std::collections::BTreeSet;

use kojibox_signing::Digest;
use kojibox_state::{
    InstallRoot, RootPath,
    layout::place,
    store::{compose, unless_absent},
};

use super::{error::Cause, tx::Tx};

/// Takes back what this transaction published. Names are durable when it returns.
pub(super) fn undo(tx: &Tx<'_>) -> Result<(), Cause> {
    let fresh = &tx.begin.fresh;
    for id in &fresh.generations {
        retire_generation(tx, *id)?;
    }
    if !fresh.generations.is_empty() {
        sync_names(tx, &place::generations())?;
    }
    let named = Named::by(tx.root, &[])?;
    // The generation waits in staging until everything else has its place, and comes back to it first. Without it nothing was
    // published, and what lies at a final name is a person's.
    if !fresh.generations.is_empty() && !tx.root.dir().exists(&tx.staged("generation")?)? {
        return remove_records(tx, &named);
    }
    for dir in fresh.components.iter().filter(|dir| !named.dirs.contains(*dir)) {
        let from = place::component(dir);
        if tx.root.dir().exists(&from)? {
            let trees = tx.staged("trees")?;
            compose::create_dirs(tx.store, &trees)?;
            let back = trees.join(dir)?;
            // A stop between two attempts may have left another copy in staging; the published one is whole.
            compose::remove_tree(tx.store, &back)?;
            tx.store.rename(&from, &back)?;
        }
    }
    // Also what a stopped attempt took back may not be durable yet, so these are not skipped.
    if !fresh.components.is_empty() {
        sync_names(tx, &place::components())?;
    }
    remove_records(tx, &named)
}

/// What the records of all generations name.
#[derive(Default)]
pub(super) struct Named {
    pub(super) dirs: BTreeSet<String>,
    pub(super) packs: BTreeSet<Digest>,
    pub(super) indexes: BTreeSet<String>,
}

impl Named {
    /// What must stay because a generation names it; those in `without` do not count, and those whose record is damaged cannot.
    pub(super) fn by(root: &InstallRoot, without: &[u64]) -> Result<Self, Cause> {
        let mut named = Self::default();
        for generation in root.generations()? {
            if without.contains(&generation.record.id) {
                continue;
            }
            named.packs.extend(generation.record.packs.iter().map(|p| p.digest));
            for c in &generation.record.components {
                named.dirs.insert(c.dir.clone());
                named.indexes.insert(place::index_name(&c.dir));
            }
        }
        Ok(named)
    }
}

/// Takes a generation's directory out of sight in one step.
fn retire_generation(tx: &Tx<'_>, id: u64) -> Result<(), Cause> {
    let from = place::generation(id);
    if !tx.root.dir().exists(&from)? {
        return Ok(());
    }
    let to = tx.staged("generation")?;
    compose::create_dirs(tx.store, &tx.staging())?;
    compose::remove_tree(tx.store, &to)?;
    Ok(tx.store.rename(&from, &to)?)
}

fn remove_records(tx: &Tx<'_>, named: &Named) -> Result<(), Cause> {
    let fresh = &tx.begin.fresh;
    for digest in fresh.packs.iter().filter(|d| !named.packs.contains(*d)) {
        compose::remove_tree(tx.store, &place::pack_record(digest))?;
    }
    for name in fresh.indexes.iter().filter(|n| !named.indexes.contains(*n)) {
        unless_absent(tx.store.remove_file(&place::component_records().join(name)?))?;
    }
    if !fresh.packs.is_empty() {
        sync_names(tx, &place::pack_records())?;
    }
    if !fresh.indexes.is_empty() {
        sync_names(tx, &place::component_records())?;
    }
    Ok(())
}

/// Syncs a directory that a very early stop may not have let come into being.
pub(super) fn sync_names(tx: &Tx<'_>, dir: &RootPath) -> Result<(), Cause> {
    unless_absent(tx.store.sync_dir(dir))?;
    Ok(())
}
