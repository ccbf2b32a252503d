//! Owns the staging of component trees: what is there already, what installed trees can give, then the medium.

use kojibox_packs::{
    Progress,
    index::Index,
    manifest::Component,
    read::{ExtractOptions, ExtractReport, ReadError, TreeSink, bytes_needed, extract, read_index},
    source::BlobSource,
};
use kojibox_signing::Verified;
use kojibox_state::{
    CrashPoint, RootPath, layout::place, receipts::ReceiptVerdict, records::ComponentRecord, store::compose,
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

/// Makes the staging directory; trees of interrupted attempts that are wanted move into it, the rest is removed.
pub(super) fn sweep_staging(tx: &mut Tx<'_>, trees: &[NewTree<'_>]) -> Result<(), Cause> {
    let ours = tx.staged("trees")?;
    compose::create_dirs(tx.store, &ours)?;
    for entry in tx.root.dir().list(&place::staging())? {
        let Some(old) = entry.name.ok().and_then(|name| place::staging().join(&name).ok()) else {
            tx.store.remove_all(&place::staging(), &entry.raw)?;
            continue;
        };
        if old == tx.staging() {
            continue;
        }
        for tree in trees {
            let (from, to) = (old.join("trees")?.join(&tree.record.dir)?, ours.join(&tree.record.dir)?);
            if tx.root.dir().exists(&from)? && !tx.root.dir().exists(&to)? {
                tx.store.rename(&from, &to)?;
            }
        }
        match compose::remove_tree(tx.store, &old) {
            Err(error) if !error.is_killed() => tx.note(&format!("could not remove `{old}`: {error}")),
            done => drop(done?),
        }
    }
    Ok(())
}

/// Brings all trees and their indexes into staging. Nothing of them is durable yet.
///
/// What is there already is looked at first, so that a person can be told how much is left to read. A medium that lacks
/// the index of a tree ends this only after everything before it was read: it may be on another stick.
pub(super) fn stage_trees(tx: &mut Tx<'_>, trees: &[NewTree<'_>]) -> Result<(), Cause> {
    let (mut prepared, mut late) = (Vec::new(), Ok(()));
    for tree in trees {
        match prepare(tx, tree) {
            Ok(ready) => prepared.push(ready),
            Err(cause @ Cause::Read { .. }) => {
                late = Err(cause);
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
        read_tree(tx, &ready)?;
    }
    late
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

fn unread(tree: &NewTree<'_>, error: ReadError) -> Cause {
    Cause::Read {
        component: tree.record.id.clone(),
        source: Box::new(error),
    }
}

fn prepare<'p>(tx: &Tx<'_>, tree: &'p NewTree<'p>) -> Result<Prepared<'p>, Cause> {
    tx.check_cancel()?;
    let index = read_index(tree.source, tree.component).map_err(|e| unread(tree, e))?;
    let top = tx.staged("trees")?.join(&tree.record.dir)?;
    let placed = place(tx, &index, &top, &tree.donors)?;
    Ok(Prepared {
        tree,
        index,
        top,
        placed,
    })
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
            (Err(_), None) if tx.check_cancel().is_err() => return Err(Cause::Cancelled),
            (Err(error), None) => return Err(unread(tree, error)),
            (Ok(report), None) => report,
        }
    };
    count(tx, placed, report.bytes_read);
    tell_repaired(tx, &tree.component.blob.name, report.repaired);
    tx.steps().stage_index(&tree.index_name(), index.bytes())?;
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
fn tell_repaired(tx: &mut Tx<'_>, blob: &str, blocks: u64) {
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
