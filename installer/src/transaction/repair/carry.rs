//! Owns the end of a repair: what lies in the mirror takes its place. Carried on after a stop, never undone.
//!
//! Every step looks before it acts. The mirror says what is left to do: what has its place is not in it any more. What is
//! in the way (a directory where a file belongs, something else where a directory belongs) goes to `backups/<txid>`, and
//! so do things that are not part of a tree, if that was asked for: they may be a person's, so nothing is deleted. What can
//! neither be replaced nor moved (a mount point, a file of another user) stays, and the repair goes on without it: a
//! transaction that is only carried on must come to an end.

use std::collections::BTreeSet;

use kojibox_state::{
    CrashPoint, RootPath, StoreError,
    layout::place,
    receipts::TxOutcome,
    steps::Aside,
    store::{Kind, compose},
};

use super::super::{
    error::Cause,
    finish::close,
    tx::Tx,
    verify::{FindingKind, look_at, trees_of},
};
use crate::plan::Phase;

/// How a repair was carried out; paths in the root.
pub(in super::super) struct Carried {
    /// Moved to `backups/`.
    pub(super) moved: Vec<String>,
    /// What could not get its place.
    pub(in super::super) skipped: Vec<RootPath>,
}

/// Puts everything in its place.
///
/// Crash: each thing is what it was or what was signed; the rest of the mirror tells the next attempt what to do.
pub(in super::super) fn complete(tx: &mut Tx<'_>) -> Result<Carried, Cause> {
    let top = super::mirror(tx)?;
    let steps = walk(tx, &top)?;
    tx.env.observer.phase(Phase::Publish, Some(steps.len() as u64));
    let (mut aside, mut skipped) = (Aside::default(), Vec::new());
    let (dirs, others): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.kind == Kind::Dir);
    for step in &dirs {
        let done = make_dir(tx, step, &mut aside);
        unless_obstructed(tx, step, done, &mut skipped)?;
        tx.env.observer.add(1);
    }
    // A directory must be certain to be there before the only copy of anything is moved into it.
    let touched: BTreeSet<RootPath> = dirs.iter().map(|s| s.place.clone()).chain([RootPath::ROOT]).collect();
    for dir in &touched {
        tx.steps().sync_names(dir)?;
    }
    for step in &others {
        let done = put(tx, step, &mut aside);
        unless_obstructed(tx, step, done, &mut skipped)?;
        tx.env.observer.add(1);
    }
    if tx.begin.extra_aside {
        extra_aside(tx, &mut aside)?;
    }
    for dir in &touched {
        tx.steps().sync_names(dir)?;
    }
    let moved = aside.settle(&tx.steps())?;
    tx.reach(CrashPoint::Repaired)?;
    for path in &moved {
        let backup = place::backup(tx.begin.txid());
        tx.record(&format!("`{path}` was moved to `{backup}`"));
    }
    let active = tx.active();
    close(tx, TxOutcome::Done, None, active)?;
    Ok(Carried { moved, skipped })
}

/// Goes on without what cannot get its place; every other failure ends this attempt.
fn unless_obstructed(
    tx: &mut Tx<'_>,
    step: &Step,
    done: Result<(), Cause>,
    skipped: &mut Vec<RootPath>,
) -> Result<(), Cause> {
    match done {
        Err(Cause::State(error)) if error.store().is_some_and(stays) => {
            let why = std::error::Error::source(&error)
                .map(|s| format!(": {s}"))
                .unwrap_or_default();
            tx.note(&format!("`{}` was not repaired: {error}{why}", step.place));
            skipped.push(step.place.clone());
            Ok(())
        }
        done => done,
    }
}

/// One thing of the mirror.
struct Step {
    /// Where it lies.
    staged: RootPath,
    /// Where it belongs.
    place: RootPath,
    kind: Kind,
}

/// The mirror from the top down, so that a directory comes before what is in it.
fn walk(tx: &Tx<'_>, top: &RootPath) -> Result<Vec<Step>, Cause> {
    let (mut steps, mut todo) = (Vec::new(), vec![(top.clone(), RootPath::ROOT)]);
    while let Some((dir, place)) = todo.pop() {
        for entry in tx.root.dir().list(&dir)? {
            let name = entry.name.unwrap_or_else(|lossy| lossy);
            let (staged, place) = (dir.join(&name)?, place.join(&name)?);
            if entry.kind == Kind::Dir {
                todo.push((staged.clone(), place.clone()));
            }
            steps.push(Step {
                staged,
                place,
                kind: entry.kind,
            });
        }
    }
    Ok(steps)
}

fn make_dir(tx: &Tx<'_>, step: &Step, aside: &mut Aside) -> Result<(), Cause> {
    match tx.root.dir().stat(&step.place)? {
        Some(stat) if stat.kind == Kind::Dir => return Ok(()),
        Some(_) => aside.take(&tx.steps(), &step.place)?,
        None => {}
    }
    Ok(tx.store.create_dir(&step.place)?)
}

/// Gives a file or a link its place in one step.
fn put(tx: &Tx<'_>, step: &Step, aside: &mut Aside) -> Result<(), Cause> {
    let there = tx.root.dir().stat(&step.place)?;
    if there.is_some_and(|s| !matches!(s.kind, Kind::File | Kind::Link)) {
        aside.take(&tx.steps(), &step.place)?;
    }
    let program = tx
        .root
        .dir()
        .stat(&step.staged)?
        .is_some_and(|s| s.executable != Some(false));
    if step.kind == Kind::File && program {
        let old = tx.staged("dead")?;
        compose::create_dirs(tx.store, &old)?;
        // An attempt that was stopped may have left one there that still runs.
        let mut names = (0..).map(|n: u32| old.join(&n.to_string()));
        let old = loop {
            let old = names.next().expect("names without end")?;
            if !tx.root.dir().exists(&old)? {
                break old;
            }
        };
        return Ok(tx.store.replace_program(&step.staged, &step.place, &old)?);
    }
    Ok(tx.store.replace(&step.staged, &step.place)?)
}

/// Moves what is in the trees and not part of them.
fn extra_aside(tx: &mut Tx<'_>, aside: &mut Aside) -> Result<(), Cause> {
    let records: Vec<_> = tx.root.generations()?.into_iter().map(|g| g.record).collect();
    for tree in trees_of(&records) {
        // What a tree should hold is not known without its list.
        let Ok(index) = tx.root.index(tree) else { continue };
        let findings = look_at(tx.root, tree, &index)?.findings;
        for extra in findings.iter().filter(|f| f.kind == FindingKind::Extra) {
            let Ok(path) = place::component(&tree.dir).join(&extra.path) else {
                continue;
            };
            match aside.take(&tx.steps(), &path) {
                Err(error) if error.store().is_some_and(stays) => {
                    tx.note(&format!("`{path}` could not be moved: {error}"));
                }
                done => done?,
            }
        }
    }
    Ok(())
}

/// A thing that cannot be moved stays: another volume, another user's, a mount point, what lies under such a thing, or a name
/// that the file system gives in another form. A full or a failing disk is no such thing.
fn stays(error: &StoreError) -> bool {
    use std::io::ErrorKind::{CrossesDevices, IsADirectory, NotADirectory, NotFound, PermissionDenied, ResourceBusy};
    matches!(
        error.kind(),
        Some(CrossesDevices | IsADirectory | NotADirectory | NotFound | PermissionDenied | ResourceBusy)
    )
}
