//! Owns `uninstall`: exactly the listed files whose bytes are unchanged, then empty directories, then our own records.
//!
//! Nothing that a person may have put somewhere is removed: what is not listed, or was changed, stays and is named. The
//! services' data, configuration, logs and secrets stay unless a person asks for the contrary; projects always stay.

use std::ffi::OsStr;

use kojibox_packs::index::Entry;
use kojibox_state::{
    CrashPoint, LockedRoot, RootPath, StoreError, dissolve,
    journal::TxKind,
    layout::place,
    receipts::TxOutcome,
    records::{ComponentRecord, LAUNCHER},
    store::{Kind, compose, unless_absent},
};

use super::{
    activate::{note_unclean, start_again, stop, stop_unknown},
    error::{Cause, Situation, TxError},
    finish::close,
    hashing::{Hashed, Job, hash_all},
    recover::recover,
    tx::Tx,
};
use crate::plan::{Env, GateError, Phase};

/// The launcher's directories that every start makes anew.
const PASSING: &[&str] = &["run", "temp"];
/// The launcher's directories that hold what a person or a service has made.
const DATA: &[&str] = &["data", "config", "logs", "secrets", "backups"];

/// How the name of the directory begins in which the preflight tries out a file system.
const PROBE: &str = ".kojibox-probe-";

/// How much is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UninstallOptions {
    /// Command line, without secrets.
    pub command: String,
    /// Data, configuration, logs, secrets and backups go too.
    pub purge_data: bool,
}

/// What was removed and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uninstalled {
    /// Files that are gone.
    pub files: u64,
    /// Paths in the root that stay because they are not ours or were changed.
    pub left: Vec<String>,
    /// The root itself is gone.
    pub gone: bool,
}

/// Removes the installed stack.
///
/// # Errors
/// [`Cause::Stop`] if services do not stop; nothing was removed then.
pub fn uninstall(locked: LockedRoot, options: &UninstallOptions, env: &Env<'_>) -> Result<Uninstalled, TxError> {
    let mut locked = locked;
    recover(&mut locked, env)?;
    let mut done = remove(&locked, options, env)?;
    remaining(&locked, &mut done.left);
    done.left.sort();
    done.left.dedup();
    if done.left.is_empty() {
        // It is done; what is left of the root itself is an empty one, and no reason to call it failed.
        match dissolve(locked) {
            Ok(gone) => done.gone = gone,
            Err(error) if error.is_killed() => {
                return Err(TxError::new(error, Situation::Untouched { active: None }));
            }
            Err(error) => {
                env.observer.note(&format!("could not remove the empty root: {error}"));
                done.left.push(place::state().to_string());
            }
        }
    }
    Ok(done)
}

fn remove(locked: &LockedRoot, options: &UninstallOptions, env: &Env<'_>) -> Result<Uninstalled, TxError> {
    let active = locked.root().pointer().ok().flatten().map(|p| p.current);
    let untouched = |cause: Cause| TxError::new(cause, Situation::Untouched { active });
    let mut tx = Tx::new(locked, env, TxKind::Uninstall, &options.command).map_err(untouched)?;
    tx.begin.purge = options.purge_data;
    // Before the journal says so: once it does, a stopped uninstall is carried on, not taken back.
    if let Err(cause) = stop_active(&mut tx) {
        return Err(not_begun(&mut tx, untouched(cause)));
    }
    if let Err(error) = tx.begin() {
        return Err(not_begun(&mut tx, error));
    }
    complete(&mut tx).map_err(|cause| tx.interrupted(cause, true))
}

/// Stops what runs. That something did not stop cleanly is no reason to stay: nothing runs, and the data stays as it is.
fn stop_active(tx: &mut Tx<'_>) -> Result<(), Cause> {
    match tx.root.current() {
        Ok(None) => Ok(()),
        Ok(Some(current)) => match stop(tx, &current) {
            Ok(()) => Ok(()),
            Err(GateError::Unclean { services, .. }) => {
                note_unclean(tx, current.id, &services);
                Ok(())
            }
            Err(source) => Err(Cause::Stop {
                generation: current.id,
                source,
            }),
        },
        Err(error) if error.is_damage() => stop_unknown(tx, &error),
        Err(error) => Err(error.into()),
    }
}

/// Nothing was removed, but services were stopped: what runs runs again.
fn not_begun(tx: &mut Tx<'_>, error: TxError) -> TxError {
    let active = match error.situation() {
        Situation::Untouched { active } if !error.cause().is_killed() => *active,
        _ => return error,
    };
    if start_again(tx) {
        return error;
    }
    error.now(Situation::Stopped { active })
}

/// Carries out an uninstall that is in the journal; can be repeated.
pub(super) fn complete(tx: &mut Tx<'_>) -> Result<Uninstalled, Cause> {
    let mut done = Uninstalled::default();
    unless_absent(tx.store.remove_file(&place::pointer()))?;
    tx.store.sync_dir(&place::state())?;
    tx.reach(CrashPoint::Committed)?;
    let mut trees: Vec<ComponentRecord> = Vec::new();
    let generations = tx.root.generations()?;
    for component in generations.iter().flat_map(|g| &g.record.components) {
        if trees.iter().all(|t| t.dir != component.dir) {
            trees.push(component.clone());
        }
    }
    tx.env.observer.phase(Phase::Clean, Some(trees.len() as u64));
    remove_front_door(tx, &trees, &mut done)?;
    for tree in &trees {
        remove_listed(tx, tree, &mut done)?;
        tx.env.observer.add(1);
    }
    // What lists the files goes only when no power cut can bring a file back.
    sync_tree(tx, &place::components())?;
    tx.reach(CrashPoint::Doomed)?;
    remove_records(tx, &trees)?;
    let names = if tx.begin.purge {
        [PASSING, DATA].concat()
    } else {
        PASSING.to_vec()
    };
    for name in names {
        clear_away(tx, name.as_ref())?;
    }
    for name in DATA.iter().chain(&["projects"]) {
        remove_empty(tx, &RootPath::new(*name)?)?;
    }
    // The preflight's, of one that was killed.
    for entry in tx.root.dir().list(&RootPath::ROOT)? {
        if entry.raw.to_string_lossy().starts_with(PROBE) {
            clear_away(tx, &entry.raw)?;
        }
    }
    tx.store.sync_dir(&RootPath::ROOT)?;
    close(tx, TxOutcome::Done, None, None)?;
    match remove_empty(tx, &place::staging()) {
        Err(cause) if cause.is_killed() => Err(cause),
        // An empty directory more or less: the transaction is over.
        _ => Ok(done),
    }
}

/// Removes a directory of the launcher with whatever services have put into it; what does not go is told and stays.
fn clear_away(tx: &mut Tx<'_>, name: &OsStr) -> Result<(), Cause> {
    match unless_absent(tx.store.remove_all(&RootPath::ROOT, name)) {
        Err(error) if error.is_killed() => Err(error.into()),
        Err(error) => {
            let name = name.to_string_lossy();
            tx.note(&format!("`{name}` could not be removed: {error}: {}", why(&error)));
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

fn why(error: &StoreError) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The front door goes if it is a copy of a launcher that we installed.
fn remove_front_door(tx: &Tx<'_>, trees: &[ComponentRecord], done: &mut Uninstalled) -> Result<(), Cause> {
    let door = place::front_door();
    let Some((digest, _)) = compose::hash(tx.root.dir(), &door)? else {
        return Ok(());
    };
    for tree in trees.iter().filter(|t| t.id == LAUNCHER) {
        let Ok(index) = tx.root.index(tree) else { continue };
        if index.content(door.name()).is_some_and(|(_, sha256)| *sha256 == digest) {
            tx.store.remove_file(&door)?;
            done.files += 1;
            return Ok(());
        }
    }
    Ok(())
}

/// Removes what the index lists and nobody has changed, then the directories that are empty.
fn remove_listed(tx: &Tx<'_>, tree: &ComponentRecord, done: &mut Uninstalled) -> Result<(), Cause> {
    let top = place::component(&tree.dir);
    let Ok(index) = tx.root.index(tree) else {
        // Without its list nothing can be told apart; what is left is named at the end.
        return Ok(());
    };
    let (root, mut jobs) = (tx.root.dir(), Vec::new());
    for entry in index.entries() {
        let path = top.join(entry.path())?;
        match entry {
            Entry::File { .. } | Entry::Same { .. } => {
                let (size, sha256) = index.content(entry.path()).expect("every file of an index has content");
                let stat = root.stat(&path)?;
                if stat.is_some_and(|s| s.kind == Kind::File && s.len == size) {
                    let sha256 = *sha256;
                    jobs.push(Job { path, sha256, size });
                }
            }
            Entry::Link { target, .. } => {
                let is_link = root.stat(&path)?.is_some_and(|s| s.kind == Kind::Link);
                if is_link && root.read_link(&path)?.as_ref() == Some(target) {
                    tx.store.remove_file(&path)?;
                    done.files += 1;
                }
            }
            Entry::Dir { .. } => {}
        }
    }
    let hashed = hash_all(root, &jobs, tx.env, false)?;
    for (job, _) in jobs.iter().zip(hashed).filter(|(_, h)| *h == Hashed::Same) {
        tx.store.remove_file(&job.path)?;
        done.files += 1;
    }
    for entry in index.entries().iter().rev() {
        if let Entry::Dir { path, .. } = entry {
            remove_empty(tx, &top.join(path)?)?;
        }
    }
    remove_empty(tx, &top)
}

/// Our own documents, by the names that we give.
fn remove_records(tx: &Tx<'_>, trees: &[ComponentRecord]) -> Result<(), Cause> {
    let generations = tx.root.generations()?;
    for pack in generations.iter().flat_map(|g| g.record.manifests()) {
        compose::remove_tree(tx.store, &place::pack_record(&pack.digest))?;
    }
    for tree in trees {
        unless_absent(tx.store.remove_file(&place::component_index(&tree.dir)))?;
    }
    // A generation is what names them, so it goes when they cannot come back.
    tx.steps().sync_names(&place::pack_records())?;
    tx.steps().sync_names(&place::component_records())?;
    for id in tx.root.generation_ids()? {
        // A replacement that was stopped leaves its new file beside the old one.
        for document in [
            place::generation_pin(id),
            place::generation_bad_mark(id),
            place::generation_record(id),
        ] {
            unless_absent(tx.store.remove_file(&compose::beside(&document)))?;
            unless_absent(tx.store.remove_file(&document))?;
        }
        remove_empty(tx, &place::generation(id))?;
    }
    for dir in [
        place::components(),
        place::generations(),
        place::pack_records(),
        place::component_records(),
        RootPath::new("records")?,
    ] {
        remove_empty(tx, &dir)?;
    }
    Ok(())
}

fn sync_tree(tx: &Tx<'_>, dir: &RootPath) -> Result<(), Cause> {
    unless_absent(tx.store.sync_tree(dir))?;
    Ok(())
}

/// Removes a directory if nothing is in it.
fn remove_empty(tx: &Tx<'_>, dir: &RootPath) -> Result<(), Cause> {
    let is_dir = tx.root.dir().stat(dir)?.is_some_and(|s| s.kind == Kind::Dir);
    if is_dir && tx.root.dir().list(dir)?.is_empty() {
        tx.store.remove_dir(dir)?;
    }
    Ok(())
}

/// What is in the root besides `state/`: files and links by path, directories of a person by name.
fn remaining(locked: &LockedRoot, out: &mut Vec<String>) {
    const OURS: [&str; 4] = ["components", "generations", "records", "staging"];
    let root = locked.root().dir();
    let mut todo = vec![RootPath::ROOT];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = root.list(&dir) else {
            out.push(dir.to_string());
            continue;
        };
        for entry in entries {
            let shown = entry.raw.to_string_lossy();
            let path = entry.name.ok().and_then(|name| dir.join(&name).ok());
            let top = path.as_ref().and_then(|p| p.segments().next().map(str::to_owned));
            match path {
                Some(path) if path == place::state() => {}
                Some(path) if entry.kind == Kind::Dir && top.is_some_and(|top| OURS.contains(&&*top)) => {
                    todo.push(path);
                }
                Some(path) => out.push(path.to_string()),
                None if dir.is_root() => out.push(shown.into_owned()),
                None => out.push(format!("{dir}/{shown}")),
            }
        }
    }
}
