//! Owns the ways back of a self-update: undone before the commit, returned after it, or left to a recovery.

use kojibox_state::{CrashPoint, journal::Record, receipts::TxOutcome};
use kojibox_supervisor::diagnosis::chain;

use super::{
    UpdateError, refused,
    swap::{Swap, SwapError},
    transaction::Tx,
};

impl Tx<'_> {
    /// Before the commit: everything goes back to where it was.
    pub(super) fn abort(&mut self, error: UpdateError) -> UpdateError {
        if error.is_killed() {
            return self.interrupted(error, None);
        }
        let reason = chain(&error);
        let before = self.begin.pointer.as_ref().map(|p| p.current);
        let steps = self.steps();
        let undone = steps
            .point_back(self.begin.pointer.as_ref())
            .and_then(|()| steps.undo())
            // The next attempt begins anew, and a full volume gets its room back.
            .and_then(|()| steps.empty_staging())
            .map_err(UpdateError::from);
        let undone = undone.and_then(|()| {
            self.remember(&error, &reason);
            self.close(TxOutcome::Undone, Some(reason), before)
        });
        match undone {
            Ok(()) => error,
            Err(why) => self.interrupted(error, Some(&why)),
        }
    }

    /// A program that does not work here is not tried again; what failed for another reason may be.
    fn remember(&mut self, error: &UpdateError, reason: &str) {
        if !error.is_lasting() {
            return;
        }
        let (version, tree) = (&self.component.version, self.component.tree_sha256);
        if let Err(why) = refused::remember(self.locked, version, tree, self.setting.now, reason) {
            let why = chain(&why);
            self.note(format!(
                "it could not be remembered that this launcher was refused: {why}"
            ));
        }
    }

    /// After the commit: the old daemon takes over again. The generation stays, marked bad.
    pub(super) fn give_back(&mut self, swap: &Swap<'_>, source: SwapError) -> UpdateError {
        let version = self.component.version.clone();
        let source = Box::new(source);
        let error = UpdateError::Swap { version, source };
        let reason = chain(&error);
        let returned = self.point_back(swap, &reason).and_then(|()| {
            match swap.take_back() {
                Ok(()) => self.remember(&error, &reason),
                // Where the old one does not work either, the new one is not to blame.
                Err(why) => {
                    let why = chain(&why);
                    self.note(format!("the daemon before did not start again: {why}"));
                }
            }
            let before = self.begin.pointer.as_ref().map(|p| p.current);
            self.close(TxOutcome::Returned, Some(reason.clone()), before)
        });
        match returned {
            Ok(()) => error,
            Err(why) => self.interrupted(error, Some(&why)),
        }
    }

    /// The way back from RETURN to the pointer as it was.
    fn point_back(&mut self, swap: &Swap<'_>, reason: &str) -> Result<(), UpdateError> {
        let at = self.setting.now;
        self.journal.append(&Record::Return {
            reason: reason.to_owned(),
            at: at.to_owned(),
            mark: true,
        })?;
        self.store.reach(CrashPoint::ReturnDecided)?;
        swap.dismiss();
        let steps = self.steps();
        steps.mark_bad(self.record.id, reason, at)?;
        steps.point_back(self.begin.pointer.as_ref())?;
        Ok(self.store.reach(CrashPoint::Returned)?)
    }

    /// The error, and that the journal tells of what is left to do; `why` if the way back failed too.
    pub(super) fn interrupted(&self, source: UpdateError, why: Option<&UpdateError>) -> UpdateError {
        UpdateError::HalfDone {
            active: self.root.pointer().ok().flatten().map(|p| p.current),
            why: why.map(|why| chain(why)),
            source: Box::new(source),
        }
    }
}
