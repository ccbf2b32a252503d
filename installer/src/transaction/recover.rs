//! Owns `recover`: what the journal of an interrupted transaction asks for, however often it is asked.

use kojibox_state::{
    InstallRoot, LockedRoot, StateError,
    journal::{Found, Journal, Record, TxKind},
    layout::place,
    receipts::{self, TxOutcome},
};

use super::{
    activate::complete_return,
    error::{Cause, Situation, TxError},
    finish::{close, settle},
    prune, repair, room,
    tx::Tx,
    uninstall,
};
use crate::plan::{Env, Phase};

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The interrupted transaction.
    pub txid: Option<String>,
    /// What was done.
    pub how: RecoveredHow,
    /// Bytes of staged files that the next attempt verifies again and goes on from.
    pub kept: u64,
    /// The services were stopped by the interrupted transaction; nobody has started them since.
    pub stopped: bool,
}

/// What recovery did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveredHow {
    /// There was nothing to do.
    Nothing,
    /// It had not been committed: undone, the old generation is active.
    Undone,
    /// It had been committed and its gate had passed: closed.
    Confirmed,
    /// It had been committed: its generation is active, and the next start runs its gate.
    Unconfirmed,
    /// Its gate had failed: the return is complete.
    Returned,
    /// It was over but for its receipt or its front door.
    Closed,
    /// A removal (prune, uninstall) is complete.
    Removed,
    /// A repair is complete.
    Repaired,
}

/// Finishes or undoes what the journal tells of. Starts no services: the machine may have been off for a month.
///
/// # Errors
/// A file system that still refuses leaves the journal as it is; recovery can be repeated.
pub fn recover(locked: &mut LockedRoot, env: &Env<'_>) -> Result<Recovered, TxError> {
    recover_found(locked, env).map_err(|cause| {
        let active = locked.root().pointer().ok().flatten().map(|p| p.current);
        TxError::new(cause, Situation::Interrupted { active, down: false })
    })
}

/// Sets a journal aside that is damaged in its middle, which no interruption does, and writes a receipt for that; also the receipt
/// of an attempt that was stopped before it. False if there is nothing to do.
///
/// # Errors
/// Whatever the file system refuses; it can be repeated.
pub fn set_journal_aside(locked: &LockedRoot, command: &str, env: &Env<'_>) -> Result<bool, TxError> {
    let active = || locked.root().pointer().ok().flatten().map(|p| p.current);
    let untouched = |cause: Cause| TxError::new(cause, Situation::Untouched { active: active() });
    let damaged = match locked.root().journal() {
        Ok(found) if found.is_clean() => false,
        Ok(_) => return Ok(false),
        Err(StateError::Journal { .. }) => true,
        Err(error) => return Err(untouched(error.into())),
    };
    // What the end needs is read before anything is changed.
    let lost = Lost::find(locked.root()).map_err(untouched)?;
    if !damaged && lost.is_nothing() {
        return Ok(false);
    }
    if damaged {
        locked.set_journal_aside().map_err(|error| untouched(error.into()))?;
    }
    let mut tx = Tx::new(locked, env, TxKind::Prune, command).map_err(untouched)?;
    tx.begin.draft.txid = lost.txid;
    tx.begin.doomed.generations = lost.published;
    tx.note("the damaged journal was moved to `backups`; what it told of was neither finished nor undone");
    tx.begin()?;
    prune::complete(&mut tx).map_err(|cause| tx.interrupted(cause, false))?;
    Ok(true)
}

/// What a transaction has left whose journal is lost: generations without a receipt.
struct Lost {
    /// Under which its end is recorded: its own id if it had activated a generation.
    txid: String,
    /// It had activated one.
    activated: bool,
    /// Those that it had published and not activated.
    published: Vec<u64>,
}

impl Lost {
    fn find(root: &InstallRoot) -> Result<Self, Cause> {
        let history = receipts::history(root.dir())?;
        let known = |txid: &str| history.iter().any(|(receipt, _)| receipt.txid == txid);
        let current = root.pointer()?.map(|p| p.current);
        let generations = root.generations()?;
        let (mut own, mut published) = (None, Vec::new());
        for record in generations.iter().map(|g| &g.record).filter(|r| !known(&r.txid)) {
            if Some(record.id) == current {
                own = Some(record.txid.clone());
            } else {
                published.push(record.id);
            }
        }
        let ids = generations.iter().map(|g| g.record.txid.as_str());
        let newest = ids.max_by_key(|txid| receipts::number_of(txid));
        Ok(Self {
            activated: own.is_some(),
            txid: own.map_or_else(|| receipts::next_txid(root.dir(), newest), Ok)?,
            published,
        })
    }

    fn is_nothing(&self) -> bool {
        !self.activated && self.published.is_empty()
    }
}

fn recover_found(locked: &LockedRoot, env: &Env<'_>) -> Result<Recovered, Cause> {
    let found = locked.root().journal()?;
    let nothing = Recovered {
        txid: None,
        how: RecoveredHow::Nothing,
        kept: 0,
        stopped: false,
    };
    if found.is_clean() {
        return Ok(nothing);
    }
    if found.records.is_empty() {
        // A torn BEGIN: its transaction has touched nothing yet.
        Journal::open(locked.store(), &found).clear()?;
        return Ok(nothing);
    }
    let begin = found.begin().cloned().ok_or_else(|| StateError::Journal {
        path: locked.root().layout().journal(),
        offset: 0,
    })?;
    env.observer.phase(Phase::Recover, None);
    // What was seen to be so must be so after a power cut too, before anything is built on it.
    locked.store().sync_tree(&place::state())?;
    let mut tx = Tx::resume(locked, env, &found, begin);
    let how = match continue_tx(&mut tx, &found) {
        // What is kept for a next attempt is worth less than an end of this one.
        Err(cause) if cause.is_no_space() => {
            room::release(&tx)?;
            let found = locked.root().journal()?;
            continue_tx(&mut tx, &found)?
        }
        how => how?,
    };
    let resumable = how == RecoveredHow::Undone && matches!(tx.begin.kind(), TxKind::Install | TxKind::Update);
    let kept = if resumable { room::staged_bytes(&tx)? } else { 0 };
    Ok(Recovered {
        txid: Some(tx.begin.txid().to_owned()),
        how,
        kept,
        stopped: found.records.contains(&Record::Stopped),
    })
}

fn continue_tx(tx: &mut Tx<'_>, found: &Found) -> Result<RecoveredHow, Cause> {
    if let Some(Record::Done { receipt }) = found.records.last() {
        settle(tx, receipt)?;
        return Ok(RecoveredHow::Closed);
    }
    let decided = found.records.iter().find(|r| matches!(r, Record::Return { .. }));
    if let Some(decided) = decided {
        complete_return(tx, decided, false)?;
        return Ok(RecoveredHow::Returned);
    }
    match tx.begin.kind() {
        TxKind::Prune => prune::complete(tx).map(|_| RecoveredHow::Removed),
        TxKind::Uninstall => uninstall::complete(tx).map(|_| RecoveredHow::Removed),
        TxKind::Repair if found.records.contains(&Record::Staged) => {
            repair::complete(tx).map(|_| RecoveredHow::Repaired)
        }
        TxKind::Install | TxKind::Update | TxKind::Rollback | TxKind::Repair => settle_activation(tx),
    }
}

/// The pointer decides: it was replaced, or it was not.
fn settle_activation(tx: &mut Tx<'_>) -> Result<RecoveredHow, Cause> {
    let pointer = tx.root.pointer()?;
    let ours = pointer.as_ref().filter(|p| p.txid == tx.begin.txid());
    let Some(pointer) = ours else {
        tx.steps().undo()?;
        let active = tx.active();
        close(tx, TxOutcome::Undone, Some("interrupted".to_owned()), active)?;
        return Ok(RecoveredHow::Undone);
    };
    let (outcome, how) = if pointer.confirmed {
        (TxOutcome::Done, RecoveredHow::Confirmed)
    } else {
        (TxOutcome::Unconfirmed, RecoveredHow::Unconfirmed)
    };
    close(tx, outcome, None, Some(pointer.current))?;
    Ok(how)
}
