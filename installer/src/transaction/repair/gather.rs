//! Owns the gathering: everything that is wanted comes into staging, at its place in the mirror of the root.

use kojibox_packs::read::ReadError;
use kojibox_state::{
    CrashPoint, RootPath,
    layout::place,
    store::{FileMode, Kind, compose},
};

use super::{
    super::{
        error::Cause,
        hashing::{Hashed, Job, hash_all},
        place_tree::{file_mode, share},
        sink::StagingSink,
        stage::{read_into, tell_repaired},
        tx::Tx,
        verify::{Finding, is_program},
    },
    Lacking, Sound,
    mend::Records,
    mirror,
    want::{Plan, WantedFile, WantedTree, forget, lacking, place_in},
};
use crate::plan::Phase;

/// What came into staging.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) cured: Vec<Finding>,
    pub(super) lacking: Vec<Lacking>,
}

/// Gathers what `plan` names. Nothing of it is durable yet.
pub(super) fn gather(tx: &mut Tx<'_>, plan: &Plan, records: &Records, mut sound: Sound) -> Result<Gathered, Cause> {
    compose::create_dirs(tx.store, &mirror(tx)?)?;
    let mut out = Gathered::default();
    gather_records(tx, records, plan, &mut out)?;
    tx.env.observer.phase(Phase::Stage, None);
    for tree in &plan.trees {
        tx.check_cancel()?;
        gather_tree(tx, tree, &mut sound, &mut out)?;
        tx.reach(CrashPoint::TreeStaged)?;
    }
    out.cured.sort();
    Ok(out)
}

/// Manifests with their signatures, and lists of files.
fn gather_records(tx: &Tx<'_>, records: &Records, plan: &Plan, out: &mut Gathered) -> Result<(), Cause> {
    let mirror = mirror(tx)?;
    for (pack, signatures) in &records.lost {
        let Some(manifest) = records.manifests.get(&pack.digest) else {
            continue;
        };
        let signed = mirror.join(place::pack_record(&pack.digest).join("signatures")?.as_str())?;
        compose::create_dirs(tx.store, &signed)?;
        let recorded = mirror.join(place::manifest(&pack.digest).as_str())?;
        tx.steps().write(&recorded, manifest.bytes())?;
        for (name, bytes) in signatures {
            tx.steps().write(&signed.join(name)?, bytes)?;
        }
    }
    let dir = mirror.join(place::component_records().as_str())?;
    for tree in plan_trees(records, tx)? {
        if let Some(index) = records.mended.get(&tree.dir) {
            compose::create_dirs(tx.store, &dir)?;
            let name = place::index_name(&tree.dir);
            tx.steps().write(&dir.join(&name)?, index.bytes())?;
        }
    }
    out.cured.extend(plan.records.iter().cloned());
    Ok(())
}

/// Trees whose list of files a medium has given back.
fn plan_trees(records: &Records, tx: &Tx<'_>) -> Result<Vec<kojibox_state::records::ComponentRecord>, Cause> {
    let generations = tx.root.generations()?;
    let all = generations.into_iter().flat_map(|g| g.record.components);
    let mut trees: Vec<_> = all.filter(|c| records.mended.contains_key(&c.dir)).collect();
    trees.sort_by(|a, b| a.dir.cmp(&b.dir));
    trees.dedup_by(|a, b| a.dir == b.dir);
    Ok(trees)
}

fn gather_tree(tx: &mut Tx<'_>, wanted: &WantedTree, sound: &mut Sound, out: &mut Gathered) -> Result<(), Cause> {
    let top = mirror(tx)?.join(place::component(&wanted.tree.dir).as_str())?;
    compose::create_dirs(tx.store, &top)?;
    for dir in &wanted.dirs {
        compose::create_dirs(tx.store, &top.join(dir)?)?;
    }
    for (path, target) in &wanted.links {
        tx.store.symlink(target, &with_parents(tx, &top, path)?)?;
    }
    let why = read_wanted(tx, wanted, &top, sound)?;
    let mut gone = Vec::new();
    for file in &wanted.files {
        let at = with_parents(tx, &top, &file.path)?;
        if tx.root.dir().exists(&at)? || from_the_root(tx, wanted, file, &at, sound)? {
            out.files += 1;
            out.bytes += file.size;
        } else {
            gone.push(file.clone());
        }
    }
    let mut cures = wanted.cures.clone();
    if !gone.is_empty() {
        out.lacking.push(lacking(&wanted.tree, &gone, why));
        forget(&mut cures, &gone);
    }
    out.cured.append(&mut cures);
    Ok(())
}

/// The place of `path` below `top`, with the directories above it made.
fn with_parents(tx: &Tx<'_>, top: &RootPath, path: &str) -> Result<RootPath, Cause> {
    let at = top.join(path)?;
    if let Some(parent) = at.parent() {
        compose::create_dirs(tx.store, &parent)?;
    }
    Ok(at)
}

/// Reads what has to be read, from one origin after the other; gives why the last one could not give everything.
fn read_wanted(
    tx: &mut Tx<'_>,
    wanted: &WantedTree,
    top: &RootPath,
    sound: &mut Sound,
) -> Result<Option<Box<ReadError>>, Cause> {
    if wanted.read.is_empty() {
        return Ok(None);
    }
    for path in &wanted.read {
        with_parents(tx, top, path)?;
    }
    let (mut placed, mut why) = (wanted.placed(), None);
    for origin in &wanted.origins {
        let done = {
            let mut sink = StagingSink::new(tx.store, top, &placed);
            let done = read_into(tx, &*origin.source, &origin.component, &origin.index, &mut sink);
            if let Some(cause) = sink.into_failure() {
                return Err(cause);
            }
            done
        };
        if let Ok(report) = &done {
            tx.begin.draft.bytes.read += report.bytes_read;
            tell_repaired(tx, &origin.component.blob.name, report.repaired);
        }
        tx.check_cancel()?;
        for path in keep_whole(tx, wanted, top)? {
            let (at, entry) = (top.join(&path)?, wanted.index.get(&path));
            if let (Some((_, sha256)), Some(entry)) = (wanted.index.content(&path), entry) {
                sound.insert((*sha256, is_program(entry)), at);
            }
            placed.have.insert(path);
        }
        match done {
            Ok(_) => return Ok(None),
            Err(error) => why = Some(Box::new(error)),
        }
    }
    Ok(why)
}

/// Which of the files that were to be read are in staging; what is only in part there is removed.
fn keep_whole(tx: &Tx<'_>, wanted: &WantedTree, top: &RootPath) -> Result<Vec<String>, Cause> {
    let (mut jobs, mut paths) = (Vec::new(), Vec::new());
    for path in &wanted.read {
        let at = top.join(path)?;
        let is_file = tx.root.dir().stat(&at)?.is_some_and(|s| s.kind == Kind::File);
        if let Some((size, sha256)) = wanted.index.content(path).filter(|_| is_file) {
            let sha256 = *sha256;
            jobs.push(Job { path: at, sha256, size });
            paths.push(path.clone());
        }
    }
    let hashed = hash_all(tx.root.dir(), &jobs, tx.env, false)?;
    let mut whole = Vec::new();
    for ((job, path), hashed) in jobs.iter().zip(paths).zip(hashed) {
        let same = match hashed {
            Hashed::Same => true,
            Hashed::Differs => false,
            // It was written just now: that it cannot be read is this disk's failure, and nothing that another medium would cure.
            Hashed::Unreadable(_) => {
                let again = compose::hash(tx.root.dir(), &job.path)?;
                again.is_some_and(|(sha256, _)| sha256 == job.sha256)
            }
        };
        if same {
            whole.push(path);
        } else {
            tx.store.remove_file(&job.path)?;
        }
    }
    Ok(whole)
}

/// Takes a file from what is sound in the root; false if nothing there has its bytes.
fn from_the_root(
    tx: &mut Tx<'_>,
    wanted: &WantedTree,
    file: &WantedFile,
    at: &RootPath,
    sound: &mut Sound,
) -> Result<bool, Cause> {
    let (mode, program) = (file_mode(file.mode), file.is_program());
    let place = place_in(&wanted.tree, &file.path)?;
    if file.size == 0 {
        tx.store.create_file(at)?.finish(mode)?;
    } else if let Some(from) = sound.get(&(file.sha256, program)) {
        share(tx.store, from, at, mode)?;
    } else {
        let other = sound.get(&(file.sha256, !program));
        let Some(from) = other.or(file.mode_only.then_some(&place)) else {
            return Ok(false);
        };
        if !copied(tx, from, at, file, mode)? {
            return Ok(false);
        }
        sound.insert((file.sha256, program), at.clone());
    }
    tx.begin.draft.bytes.reused += file.size;
    Ok(true)
}

/// Copies and looks what was copied: the file may have changed since it was verified.
fn copied(tx: &Tx<'_>, from: &RootPath, at: &RootPath, file: &WantedFile, mode: FileMode) -> Result<bool, Cause> {
    let same = compose::copy(tx.store, from, at, mode)? == file.sha256;
    if !same {
        tx.store.remove_file(at)?;
    }
    Ok(same)
}
