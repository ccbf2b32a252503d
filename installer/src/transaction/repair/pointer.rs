//! Owns what a damaged pointer is judged and rebuilt by: the receipts, which name what became active with each transaction.

use kojibox_state::{
    CrashPoint, Generation, InstallRoot, LockedRoot, StateError, Store,
    doc::{self, Versioned as _},
    layout::place,
    receipts::{self, Receipt, TxOutcome},
    records::Pointer,
    store::unless_absent,
};

use super::super::error::Cause;

/// What is wrong with the pointer of a root at rest; `None`: nothing, or nothing that can be judged.
///
/// A receipt's `to` is what was active at the end of its transaction, and nothing but a transaction changes that. So a pointer that
/// cannot be read, or that names another generation than the newest receipt, is damaged. Where the newest receipt itself is
/// missing or damaged, of which `history` tells, a pointer that can be read counts.
pub(in super::super) fn complaint(root: &InstallRoot) -> Result<Option<String>, Cause> {
    let pointer = match root.pointer() {
        Err(error) if error.is_damage() => return Ok(Some(why(&error))),
        pointer => pointer?,
    };
    let Some(newest) = receipts::readable(root.dir())?.pop() else {
        return Ok(None);
    };
    let named = pointer.iter().map(|p| p.txid.clone());
    let mut known = receipts::txids(root.dir())?.into_iter().chain(named);
    if known.any(|txid| receipts::number_of(&txid) > receipts::number_of(&newest.txid)) {
        return Ok(None);
    }
    let current = pointer.map(|p| p.current);
    let said = |to: Option<u64>| to.map_or_else(|| "none".to_owned(), |to| to.to_string());
    Ok((current != newest.to).then(|| {
        let (found, expected) = (said(current), said(newest.to));
        format!("it names generation {found}, the last receipt {expected}")
    }))
}

fn why(error: &StateError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Writes the pointer that the receipts tell of, if the present one is damaged and `dry_run` does not forbid it; gives what was
/// wrong with it.
pub(super) fn mend(locked: &LockedRoot, dry_run: bool) -> Result<Option<String>, Cause> {
    let Some(what) = complaint(locked.root())? else {
        return Ok(None);
    };
    let pointer = rebuilt(locked.root())?;
    if !dry_run {
        write(locked.store(), pointer.as_ref())?;
    }
    Ok(Some(what))
}

/// The same whatever the journal says, if the pointer cannot be read.
pub(in super::super) fn mend_unreadable(locked: &LockedRoot) -> Result<(), Cause> {
    match locked.root().pointer() {
        Err(error) if error.is_damage() => write(locked.store(), rebuilt(locked.root())?.as_ref()),
        pointer => Ok(pointer.map(drop)?),
    }
}

/// Writes a pointer in place of one that is damaged.
///
/// Crash: it is one document, the old one or the new one.
pub(in super::super) fn write(store: &dyn Store, pointer: Option<&Pointer>) -> Result<(), Cause> {
    if let Some(pointer) = pointer {
        doc::replace(store, &place::pointer(), pointer)?;
    } else {
        unless_absent(store.remove_file(&place::pointer()))?;
        store.sync_dir(&place::state())?;
    }
    Ok(store.reach(CrashPoint::Pointed)?)
}

/// The pointer after these receipts. Where nobody wrote down that a gate has passed since, it counts as not passed: the next
/// start is the gate.
fn rebuilt(root: &InstallRoot) -> Result<Option<Pointer>, Cause> {
    let (history, generations) = (receipts::readable(root.dir())?, root.generations()?);
    let good = || generations.iter().filter(|g| g.bad.is_none());
    let newest = history.last();
    // A good generation whose receipt is lost: an undone one is gone, and one that was returned from has a mark.
    let later =
        |g: &&Generation| receipts::number_of(&g.record.txid) > newest.and_then(|r| receipts::number_of(&r.txid));
    let lost = good().filter(later).max_by_key(|g| receipts::number_of(&g.record.txid));
    let pointer = |current, previous: Option<u64>, confirmed, txid: &str| Pointer {
        schema: Pointer::SCHEMA.to_owned(),
        current,
        previous: previous.filter(|id| *id != current && good().any(|g| g.record.id == *id)),
        confirmed,
        txid: txid.to_owned(),
    };
    if let Some(lost) = lost {
        let previous = newest.and_then(|r| r.to);
        return Ok(Some(pointer(lost.record.id, previous, false, &lost.record.txid)));
    }
    let Some(current) = newest.and_then(|r| r.to) else {
        return Ok(None);
    };
    if !root.generation_ids()?.contains(&current) {
        return Err(Cause::NoGeneration(current));
    }
    let made = |r: &&Receipt| {
        let done = matches!(r.outcome, TxOutcome::Done | TxOutcome::Unconfirmed);
        done && r.to == Some(current) && r.from != Some(current)
    };
    let maker = history.iter().rev().find(made);
    let txid = maker.or(newest).map_or("", |r| &r.txid);
    let confirmed = maker.is_some_and(|r| r.outcome == TxOutcome::Done);
    Ok(Some(pointer(current, maker.and_then(|r| r.from), confirmed, txid)))
}
