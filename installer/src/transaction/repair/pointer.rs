//! Owns what a damaged pointer is judged and rebuilt by: the receipts, which name what became active with each transaction.

use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot, StateError,
    doc::{self, Versioned as _},
    layout::place,
    receipts::{self, Receipt, TxOutcome},
    records::Pointer,
    store::unless_absent,
};

use super::super::error::Cause;

/// What is wrong with the pointer of a root at rest; `None`: nothing.
///
/// A receipt's `to` is what was active at the end of its transaction, and nothing but a transaction changes that. So a pointer that
/// cannot be read, or that names another generation than the newest receipt, is damaged.
pub(in super::super) fn complaint(root: &InstallRoot) -> Result<Option<String>, Cause> {
    let Some(newest) = receipts::newest(root.dir())? else {
        return Ok(None);
    };
    let said = |to: Option<u64>| to.map_or_else(|| "none".to_owned(), |to| to.to_string());
    match root.pointer() {
        Ok(pointer) => {
            let current = pointer.map(|p| p.current);
            Ok((current != newest.to).then(|| {
                let (found, expected) = (said(current), said(newest.to));
                format!("it names generation {found}, the last receipt {expected}")
            }))
        }
        Err(error) if error.is_damage() => Ok(Some(why(&error))),
        Err(error) => Err(error.into()),
    }
}

fn why(error: &StateError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Writes the pointer that the receipts tell of, if the present one is damaged and `dry_run` does not forbid it; gives what was
/// wrong with it.
///
/// Crash: it is one document, the old one or the new one.
pub(super) fn mend(locked: &LockedRoot, dry_run: bool) -> Result<Option<String>, Cause> {
    let (root, store) = locked.parts();
    let Some(what) = complaint(root)? else {
        return Ok(None);
    };
    let history = receipts::history(root.dir())?;
    if dry_run {
        return Ok(Some(what));
    }
    let history: Vec<_> = history.into_iter().map(|(receipt, _)| receipt).collect();
    if let Some(pointer) = rebuilt(root, &history)? {
        doc::replace(store, &place::pointer(), &pointer)?;
    } else {
        unless_absent(store.remove_file(&place::pointer()))?;
        store.sync_dir(&place::state())?;
    }
    store.reach(CrashPoint::Pointed)?;
    Ok(Some(what))
}

/// The pointer after these receipts. Where nobody wrote down that a gate has passed since, it counts as not passed: the next
/// start is the gate.
fn rebuilt(root: &InstallRoot, history: &[Receipt]) -> Result<Option<Pointer>, Cause> {
    let Some(current) = history.last().and_then(|r| r.to) else {
        return Ok(None);
    };
    if root.generation(current)?.is_none() {
        return Err(Cause::NoGeneration(current));
    }
    let made = |r: &&Receipt| {
        let done = matches!(r.outcome, TxOutcome::Done | TxOutcome::Unconfirmed);
        done && r.to == Some(current) && r.from != Some(current)
    };
    let maker = history.iter().rev().find(made);
    let generations = root.generations()?;
    let previous = maker.and_then(|r| r.from);
    let previous = previous.filter(|id| generations.iter().any(|g| g.record.id == *id && g.bad.is_none()));
    Ok(Some(Pointer {
        schema: Pointer::SCHEMA.to_owned(),
        current,
        previous,
        confirmed: maker.is_some_and(|r| r.outcome == TxOutcome::Done),
        txid: maker.or(history.last()).map(|r| r.txid.clone()).unwrap_or_default(),
    }))
}
