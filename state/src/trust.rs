//! Owns `state/trust/`: the pinned roots of each publisher as raw bytes, and the floors. It verifies nothing.

use crate::{
    doc,
    error::StateError,
    layout::place,
    records::{Floors, PackFloor},
    store::{FileMode, Kind, RootDir, Store, compose, unless_absent},
};

/// Largest root document in bytes.
pub const ROOT_MAX_BYTES: u64 = 1 << 20;

/// Ends the name of a publisher that is being taken away.
const REMOVED: &str = ".removed";

/// Publishers that are pinned here (`root16`), sorted.
pub fn publishers(root: &RootDir) -> Result<Vec<String>, StateError> {
    let listed = root.list(&place::trust())?;
    let dirs = listed.into_iter().filter(|e| e.kind == Kind::Dir);
    Ok(dirs.filter_map(|e| e.name.ok()).filter(|n| is_root16(n)).collect())
}

fn is_root16(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The chain of one publisher: version and bytes, ascending.
pub fn roots(root: &RootDir, root16: &str) -> Result<Vec<(u64, Vec<u8>)>, StateError> {
    if !is_root16(root16) {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for entry in root.list(&place::publisher(root16))? {
        let Ok(name) = entry.name else { continue };
        let version = name.strip_suffix(".root.json").and_then(|n| n.parse().ok());
        let Some(version) = version else { continue };
        if let Some(bytes) = root.read(&place::root_document(root16, version), ROOT_MAX_BYTES)? {
            out.push((version, bytes));
        }
    }
    out.sort_by_key(|(version, _)| *version);
    Ok(out)
}

/// What this root never goes below; `None` in a fresh one.
pub fn floors(root: &RootDir) -> Result<Option<Floors>, StateError> {
    doc::read(root, &place::floors())
}

/// Adds verified root documents of one publisher, durable when it returns; those already there stay as they are.
pub fn pin(store: &dyn Store, root16: &str, documents: &[(u64, Vec<u8>)]) -> Result<(), StateError> {
    let dir = place::publisher(root16);
    sweep(store)?;
    compose::create_dirs(store, &dir)?;
    for (version, bytes) in documents {
        let path = place::root_document(root16, *version);
        if !store.root().exists(&path)? {
            compose::replace_file(store, &path, bytes, FileMode::ReadOnly)?;
        }
    }
    // Also where all is there already: an attempt that was stopped may have left the names without a sync.
    for dir in [dir, place::trust(), place::state()] {
        store.sync_dir(&dir)?;
    }
    Ok(())
}

/// Takes a publisher away, with its chain; its floors stay. Durable when it returns.
///
/// Crash: it is trusted with its whole chain or not at all; a shorter chain could count keys that a later root took back.
pub fn unpin(store: &dyn Store, root16: &str) -> Result<bool, StateError> {
    sweep(store)?;
    let gone = place::trust().join(&format!("{root16}{REMOVED}"));
    let (true, Ok(gone)) = (is_root16(root16), gone) else {
        return Ok(false);
    };
    let removed = unless_absent(store.rename(&place::publisher(root16), &gone))?;
    unless_absent(store.sync_dir(&place::trust()))?;
    sweep(store)?;
    Ok(removed)
}

/// Removes what a removal that was stopped has left; no name of it counts.
fn sweep(store: &dyn Store) -> Result<(), StateError> {
    for entry in store.root().list(&place::trust())? {
        let Ok(name) = entry.name else { continue };
        if name.strip_suffix(REMOVED).is_some_and(is_root16) {
            compose::remove_tree(store, &place::trust().join(&name)?)?;
        }
    }
    Ok(())
}

/// Raises the floors to at least `next`, durable when it returns. Nothing ever sinks: what is on disk and higher stays.
pub fn raise(store: &dyn Store, next: &Floors) -> Result<(), StateError> {
    let old = floors(store.root())?;
    let merged = old.as_ref().map_or_else(|| next.clone(), |old| merge(old, next));
    if old.as_ref() == Some(&merged) {
        return Ok(());
    }
    compose::create_dirs(store, &place::trust())?;
    store.sync_dir(&place::state())?;
    doc::replace(store, &place::floors(), &merged)
}

fn merge(old: &Floors, next: &Floors) -> Floors {
    let mut out = old.clone();
    // Both are RFC 3339 in UTC with whole seconds, so the later one is the greater text.
    out.not_before = old.not_before.clone().max(next.not_before.clone());
    out.revoked.extend(next.revoked.iter().copied());
    for (name, floor) in &next.packs {
        let PackFloor {
            sequence,
            min_sequence,
            digests,
        } = out.packs.entry(name.clone()).or_default();
        *min_sequence = (*min_sequence).max(floor.min_sequence);
        if floor.sequence > *sequence {
            *sequence = floor.sequence;
            digests.clone_from(&floor.digests);
        } else if floor.sequence == *sequence {
            digests.extend(floor.digests.iter().map(|(k, v)| (k.clone(), *v)));
        }
    }
    out
}
