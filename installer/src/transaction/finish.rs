//! Owns the end of a transaction as the installer tells it; its steps are [`Steps::close`]'s.

use kojibox_state::{
    receipts::{Receipt, TxOutcome},
    steps::{Ending, Steps},
};

use super::{error::Cause, tx::Tx};

/// Closes the transaction: after it nothing is left to recover.
///
/// Crash: before DONE, recovery decides by the pointer; after it, recovery repeats [`settle`].
pub(super) fn close(
    tx: &mut Tx<'_>,
    outcome: TxOutcome,
    reason: Option<String>,
    to: Option<u64>,
) -> Result<Receipt, Cause> {
    let ending = Ending {
        outcome,
        reason,
        to,
        finished: tx.now(),
    };
    let observer = tx.env.observer;
    let steps = Steps {
        root: tx.root,
        store: tx.store,
        begin: &tx.begin,
    };
    Ok(steps.close(&mut tx.journal, ending, &mut |text| observer.note(&text))?)
}

/// What comes after DONE; can be repeated. A failure of what is only a courtesy is told, and the transaction stays what it is.
pub(super) fn settle(tx: &mut Tx<'_>, receipt: &Receipt) -> Result<(), Cause> {
    let observer = tx.env.observer;
    let steps = Steps {
        root: tx.root,
        store: tx.store,
        begin: &tx.begin,
    };
    Ok(steps.settle(&mut tx.journal, receipt, &mut |text| observer.note(&text))?)
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
