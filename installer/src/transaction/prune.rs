//! Owns `prune`: generations that nobody needs go, and with them the trees and records that no other generation names.

use std::collections::BTreeSet;

use kojibox_state::{
    CrashPoint, Generation, InstallRoot, LockedRoot, StoreError, doc,
    journal::{Names, TxKind},
    layout::place,
    receipts::TxOutcome,
    records::Pointer,
    steps::Named,
    store::{Kind, compose, unless_absent},
};

use super::{
    error::{Cause, Situation, TxError},
    finish::close,
    recover::recover,
    tx::Tx,
};
use crate::plan::{Env, Phase};

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneOptions {
    /// Command line, without secrets.
    pub command: String,
    /// Generations to keep, the active one counted; 2 keeps the active and the previous one. Pinned ones stay besides, and the
    /// previous one while the active one has not been ready yet.
    pub keep: usize,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Transaction; none if there was nothing to remove.
    pub txid: Option<String>,
    /// Generations that are gone.
    pub generations: Vec<u64>,
    /// Trees that are gone, by directory.
    pub trees: Vec<String>,
    /// Sum of the files in them, in bytes; files shared with kept trees free nothing.
    pub bytes: u64,
    /// Generations that stay because a program runs from one of their trees.
    pub in_use: Vec<u64>,
}

/// Removes generations beyond the newest `keep`, and what interrupted attempts left in staging; never the active one, never
/// a pinned one, never a tree that a program runs from.
pub fn prune(locked: &mut LockedRoot, options: &PruneOptions, env: &Env<'_>) -> Result<Pruned, TxError> {
    recover(locked, env)?;
    let untouched = |cause: Cause| {
        let active = locked.root().pointer().ok().flatten().map(|p| p.current);
        TxError::new(cause, Situation::Untouched { active })
    };
    let (doomed, in_use) = choose(locked.root(), options.keep).map_err(untouched)?;
    let staged = locked.root().dir().list(&place::staging());
    let staged = staged.map_err(|error| untouched(error.into()))?;
    if doomed == Names::default() && staged.is_empty() {
        return Ok(Pruned {
            in_use,
            ..Pruned::default()
        });
    }
    let mut tx = Tx::new(locked, env, TxKind::Prune, &options.command).map_err(untouched)?;
    tx.begin.doomed = doomed;
    let bytes = tx.begin.doomed.components.iter().map(|dir| size_of(&tx, dir)).sum();
    if let Err(error) = tx.begin() {
        let full = error.cause().is_no_space() && matches!(error.situation(), Situation::Untouched { .. });
        if !full {
            return Err(error);
        }
        // No room to say so beforehand: what interrupted attempts have left belongs to no transaction any more.
        sweep(&mut tx).map_err(untouched)?;
        tx.begin()?;
    }
    let trees = complete(&mut tx).map_err(|cause| tx.interrupted(cause, false))?;
    Ok(Pruned {
        txid: Some(tx.begin.txid().to_owned()),
        generations: tx.begin.doomed.generations.clone(),
        trees,
        bytes,
        in_use,
    })
}

/// What goes, and the generations that would but are in use. A generation whose record is damaged is of no use and goes too,
/// unless it is active (then nothing is removed) or pinned.
fn choose(root: &InstallRoot, keep: usize) -> Result<(Names, Vec<u64>), Cause> {
    // Without the record of the active generation nobody knows which trees are its.
    root.current()?;
    let generations = root.generations()?;
    let kept = kept(root, &generations, keep)?;
    let root_path = root.path().canonicalize().unwrap_or_else(|_| root.path().to_owned());
    let running = kojibox_state::in_use_below(&root_path);
    let runs = |dir: &str| {
        running
            .iter()
            .any(|p| p.starts_with(place::component(dir).below(&root_path)))
    };
    let mut in_use = Vec::new();
    for generation in &generations {
        let id = generation.record.id;
        if !kept.contains(&id) && generation.record.components.iter().any(|c| runs(&c.dir)) {
            in_use.push(id);
        }
    }
    let ids = generations.iter().map(|g| g.record.id);
    let (staying, mut doomed): (Vec<u64>, Vec<u64>) = ids.partition(|id| kept.contains(id) || in_use.contains(id));
    let damaged = root.damaged_generations()?.into_iter().map(|(id, _)| id);
    let (unknown, useless): (Vec<u64>, Vec<u64>) = damaged.partition(|id| kept.contains(id));
    doomed.extend(useless);
    doomed.sort_unstable();
    let mut going = unnamed(root, &Named::by(root, &doomed)?)?;
    // A tree that a doomed generation names is ours; what no record ever named is not, and stays.
    let ours = Named::by(root, &staying)?;
    going
        .components
        .retain(|dir| (ours.dirs.contains(dir) || unknown.is_empty() && has_index(root, dir)) && !runs(dir));
    let going_dirs = going.components.clone();
    going.indexes.retain(|name| {
        let dir = name.strip_suffix(".idx.zst").unwrap_or(name);
        let there = root.dir().exists(&place::component(dir)).unwrap_or(true);
        going_dirs.iter().any(|gone| gone == dir) || unknown.is_empty() && !there
    });
    if !unknown.is_empty() {
        going.packs.retain(|digest| ours.packs.contains(digest));
    }
    going.generations = doomed;
    Ok((going, in_use))
}

/// Generations that stay whatever runs.
fn kept(root: &InstallRoot, generations: &[Generation], keep: usize) -> Result<Vec<u64>, Cause> {
    let pointer = root.pointer()?;
    let mut kept: Vec<u64> = pointer.iter().map(|p| p.current).collect();
    let newest = generations
        .iter()
        .rev()
        .filter(|g| g.bad.is_none())
        .map(|g| g.record.id);
    let readable = |id: &u64| generations.iter().any(|g| g.record.id == *id);
    let previous = pointer.iter().filter_map(|p| p.previous).filter(readable);
    // As long as nothing has proven the active one, the one before it is the only way back.
    if pointer.as_ref().is_some_and(|p| !p.confirmed) {
        kept.extend(previous.clone());
    }
    for id in previous.chain(newest) {
        if kept.len() < keep.max(1) && !kept.contains(&id) {
            kept.push(id);
        }
    }
    for id in root.generation_ids()? {
        if root.dir().exists(&place::generation_pin(id))? {
            kept.push(id);
        }
    }
    Ok(kept)
}

/// A directory of `components/` whose index is recorded: left by a removal that could not take it.
fn has_index(root: &InstallRoot, dir: &str) -> bool {
    root.dir().exists(&place::component_index(dir)).unwrap_or(false)
}

fn is_in_use(error: &StoreError) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ResourceBusy};
    matches!(error.kind(), Some(PermissionDenied | ResourceBusy))
}

/// Trees and records on disk that `named` does not name.
fn unnamed(root: &InstallRoot, named: &Named) -> Result<Names, Cause> {
    let listed = |path, kind| -> Result<Vec<String>, Cause> {
        let entries = root.dir().list(&path)?.into_iter();
        Ok(entries.filter(|e| e.kind == kind).filter_map(|e| e.name.ok()).collect())
    };
    let packs = listed(place::pack_records(), Kind::Dir)?;
    Ok(Names {
        generations: Vec::new(),
        components: difference(listed(place::components(), Kind::Dir)?, &named.dirs),
        packs: packs
            .iter()
            .filter_map(|name| name.parse().ok())
            .filter(|digest| !named.packs.contains(digest))
            .collect(),
        indexes: difference(listed(place::component_records(), Kind::File)?, &named.indexes),
    })
}

fn difference(mut listed: Vec<String>, named: &BTreeSet<String>) -> Vec<String> {
    listed.retain(|name| !named.contains(name));
    listed
}

fn size_of(tx: &Tx<'_>, dir: &str) -> u64 {
    let generations = tx.root.generations().unwrap_or_default();
    let mut components = generations.iter().flat_map(|g| &g.record.components);
    let Some(record) = components.find(|c| c.dir == dir) else {
        return 0;
    };
    let Ok(index) = tx.root.index(record) else { return 0 };
    let sizes = index.entries().iter().filter_map(|e| index.content(e.path()));
    sizes.map(|(size, _)| size).sum()
}

/// Carries out a removal that is in the journal; can be repeated. Returns the trees that are gone.
///
/// Crash: a generation leaves before its trees, a tree leaves its place in one step, and what is in the way of a repeat
/// has left already.
pub(super) fn complete(tx: &mut Tx<'_>) -> Result<Vec<String>, Cause> {
    let doomed = tx.begin.doomed.clone();
    tx.env
        .observer
        .phase(Phase::Clean, Some(doomed.components.len() as u64));
    let named = Named::by(tx.root, &doomed.generations)?;
    sweep(tx)?;
    forget_previous(tx, &doomed.generations)?;
    let dead = tx.staged("dead")?;
    compose::create_dirs(tx.store, &dead)?;
    for id in &doomed.generations {
        retire(tx, *id)?;
    }
    tx.steps().sync_names(&place::generations())?;
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for dir in doomed.components.iter().filter(|dir| !named.dirs.contains(*dir)) {
        match unless_absent(tx.store.rename(&place::component(dir), &dead.join(dir)?)) {
            Ok(_) => gone.push(dir.clone()),
            // Windows does not rename a tree that a program runs from; its index stays, so the next prune finds it.
            Err(error) if is_in_use(&error) => {
                tx.note(&format!("`components/{dir}` stays for now: {error}"));
                stay.push(dir.clone());
            }
            Err(error) => return Err(error.into()),
        }
        tx.env.observer.add(1);
    }
    tx.steps().sync_names(&place::components())?;
    for name in doomed.indexes.iter().filter(|name| !named.indexes.contains(*name)) {
        if !stay.iter().any(|dir| place::index_name(dir) == **name) {
            unless_absent(tx.store.remove_file(&place::component_records().join(name)?))?;
        }
    }
    for digest in doomed.packs.iter().filter(|digest| !named.packs.contains(*digest)) {
        compose::remove_tree(tx.store, &place::pack_record(digest))?;
    }
    tx.steps().sync_names(&place::component_records())?;
    tx.steps().sync_names(&place::pack_records())?;
    tx.reach(CrashPoint::Doomed)?;
    let active = tx.active();
    close(tx, TxOutcome::Done, None, active)?;
    Ok(gone)
}

/// The pointer never names a generation that is gone.
fn forget_previous(tx: &Tx<'_>, doomed: &[u64]) -> Result<(), Cause> {
    match tx.root.pointer()? {
        Some(pointer) if pointer.previous.is_some_and(|id| doomed.contains(&id)) => {
            let alone = Pointer {
                previous: None,
                ..pointer
            };
            Ok(doc::replace(tx.store, &place::pointer(), &alone)?)
        }
        _ => Ok(()),
    }
}

/// Removes what interrupted attempts have left in staging. What does not go (a program that still runs, a file of another
/// user) is told and stays.
fn sweep(tx: &mut Tx<'_>) -> Result<(), Cause> {
    for entry in tx.root.dir().list(&place::staging())? {
        let shown = entry.raw.to_string_lossy().into_owned();
        let removed = match entry.name.ok().and_then(|name| place::staging().join(&name).ok()) {
            Some(ours) if ours == tx.staging() => continue,
            Some(old) => compose::remove_tree(tx.store, &old).map(drop),
            None => tx.store.remove_all(&place::staging(), &entry.raw),
        };
        match removed {
            Err(error) if !error.is_killed() => tx.note(&format!("could not remove `staging/{shown}`: {error}")),
            removed => removed?,
        }
    }
    Ok(())
}

/// Takes a generation out of sight. The directory of the highest number stays, empty, so that no number is used twice.
fn retire(tx: &Tx<'_>, id: u64) -> Result<(), Cause> {
    let dead = tx.staged("dead")?;
    let highest = tx.root.generation_ids()?.last() == Some(&id);
    if !highest {
        let to = dead.join(&format!("generation-{id}"))?;
        unless_absent(tx.store.rename(&place::generation(id), &to))?;
        return Ok(());
    }
    for (what, path) in [
        ("record", place::generation_record(id)),
        ("bad", place::generation_bad_mark(id)),
        ("pin", place::generation_pin(id)),
    ] {
        let to = dead.join(&format!("generation-{id}.{what}"))?;
        unless_absent(tx.store.rename(&path, &to))?;
    }
    Ok(tx.steps().sync_names(&place::generation(id))?)
}
