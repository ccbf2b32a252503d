//! Owns the staging of component trees: what is there already, what installed trees can give, then the medium.

use kojibox_packs::{
    Kind, Progress,
    index::Index,
    manifest::Component,
    read::{ExtractOptions, ExtractReport, ReadError, TreeSink, bytes_needed, extract, index_from_bytes, read_index},
    source::{BlobSource, SourceError},
};
use kojibox_signing::Verified;
use kojibox_state::{
    CrashPoint, RootPath,
    layout::place,
    receipts::ReceiptVerdict,
    records::ComponentRecord,
    store::{FileMode, compose},
};

use super::{
    error::Cause,
    place_tree::{Placed, place},
    sink::StagingSink,
    tx::Tx,
};
use crate::plan::{Observer, Phase};

/// A tree that is not installed yet.
pub(super) struct NewTree<'p> {
    pub(super) record: ComponentRecord,
    pub(super) component: &'p Component,
    pub(super) source: &'p dyn BlobSource,
    /// Installed trees whose files may be taken.
    pub(super) donors: Vec<ComponentRecord>,
}

impl NewTree<'_> {
    /// File name of its recorded index.
    pub(super) fn index_name(&self) -> String {
        place::index_name(&self.record.dir)
    }
}

/// Makes the staging directory; trees and indexes of interrupted attempts that are wanted move into it, the rest is removed.
pub(super) fn sweep_staging(tx: &mut Tx<'_>, trees: &[NewTree<'_>]) -> Result<(), Cause> {
    let (ours, indexes) = (tx.staged("trees")?, tx.staged("indexes")?);
    compose::create_dirs(tx.store, &ours)?;
    compose::create_dirs(tx.store, &indexes)?;
    for entry in tx.root.dir().list(&place::staging())? {
        let Some(old) = entry.name.ok().and_then(|name| place::staging().join(&name).ok()) else {
            tx.store.remove_all(&place::staging(), &entry.raw)?;
            continue;
        };
        if old == tx.staging() {
            continue;
        }
        for tree in trees {
            take_over(
                tx,
                &old.join("trees")?.join(&tree.record.dir)?,
                &ours.join(&tree.record.dir)?,
            )?;
            let name = tree.index_name();
            take_over(tx, &old.join("indexes")?.join(&name)?, &indexes.join(&name)?)?;
        }
        match compose::remove_tree(tx.store, &old) {
            Err(error) if !error.is_killed() => tx.note(&format!("could not remove `{old}`: {error}")),
            done => drop(done?),
        }
    }
    Ok(())
}

/// Moves what an interrupted attempt left, unless it is there already.
fn take_over(tx: &Tx<'_>, from: &RootPath, to: &RootPath) -> Result<(), Cause> {
    if tx.root.dir().exists(from)? && !tx.root.dir().exists(to)? {
        tx.store.rename(from, to)?;
    }
    Ok(())
}

/// Brings all trees and their indexes into staging. Nothing of them is durable yet.
///
/// What is there already is looked at first, so that a person can be told how much is left to read. A medium that lacks
/// something ends this only after everything that it has was read: the rest may be on another stick, which may have to take its place.
pub(super) fn stage_trees(tx: &mut Tx<'_>, trees: &[NewTree<'_>]) -> Result<(), Cause> {
    let (mut prepared, mut late) = (Vec::new(), None);
    for tree in trees {
        match prepare(tx, tree) {
            Ok(ready) => prepared.push(ready),
            Err(cause) if lacks_medium(&cause) => drop(late.get_or_insert(cause)),
            Err(cause @ Cause::Read { .. }) => {
                late = Some(cause);
                break;
            }
            Err(cause) => return Err(cause),
        }
    }
    let kept = prepared.iter().map(|p| p.placed.resumed).sum();
    if kept > 0 {
        let to_read = prepared.iter().map(|p| p.needed(tx)).sum();
        tx.env.observer.resumed(kept, to_read);
    }
    let total = trees.iter().map(|t| t.component.blob.size).sum();
    tx.env.observer.phase(Phase::Stage, Some(total));
    for ready in prepared {
        match read_tree(tx, &ready) {
            Err(cause) if lacks_medium(&cause) => drop(late.get_or_insert(cause)),
            done => done?,
        }
    }
    late.map_or(Ok(()), Err)
}

/// True if another medium may help: a file is not there, or is not there any more after a read of it failed.
fn lacks_medium(cause: &Cause) -> bool {
    let Cause::Read { source, .. } = cause else {
        return false;
    };
    match &**source {
        ReadError::Io { path, .. } | ReadError::Source(SourceError::Io { path, .. }) => !path.exists(),
        error => error.kind() == Kind::MediumMissing,
    }
}

/// A tree as far as it goes without the medium.
struct Prepared<'p> {
    tree: &'p NewTree<'p>,
    index: Verified<Index>,
    top: RootPath,
    placed: Placed,
}

impl Prepared<'_> {
    /// Bytes of the medium that are left to read.
    fn needed(&self, tx: &Tx<'_>) -> u64 {
        bytes_needed(&self.index, &StagingSink::new(tx.store, &self.top, &self.placed))
    }
}

fn unread(tx: &Tx<'_>, tree: &NewTree<'_>, error: ReadError) -> Cause {
    if let Err(cancelled) = tx.check_cancel() {
        return cancelled;
    }
    Cause::Read {
        component: tree.record.id.clone(),
        source: Box::new(error),
    }
}

fn prepare<'p>(tx: &Tx<'_>, tree: &'p NewTree<'p>) -> Result<Prepared<'p>, Cause> {
    tx.check_cancel()?;
    let index = take_index(tx, tree)?;
    let top = tx.staged("trees")?.join(&tree.record.dir)?;
    let placed = place(tx, &index, &top, &tree.donors)?;
    Ok(Prepared {
        tree,
        index,
        top,
        placed,
    })
}

/// The index of a tree: as an interrupted attempt left it, else from the medium. It lies in staging afterwards, so that a next
/// attempt can go on while another stick is in the same port.
fn take_index(tx: &Tx<'_>, tree: &NewTree<'_>) -> Result<Verified<Index>, Cause> {
    let place = tx.staged("indexes")?.join(&tree.index_name())?;
    if let Some(stat) = tx.root.dir().stat(&place)? {
        let size = tree.component.index.size;
        let kept = if stat.len == size {
            tx.root.dir().read(&place, size).ok().flatten()
        } else {
            None
        };
        if let Some(Ok(index)) = kept.map(|bytes| index_from_bytes(bytes, tree.component)) {
            // A stop between the last byte and the mode leaves a whole file that is still private.
            tx.store.set_mode(&place, FileMode::ReadOnly)?;
            return Ok(index);
        }
        compose::remove_tree(tx.store, &place)?;
    }
    let index = read_index(tree.source, tree.component).map_err(|e| unread(tx, tree, e))?;
    tx.steps().stage_index(&tree.index_name(), index.bytes())?;
    Ok(index)
}

/// Reads what is lacking of one tree.
fn read_tree(tx: &mut Tx<'_>, ready: &Prepared<'_>) -> Result<(), Cause> {
    tx.check_cancel()?;
    let Prepared {
        tree,
        index,
        top,
        placed,
    } = ready;
    let report = {
        let mut sink = StagingSink::new(tx.store, top, placed);
        let done = read_into(tx, tree.source, tree.component, index, &mut sink);
        match (done, sink.into_failure()) {
            (_, Some(error)) => return Err(error),
            (Err(error), None) => return Err(unread(tx, tree, error)),
            (Ok(report), None) => report,
        }
    };
    count(tx, placed, report.bytes_read);
    tell_repaired(tx, &tree.component.blob.name, report.repaired);
    Ok(tx.reach(CrashPoint::TreeStaged)?)
}

/// Reads a blob into `sink` with all workers, watched by the observer.
pub(super) fn read_into(
    tx: &Tx<'_>,
    source: &dyn BlobSource,
    component: &Component,
    index: &Index,
    sink: &mut dyn TreeSink,
) -> Result<ExtractReport, ReadError> {
    let options = ExtractOptions {
        threads: tx.env.threads,
        ..ExtractOptions::default()
    };
    let counted = Counted(tx.env.observer);
    extract(source, component, index, &options, sink, &counted, tx.env.cancel)
}

fn count(tx: &mut Tx<'_>, placed: &Placed, read: u64) {
    let bytes = &mut tx.begin.draft.bytes;
    bytes.read += read;
    bytes.resumed += placed.resumed;
    bytes.reused += placed.reused;
}

/// A medium that had to be repaired is failing: the person should know, and the receipt.
pub(super) fn tell_repaired(tx: &mut Tx<'_>, blob: &str, blocks: u64) {
    let what = match blocks {
        0 => return,
        1 => "one block".to_owned(),
        n => format!("{n} blocks"),
    };
    let detail = format!("repaired {what} of blob `{blob}` from parity; the medium is failing, copy it");
    tx.env.observer.note(&detail);
    tx.begin.draft.verdicts.push(ReceiptVerdict {
        check: "medium".to_owned(),
        outcome: "warned".to_owned(),
        detail,
    });
}

struct Counted<'a>(&'a dyn Observer);

impl Progress for Counted<'_> {
    fn add(&self, bytes: u64) {
        self.0.add(bytes);
    }
}
