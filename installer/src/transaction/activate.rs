//! Owns activation: stop, pointer (the commit), start, and then confirmed or back again.

use kojibox_state::{
    CrashPoint, StateError, doc, journal::Record, layout::place, receipts::TxOutcome, records::GenerationRecord,
};

use super::{
    error::{Cause, Situation, TxError},
    finish::{close, reason},
    formats::format_changes,
    room::tidy,
    tx::Tx,
};
use crate::plan::{GateError, Phase, Unclean};

/// What becomes active, and how its gate is judged.
pub(super) struct Target<'r> {
    pub(super) record: &'r GenerationRecord,
    /// It has services that are to be started.
    pub(super) gated: bool,
    /// A failed gate marks it bad.
    pub(super) mark: bool,
    /// Its launcher moves data of another format; a way back does not.
    pub(super) moves_data: bool,
}

/// Makes `target` the active generation, and closes the transaction.
pub(super) fn activate(tx: &mut Tx<'_>, target: &Target<'_>) -> Result<(), TxError> {
    let mut stopped = false;
    if let Err(cause) = commit(tx, target, &mut stopped) {
        return Err(abort(tx, cause, stopped));
    }
    let id = target.record.id;
    if target.gated
        && let Err(error) = start(tx, target.record)
    {
        return Err(give_back(tx, target, error));
    }
    confirm(tx, target).map_err(|cause| {
        if cause.is_killed() {
            return tx.interrupted(cause, false);
        }
        TxError::new(cause, Situation::Active { generation: id })
    })
}

/// Stops what runs and replaces the pointer.
fn commit(tx: &mut Tx<'_>, target: &Target<'_>, stopped: &mut bool) -> Result<(), Cause> {
    tx.check_cancel()?;
    match tx.root.current() {
        Ok(Some(current)) => {
            *stopped = true;
            stop_for(tx, target, &current)?;
        }
        Err(error) if error.is_damage() => {
            *stopped = true;
            stop_unknown(tx, &error)?;
        }
        found => drop(found?),
    }
    tx.journal.append(&Record::Stopped)?;
    tx.reach(CrashPoint::Stopped)?;
    tx.check_cancel()?;
    let pointer = tx.steps().next_pointer(target.record.id, !target.gated);
    doc::replace(tx.store, &place::pointer(), &pointer)?;
    Ok(tx.reach(CrashPoint::Committed)?)
}

/// Stops all services of the active generation. One that does not stop cleanly is in the way only of a move of its data:
/// the next version of the same format repairs what is left like the old one would.
fn stop_for(tx: &mut Tx<'_>, target: &Target<'_>, current: &GenerationRecord) -> Result<(), Cause> {
    let generation = current.id;
    match stop(tx, current) {
        Ok(()) => Ok(()),
        Err(GateError::Unclean { services, output }) => {
            let moved = if target.moves_data {
                format_changes(tx.root, current, target.record)?
            } else {
                Vec::new()
            };
            if services.iter().any(|s| moved.iter().any(|m| m.service == s.service)) {
                let source = GateError::Unclean { services, output };
                return Err(Cause::NotClean { generation, source });
            }
            note_unclean(tx, generation, &services);
            Ok(())
        }
        Err(source) => Err(Cause::Stop { generation, source }),
    }
}

/// Stops what runs when the record of the active generation is damaged: the front door is a copy of its launcher.
pub(super) fn stop_unknown(tx: &mut Tx<'_>, damage: &StateError) -> Result<(), Cause> {
    let generation = tx.active().unwrap_or_default();
    tx.note(&format!(
        "generation {generation} is stopped by the front door: {damage}"
    ));
    if !tx.root.dir().exists(&place::front_door())? {
        return Ok(());
    }
    let door = place::front_door().below(tx.root.path());
    tx.env.observer.phase(Phase::Stop, None);
    match tx.env.gate.stop(&door, tx.root.path()) {
        Ok(()) => Ok(()),
        Err(GateError::Unclean { services, .. }) => {
            note_unclean(tx, generation, &services);
            Ok(())
        }
        Err(source) => Err(Cause::Stop { generation, source }),
    }
}

/// Lets a person and the receipt know which services did not stop cleanly.
pub(super) fn note_unclean(tx: &mut Tx<'_>, generation: u64, services: &[Unclean]) {
    for Unclean { service, why } in services {
        tx.note(&format!(
            "service `{service}` of generation {generation} did not stop cleanly: {why}"
        ));
    }
}

fn confirm(tx: &mut Tx<'_>, target: &Target<'_>) -> Result<(), Cause> {
    let id = target.record.id;
    if target.gated {
        let pointer = tx.steps().next_pointer(id, true);
        doc::replace(tx.store, &place::pointer(), &pointer)?;
    }
    tx.reach(CrashPoint::Confirmed)?;
    close(tx, TxOutcome::Done, None, Some(id)).map(drop)
}

/// Stops all services of a generation, if it has a launcher.
pub(super) fn stop(tx: &Tx<'_>, record: &GenerationRecord) -> Result<(), GateError> {
    let Some(launcher) = tx.root.launcher(record) else {
        return Ok(());
    };
    tx.env.observer.phase(Phase::Stop, None);
    tx.env.gate.stop(&launcher, tx.root.path())
}

fn start(tx: &Tx<'_>, record: &GenerationRecord) -> Result<(), GateError> {
    let Some(launcher) = tx.root.launcher(record) else {
        return Ok(());
    };
    tx.env.observer.phase(Phase::Start, None);
    tx.env.gate.start(&launcher, tx.root.path())
}

/// Ends a transaction before its commit: everything goes back to where it was.
pub(super) fn abort(tx: &mut Tx<'_>, cause: Cause, stopped: bool) -> TxError {
    let active = tx.active();
    if cause.is_killed() {
        return tx.interrupted(cause, stopped);
    }
    let full = cause.is_no_space();
    let before = tx.begin.pointer.clone();
    let steps = tx.steps();
    let undone = steps
        .point_back(before.as_ref())
        .and_then(|()| steps.undo())
        .map_err(Cause::from)
        .and_then(|()| tidy(tx, full));
    let Ok(kept) = undone else {
        return tx.interrupted(cause, stopped);
    };
    let down = stopped && !start_again(tx);
    match close(tx, TxOutcome::Undone, Some(reason(&cause)), active) {
        Ok(_) => TxError::new(cause, Situation::Undone { active, kept, down }),
        Err(_) => tx.interrupted(cause, down),
    }
}

/// Starts the services of the generation that stays active, if they are to run; true if there is nothing to complain about.
pub(super) fn start_again(tx: &mut Tx<'_>) -> bool {
    let current = match tx.root.current() {
        Ok(Some(current)) if current.start => current,
        Ok(_) => return true,
        Err(_) => return false,
    };
    let Some(launcher) = tx.root.launcher(&current) else {
        return true;
    };
    tx.env.observer.phase(Phase::Start, None);
    match tx.env.gate.start_again(&launcher, tx.root.path()) {
        Ok(()) => true,
        Err(error) => {
            tx.note(&format!(
                "generation {} did not become ready again: {error}",
                current.id
            ));
            false
        }
    }
}

/// The gate failed: the way back, in one journal record and the steps of [`complete_return`].
fn give_back(tx: &mut Tx<'_>, target: &Target<'_>, error: GateError) -> TxError {
    let from = target.record.id;
    let cancelled = matches!(error, GateError::Cancelled { .. });
    let mark = target.mark && !cancelled;
    let cause = if cancelled {
        Cause::Cancelled
    } else {
        Cause::NotReady {
            generation: from,
            source: error,
        }
    };
    let record = Record::Return {
        reason: reason(&cause),
        at: tx.now(),
        mark,
    };
    let to = tx.return_pointer().map(|p| p.current);
    let returned = tx
        .journal
        .append(&record)
        .map_err(Cause::from)
        .and_then(|()| Ok(tx.reach(CrashPoint::ReturnDecided)?))
        .and_then(|()| complete_return(tx, &record, true));
    match returned {
        Ok(down) => TxError::new(
            cause,
            Situation::Returned {
                from,
                to,
                down,
                marked: mark,
            },
        ),
        Err(error) if error.is_killed() => tx.interrupted(error, false),
        Err(_) => tx.interrupted(cause, true),
    }
}

/// Finishes an automatic return that is in the journal; can be repeated. True if the old services did not come back.
///
/// Recovery does not start services (`again` is false): the machine may have been off for a month.
pub(super) fn complete_return(tx: &mut Tx<'_>, decided: &Record, again: bool) -> Result<bool, Cause> {
    let Record::Return { reason, at, mark } = decided else {
        return Ok(false);
    };
    if let Some(id) = tx.begin.generation {
        if tx.steps().is_committed()?
            && let Some(new) = tx.root.generation(id)?
            && let Err(error) = stop(tx, &new)
        {
            tx.note(&format!(
                "the services of generation {id} did not stop cleanly: {error}"
            ));
        }
        if *mark {
            tx.steps().mark_bad(id, reason, at)?;
        }
    }
    let good = tx.return_pointer();
    tx.steps().point_back(good.as_ref())?;
    tx.reach(CrashPoint::Returned)?;
    let down = again && !start_again(tx);
    let to = good.map(|p| p.current);
    close(tx, TxOutcome::Returned, Some(reason.clone()), to)?;
    Ok(down)
}
