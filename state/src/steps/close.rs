//! Owns the end of a transaction: floors, DONE with the receipt, its file, the front door, an empty journal.
//!
//! The front door `<root>/kojibox[.exe]` is a copy of the active generation's launcher, which hands over to it. It is never
//! needed for correctness: any launcher version finds the one that the pointer names.

use super::Steps;
use crate::{
    crash::CrashPoint,
    error::StateError,
    journal::{Journal, Record, TxKind},
    layout::place,
    path::RootPath,
    receipts::{self, Receipt, TxOutcome},
    root::launcher_in,
    store::{FileMode, compose},
    trust,
};

/// How a transaction ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What came of it.
    pub outcome: TxOutcome,
    /// Why it did not end as intended.
    pub reason: Option<String>,
    /// The generation that is active after it.
    pub to: Option<u64>,
    /// Now, as documents write it.
    pub finished: String,
}

impl Steps<'_> {
    /// Closes the transaction: after it nothing is left to recover. `note` is told what did not work of that which is done
    /// after DONE: the transaction is over and stays what it is.
    ///
    /// Crash: before DONE, recovery decides by the pointer; after it, recovery repeats [`Steps::settle`].
    pub fn close(
        &self,
        journal: &mut Journal<'_>,
        ending: Ending,
        note: &mut dyn FnMut(String),
    ) -> Result<Receipt, StateError> {
        if matches!(ending.outcome, TxOutcome::Done | TxOutcome::Unconfirmed)
            && let Some(floors) = &self.begin.floors
        {
            trust::raise(self.store, floors)?;
        }
        let receipt = Receipt {
            outcome: ending.outcome,
            reason: ending.reason,
            to: ending.to,
            finished: ending.finished,
            previous: receipts::last_link(self.root.dir())?,
            ..self.begin.draft.clone()
        };
        journal.append(&Record::Done {
            receipt: Box::new(receipt.clone()),
        })?;
        self.store.reach(CrashPoint::Done)?;
        self.settle(journal, &receipt, note)?;
        Ok(receipt)
    }

    /// What comes after DONE; can be repeated.
    pub fn settle(
        &self,
        journal: &mut Journal<'_>,
        receipt: &Receipt,
        note: &mut dyn FnMut(String),
    ) -> Result<(), StateError> {
        receipts::publish(self.store, receipt)?;
        self.store.reach(CrashPoint::Receipted)?;
        let mut courteously = |what: &str, result: Result<(), StateError>| match result {
            Err(error) if error.is_killed() => Err(error),
            Err(error) => {
                let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
                note(format!("{what}: {error}{why}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        courteously("could not refresh the front door", self.refresh_front_door())?;
        let resumable =
            matches!(receipt.kind, TxKind::Install | TxKind::Update) && receipt.outcome == TxOutcome::Undone;
        if !resumable {
            let what = "could not empty the staging directory; the next transaction tries again";
            courteously(what, self.empty_staging())?;
        }
        let cleared = journal.clear().map_err(StateError::from);
        courteously("could not empty the journal; the next command does it", cleared)
    }

    /// Removes this transaction's staging directory, so that it does not come back with a power cut.
    pub fn empty_staging(&self) -> Result<(), StateError> {
        compose::remove_tree(self.store, &self.staging())?;
        Ok(self.sync_names(&place::staging())?)
    }

    /// Makes the front door a copy of the active generation's launcher, if it has one and the front door is not that yet.
    fn refresh_front_door(&self) -> Result<(), StateError> {
        let Some(record) = self.root.current()? else {
            return Ok(());
        };
        let Some(launcher) = launcher_in(&record) else {
            return Ok(());
        };
        let door = place::front_door();
        let Some(wanted) = compose::hash(self.root.dir(), &launcher)? else {
            return Ok(());
        };
        if compose::hash(self.root.dir(), &door)? == Some(wanted) {
            return Ok(());
        }
        let beside = self.staged("door")?;
        compose::create_dirs(self.store, &self.staging())?;
        compose::remove_tree(self.store, &beside)?;
        compose::copy(self.store, &launcher, &beside, FileMode::FrontDoor)?;
        self.store.sync_file(&beside)?;
        self.store.replace_program(&beside, &door, &self.staged("door.old")?)?;
        Ok(self.store.sync_dir(&RootPath::ROOT)?)
    }
}
