//! Owns the step between "whole in staging" and "has its final name": durable first, then renames, then the directories.

use kojibox_signing::Digest;
use kojibox_state::{
    CrashPoint, RootPath,
    doc::Versioned as _,
    journal::Record,
    layout::place,
    records::GenerationRecord,
    store::{FileMode, compose},
};

use super::{error::Cause, tx::Tx};
use crate::plan::Phase;

/// A manifest and its signatures as they will lie in `records/packs/<digest>/`.
pub(super) struct NewPack<'a> {
    pub(super) digest: Digest,
    pub(super) manifest: &'a [u8],
    pub(super) signatures: &'a [(String, Vec<u8>)],
}

/// Writes manifest and signatures into staging.
pub(super) fn stage_pack(tx: &Tx<'_>, pack: &NewPack<'_>) -> Result<(), Cause> {
    let dir = tx.staged("packs")?.join(&pack.digest.to_string())?;
    let signatures = dir.join("signatures")?;
    compose::create_dirs(tx.store, &signatures)?;
    write(tx, &dir.join("manifest.kbx.json")?, pack.manifest)?;
    for (name, bytes) in pack.signatures {
        write(tx, &signatures.join(name)?, bytes)?;
    }
    Ok(())
}

/// Writes a compressed index into staging.
pub(super) fn stage_index(tx: &Tx<'_>, name: &str, bytes: &[u8]) -> Result<(), Cause> {
    let dir = tx.staged("indexes")?;
    compose::create_dirs(tx.store, &dir)?;
    write(tx, &dir.join(name)?, bytes)
}

/// Writes the record of the new generation into staging.
pub(super) fn stage_generation(tx: &Tx<'_>, record: &GenerationRecord) -> Result<(), Cause> {
    let dir = tx.staged("generation")?;
    compose::create_dirs(tx.store, &dir)?;
    write(tx, &dir.join("record.json")?, &record.to_bytes())
}

pub(super) fn write(tx: &Tx<'_>, path: &RootPath, bytes: &[u8]) -> Result<(), Cause> {
    let mut file = tx.store.create_file(path)?;
    file.write(bytes)?;
    Ok(file.finish(FileMode::ReadOnly)?)
}

/// Makes the staging directory durable and gives everything in it its final name; STAGED is in the journal after it.
///
/// Crash: before STAGED, recovery takes everything back ([`super::undo`]). A generation gets its name only after the
/// names of all it consists of are durable.
pub(super) fn publish(tx: &mut Tx<'_>) -> Result<(), Cause> {
    tx.env.observer.phase(Phase::Durable, None);
    // An undo asks staging what was published, so staging must be certain to be there.
    tx.store.sync_dir(&place::staging())?;
    tx.store.sync_tree(&tx.staging())?;
    tx.reach(CrashPoint::Durable)?;
    let fresh = tx.begin.fresh.clone();
    tx.env
        .observer
        .phase(Phase::Publish, Some(fresh.components.len() as u64));
    make_places(tx)?;
    for dir in &fresh.components {
        tx.store
            .rename(&tx.staged("trees")?.join(dir)?, &place::component(dir))?;
        tx.reach(CrashPoint::Publishing)?;
        tx.env.observer.add(1);
    }
    for digest in &fresh.packs {
        let from = tx.staged("packs")?.join(&digest.to_string())?;
        tx.store.rename(&from, &place::pack_record(digest))?;
    }
    for name in &fresh.indexes {
        let to = place::component_records().join(name)?;
        tx.store.rename(&tx.staged("indexes")?.join(name)?, &to)?;
    }
    for dir in [place::components(), place::pack_records(), place::component_records()] {
        tx.store.sync_dir(&dir)?;
    }
    for id in &fresh.generations {
        tx.store.rename(&tx.staged("generation")?, &place::generation(*id))?;
    }
    tx.store.sync_dir(&place::generations())?;
    tx.reach(CrashPoint::Published)?;
    tx.journal.append(&Record::Staged)?;
    Ok(tx.reach(CrashPoint::Staged)?)
}

/// The directories that hold everything, made by the first transaction.
fn make_places(tx: &Tx<'_>) -> Result<(), Cause> {
    for dir in [
        place::components(),
        place::pack_records(),
        place::component_records(),
        place::generations(),
    ] {
        compose::create_dirs(tx.store, &dir)?;
    }
    // Also where they are there already: an attempt that was stopped may have made them a moment ago.
    tx.store
        .sync_dir(&place::pack_records().parent().unwrap_or(RootPath::ROOT))?;
    Ok(tx.store.sync_dir(&RootPath::ROOT)?)
}
