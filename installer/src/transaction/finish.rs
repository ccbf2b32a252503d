//! Owns the end of a transaction: floors, DONE with the receipt, its file, the front door, an empty journal.

use kojibox_state::{
    CrashPoint,
    journal::{Record, TxKind},
    layout::place,
    receipts::{self, Receipt, TxOutcome},
    store::compose,
    trust,
};

use super::{error::Cause, front_door, tx::Tx, undo::sync_names};

/// Closes the transaction: after it nothing is left to recover.
///
/// Crash: before DONE, recovery decides by the pointer; after it, recovery repeats [`settle`].
pub(super) fn close(
    tx: &mut Tx<'_>,
    outcome: TxOutcome,
    reason: Option<String>,
    to: Option<u64>,
) -> Result<Receipt, Cause> {
    if matches!(outcome, TxOutcome::Done | TxOutcome::Unconfirmed)
        && let Some(floors) = &tx.begin.floors
    {
        trust::raise(tx.store, floors)?;
    }
    let receipt = Receipt {
        outcome,
        reason,
        to,
        finished: tx.now(),
        previous: receipts::last_link(tx.root.dir())?,
        ..tx.begin.draft.clone()
    };
    tx.journal.append(&Record::Done {
        receipt: Box::new(receipt.clone()),
    })?;
    tx.reach(CrashPoint::Done)?;
    settle(tx, &receipt)?;
    Ok(receipt)
}

/// What comes after DONE; can be repeated.
pub(super) fn settle(tx: &mut Tx<'_>, receipt: &Receipt) -> Result<(), Cause> {
    receipts::publish(tx.store, receipt)?;
    tx.reach(CrashPoint::Receipted)?;
    courteously(tx, "could not refresh the front door", front_door::refresh(tx))?;
    let resumable = matches!(receipt.kind, TxKind::Install | TxKind::Update) && receipt.outcome == TxOutcome::Undone;
    if !resumable {
        let what = "could not empty the staging directory; the next transaction tries again";
        courteously(tx, what, empty_staging(tx))?;
    }
    let cleared = tx.journal.clear().map_err(Cause::from);
    courteously(tx, "could not empty the journal; the next command does it", cleared)
}

/// Removes this transaction's staging directory, so that it does not come back with a power cut.
fn empty_staging(tx: &Tx<'_>) -> Result<(), Cause> {
    compose::remove_tree(tx.store, &tx.staging())?;
    sync_names(tx, &place::staging())
}

/// A failure here is told, but the transaction is over and stays what it is.
fn courteously(tx: &Tx<'_>, what: &str, result: Result<(), Cause>) -> Result<(), Cause> {
    match result {
        Err(cause) if cause.is_killed() => Err(cause),
        Err(cause) => {
            let why = std::error::Error::source(&cause)
                .map(|s| format!(": {s}"))
                .unwrap_or_default();
            tx.env.observer.note(&format!("{what}: {cause}{why}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Why a transaction ended, as a receipt says it.
pub(super) fn reason(cause: &Cause) -> String {
    let mut out = cause.to_string();
    let mut source = std::error::Error::source(cause);
    while let Some(error) = source {
        out.push_str(": ");
        out.push_str(&error.to_string());
        source = error.source();
    }
    out
}
