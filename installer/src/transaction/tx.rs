//! Owns [`Tx`]: one transaction under way, with its intention, its journal and what its receipt will say.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    sync::atomic::Ordering,
};

use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot, RootPath, Store, StoreError,
    doc::Versioned as _,
    journal::{Begin, Found, Journal, Names, Record, TxKind},
    receipts::{self, Receipt, ReceiptBytes, TxOutcome},
    records::Pointer,
    steps::Steps,
};

use super::error::{Cause, Situation, TxError};
use crate::plan::Env;

/// How many notes a receipt records, and how long one is; how long a command is. Receipts are read with a limit.
const NOTES: usize = 500;
const NOTE: usize = 2000;
const COMMAND: usize = 64 << 10;

/// One transaction under way.
pub(super) struct Tx<'a> {
    pub(super) root: &'a InstallRoot,
    pub(super) store: &'a dyn Store,
    pub(super) env: &'a Env<'a>,
    pub(super) journal: Journal<'a>,
    pub(super) begin: Begin,
}

impl<'a> Tx<'a> {
    /// Prepares a transaction; nothing is written until [`Tx::begin`].
    pub(super) fn new(locked: &'a LockedRoot, env: &'a Env<'a>, kind: TxKind, command: &str) -> Result<Self, Cause> {
        let (root, store) = locked.parts();
        // A journal that could not be emptied still tells of the last transaction; a record behind it would be taken for its own.
        if !root.journal()?.is_clean() {
            return Err(Cause::Unsettled);
        }
        let pointer = root.pointer()?;
        let draft = Receipt {
            schema: Receipt::SCHEMA.to_owned(),
            txid: receipts::next_txid(root.dir(), None)?,
            kind,
            outcome: TxOutcome::Undone,
            reason: None,
            command: shorten(command, COMMAND),
            started: time(env),
            finished: String::new(),
            from: pointer.as_ref().map(|p| p.current),
            to: None,
            packs: Vec::new(),
            verdicts: Vec::new(),
            bytes: ReceiptBytes::default(),
            notes: Vec::new(),
            previous: None,
        };
        let begin = Begin {
            draft,
            pointer,
            generation: None,
            fresh: Names::default(),
            doomed: Names::default(),
            floors: None,
            purge: false,
            extra_aside: false,
        };
        Ok(Self {
            root,
            store,
            env,
            journal: Journal::open(store, &Found::default()),
            begin,
        })
    }

    /// Continues the transaction that a journal tells of.
    pub(super) fn resume(locked: &'a LockedRoot, env: &'a Env<'a>, found: &Found, begin: Begin) -> Self {
        let (root, store) = locked.parts();
        Self {
            root,
            store,
            env,
            journal: Journal::open(store, found),
            begin,
        }
    }

    /// Writes the intention; from here on an interruption is seen by everybody.
    pub(super) fn begin(&mut self) -> Result<(), TxError> {
        let record = Record::Begin(Box::new(self.begin.clone()));
        let written = self.journal.append(&record);
        written.and_then(|()| self.reach(CrashPoint::Begun)).map_err(|error| {
            let active = self.active();
            let situation = match self.root.recovery_needed() {
                Ok(false) => Situation::Untouched { active },
                _ => self.situation(false),
            };
            TxError::new(error, situation)
        })
    }

    /// The end of a transaction that the journal still tells of: what is active is read, not remembered.
    pub(super) fn interrupted(&self, cause: impl Into<Cause>, down: bool) -> TxError {
        TxError::new(cause, self.situation(down))
    }

    fn situation(&self, down: bool) -> Situation {
        let active = self.root.pointer().ok().flatten().map(|p| p.current);
        Situation::Interrupted { active, down }
    }

    pub(super) fn reach(&self, point: CrashPoint) -> Result<(), StoreError> {
        self.store.reach(point)
    }

    /// The transaction as its steps see it.
    pub(super) fn steps(&self) -> Steps<'_> {
        Steps {
            root: self.root,
            store: self.store,
            begin: &self.begin,
        }
    }

    /// `staging/<txid>`.
    pub(super) fn staging(&self) -> RootPath {
        self.steps().staging()
    }

    /// Something in `staging/<txid>`.
    pub(super) fn staged(&self, what: &str) -> Result<RootPath, Cause> {
        Ok(self.steps().staged(what)?)
    }

    /// The generation that was active when the transaction began.
    pub(super) fn active(&self) -> Option<u64> {
        self.begin.pointer.as_ref().map(|p| p.current)
    }

    /// Where an automatic return goes: the pointer as it was, unless its own gate had never passed and an earlier one did.
    pub(super) fn return_pointer(&self) -> Option<Pointer> {
        let before = self.begin.pointer.as_ref()?;
        match before.previous {
            Some(proven) if !before.confirmed => Some(Pointer {
                current: proven,
                previous: None,
                confirmed: true,
                ..before.clone()
            }),
            _ => Some(before.clone()),
        }
    }

    /// Something a person and the receipt should know.
    pub(super) fn note(&mut self, text: &str) {
        self.env.observer.note(text);
        self.record(text);
    }

    /// Something the receipt should know. It has a largest size, so the first ones are recorded.
    pub(super) fn record(&mut self, text: &str) {
        let notes = &mut self.begin.draft.notes;
        match notes.len().cmp(&NOTES) {
            Less => notes.push(shorten(text, NOTE)),
            Equal => notes.push("what was noted after this is not recorded".to_owned()),
            Greater => {}
        }
    }

    /// Ends here if a person asked for it.
    pub(super) fn check_cancel(&self) -> Result<(), Cause> {
        if self.env.cancel.load(Ordering::Relaxed) {
            return Err(Cause::Cancelled);
        }
        Ok(())
    }

    /// Now, as documents write it.
    pub(super) fn now(&self) -> String {
        time(self.env)
    }
}

/// At most `most` bytes of `text`.
fn shorten(text: &str, most: usize) -> String {
    match text.floor_char_boundary(most) {
        end if end < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

fn time(env: &Env<'_>) -> String {
    (env.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
