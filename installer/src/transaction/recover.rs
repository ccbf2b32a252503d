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
    /// A repair is over, but not everything could get its place; what could not was noted.
    RepairedInPart,
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
    let before = aside(locked.root()).map_err(untouched)?;
    if !damaged && before.is_none() {
        return Ok(false);
    }
    // What the end needs is read before anything is moved, but a pointer that cannot be read is nobody's.
    repair::mend_pointer(locked).map_err(untouched)?;
    let lost = Lost::find(locked.root()).map_err(untouched)?;
    let moved = match before {
        Some(path) if !damaged => path,
        _ => locked
            .set_journal_aside()
            .map_err(|error| untouched(error.into()))?
            .to_string(),
    };
    let half_done = |cause: Cause| TxError::new(cause, Situation::Aside { active: active() });
    let mut tx = Tx::new(locked, env, TxKind::Prune, command).map_err(half_done)?;
    tx.begin.draft.txid = lost.txid;
    tx.begin.doomed.generations = lost.published;
    tx.note(&moved_to(&moved));
    tx.begin()?;
    prune::complete(&mut tx).map_err(|cause| tx.interrupted(cause, false))?;
    Ok(true)
}

fn moved_to(path: &str) -> String {
    format!("the damaged journal was moved to `{path}`; what it told of was neither finished nor undone")
}

/// A journal that was set aside, by an attempt that was stopped before it could record that.
fn aside(root: &InstallRoot) -> Result<Option<String>, Cause> {
    let recorded: Vec<String> = receipts::readable(root.dir())?
        .into_iter()
        .flat_map(|r| r.notes)
        .collect();
    let mut there = root.journals_aside()?.into_iter().map(|path| path.to_string());
    Ok(there.rfind(|path| !recorded.contains(&moved_to(path))))
}

/// What a transaction has left whose journal is lost: generations without a receipt.
struct Lost {
    /// Under which its end is recorded: its own id if it had activated a generation.
    txid: String,
    /// The one that it had published and not activated.
    published: Vec<u64>,
}

impl Lost {
    fn find(root: &InstallRoot) -> Result<Self, Cause> {
        let known = receipts::txids(root.dir())?;
        let current = root.pointer()?.map(|p| p.current);
        let generations = root.generations()?;
        // A transaction makes one generation, with a number above all others; older ones whose receipt is lost are kept.
        let made = generations
            .last()
            .filter(|g| !known.contains(&g.record.txid) && !g.pinned);
        let activated = made.filter(|g| Some(g.record.id) == current);
        let published = made.filter(|g| Some(g.record.id) != current);
        let own = activated.map(|g| g.record.txid.clone());
        let ids = generations.iter().map(|g| g.record.txid.as_str());
        let newest = ids.max_by_key(|txid| receipts::number_of(txid));
        Ok(Self {
            txid: own.map_or_else(|| receipts::next_txid(root.dir(), newest), Ok)?,
            published: published.iter().map(|g| g.record.id).collect(),
        })
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
    point_again(&mut tx, &found)?;
    let returning = found.records.iter().any(|r| matches!(r, Record::Return { .. })) && tx.steps().is_committed()?;
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
        stopped: returning || found.records.contains(&Record::Stopped),
    })
}

/// Where the pointer cannot be read any more, the journal tells what it named. If both answers are possible it is the new
/// generation, which is complete: its next start is the gate, and that has a way back for the data, too.
fn point_again(tx: &mut Tx<'_>, found: &Found) -> Result<(), Cause> {
    let why = match tx.root.pointer() {
        Err(error) if error.is_damage() => error,
        pointer => return Ok(pointer.map(drop)?),
    };
    let made = tx
        .begin
        .generation
        .filter(|id| matches!(tx.root.generation(*id), Ok(Some(_))));
    let may_be_new = |r: &Record| matches!(r, Record::Stopped | Record::Return { .. });
    let pointer = match (found.records.last(), made) {
        (Some(Record::Done { receipt }), _) if receipt.to.is_none() => None,
        (Some(Record::Done { receipt }), Some(new)) if receipt.to == Some(new) => {
            Some(tx.steps().next_pointer(new, receipt.outcome == TxOutcome::Done))
        }
        (Some(Record::Done { receipt }), _) if receipt.outcome == TxOutcome::Returned => tx.return_pointer(),
        (_, Some(new)) if found.records.iter().any(may_be_new) => Some(tx.steps().next_pointer(new, false)),
        _ => tx.begin.pointer.clone(),
    };
    tx.note(&format!(
        "the pointer was damaged ({why}) and is written again from the journal"
    ));
    repair::write_pointer(tx.store, pointer.as_ref())
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
            let carried = repair::complete(tx)?;
            Ok(if carried.skipped.is_empty() {
                RecoveredHow::Repaired
            } else {
                RecoveredHow::RepairedInPart
            })
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
