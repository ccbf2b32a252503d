//! Owns the transaction of a self-update, which is made of the same steps as those of the installer, so that the installer
//! can finish or undo it after an interruption at any point: BEGIN → staged, durable, published → STAGED → self-check →
//! pointer (the commit) → the new daemon takes over → confirmed, or RETURN and the pointer back → DONE with the receipt.
//!
//! It differs from an update in one thing: services are neither stopped nor started, so there is no STOPPED.
//!
//! Source: state/TRANSACTIONS.md.

use std::{path::PathBuf, sync::Arc};

use kojibox_packs::{index::Index, read::read_index};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot, Store, doc,
    journal::{Begin, Found, Journal, Names, Record},
    layout::place,
    receipts::{self, TxOutcome},
    records::{ComponentRecord, GenerationRecord},
    steps::{Ending, Named, Steps},
    trust,
};

use super::{
    Setting, UpdateError,
    choose::Offer,
    records::{component, draft, floors, generation, pack},
    swap::Swap,
};

/// The program in the launcher's tree.
pub(super) const PROGRAM: &str = if std::env::consts::EXE_SUFFIX.is_empty() {
    "kojibox"
} else {
    "kojibox.exe"
};

/// A launcher was updated.
pub(super) struct Done {
    pub(super) generation: u64,
    pub(super) reattached: usize,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Installs `offer`.
pub(super) fn run(
    locked: &LockedRoot,
    offer: &Offer,
    setting: &Setting<'_>,
    swap: &Swap<'_>,
) -> Result<Done, UpdateError> {
    for (root16, documents) in offer.new_roots.iter().filter(|(_, d)| !d.is_empty()) {
        trust::pin(locked.store(), root16, documents)?;
    }
    let index = read_index(offer.source.as_ref(), &offer.component).map_err(|e| unreadable(offer, e))?;
    let mut tx = Tx::prepare(locked, offer, Arc::new(index), setting)?;
    tx.begin()?;
    let placed = tx.stage().and_then(|()| tx.publish()).and_then(|()| tx.prove(swap));
    if let Err(error) = placed.and_then(|()| tx.commit()) {
        return Err(tx.abort(error));
    }
    match swap.hand_over(&tx.program()) {
        Ok(reattached) => tx.confirm(reattached),
        Err(error) => Err(tx.give_back(swap, error)),
    }
}

pub(super) fn unreadable(offer: &Offer, source: kojibox_packs::read::ReadError) -> UpdateError {
    UpdateError::Read {
        version: offer.component.version.clone(),
        source: Box::new(source),
    }
}

pub(super) struct Tx<'a> {
    pub(super) locked: &'a LockedRoot,
    pub(super) root: &'a InstallRoot,
    pub(super) store: &'a dyn Store,
    pub(super) journal: Journal<'a>,
    pub(super) begin: Begin,
    pub(super) offer: &'a Offer,
    pub(super) index: Arc<Verified<Index>>,
    pub(super) setting: &'a Setting<'a>,
    pub(super) component: ComponentRecord,
    pub(super) record: GenerationRecord,
    /// Digest of the program, as signed.
    pub(super) sha256: Digest,
    /// What a person should know.
    notes: Vec<String>,
}

impl<'a> Tx<'a> {
    /// Decides what is new; writes nothing.
    fn prepare(
        locked: &'a LockedRoot,
        offer: &'a Offer,
        index: Arc<Verified<Index>>,
        setting: &'a Setting<'a>,
    ) -> Result<Self, UpdateError> {
        let (root, store) = locked.parts();
        let (_, sha256) = index.content(PROGRAM).ok_or(UpdateError::NoProgram(PROGRAM))?;
        let sha256 = *sha256;
        let current = root
            .current()?
            .ok_or_else(|| UpdateError::Empty(setting.root.to_owned()))?;
        let pointer = root.pointer()?;
        // A way back must lead to what has been ready once, and must not change which packs run.
        if pointer.as_ref().is_some_and(|p| !p.confirmed) {
            return Err(UpdateError::NotProven(current.id));
        }
        let id = root.generation_ids()?.last().map_or(1, |last| last + 1);
        let (component, pack) = (component(offer, &index), pack(offer));
        let txid = receipts::next_txid(root.dir(), None)?;
        let record = generation(current, id, &txid, (&component, &pack), setting);
        let named = Named::by(root, &[])?;
        let known = named.dirs.contains(&component.dir);
        let fresh = |name: String| if known { Vec::new() } else { vec![name] };
        let begin = Begin {
            draft: draft(root, offer, setting, txid)?,
            pointer,
            generation: Some(id),
            fresh: Names {
                generations: vec![id],
                components: fresh(component.dir.clone()),
                packs: Some(pack.digest)
                    .filter(|d| !named.packs.contains(d))
                    .into_iter()
                    .collect(),
                indexes: fresh(place::index_name(&component.dir)),
            },
            doomed: Names::default(),
            floors: Some(floors(offer)),
            purge: false,
            extra_aside: false,
        };
        Ok(Self {
            locked,
            root,
            store,
            journal: Journal::open(store, &Found::default()),
            begin,
            offer,
            index,
            setting,
            component,
            record,
            sha256,
            notes: Vec::new(),
        })
    }

    /// The transaction as its steps see it.
    pub(super) fn steps(&self) -> Steps<'_> {
        Steps {
            root: self.root,
            store: self.store,
            begin: &self.begin,
        }
    }

    /// Something a person and the receipt should know.
    pub(super) fn note(&mut self, text: String) {
        self.begin.draft.notes.push(text.clone());
        self.notes.push(text);
    }

    /// Writes the intention; from here on an interruption is seen by everybody.
    fn begin(&mut self) -> Result<(), UpdateError> {
        let record = Record::Begin(Box::new(self.begin.clone()));
        let written = self.journal.append(&record);
        let written = written.and_then(|()| self.store.reach(CrashPoint::Begun));
        written.map_err(|error| match self.root.recovery_needed() {
            Ok(false) => error.into(),
            _ => self.interrupted(error.into(), None),
        })
    }

    /// The new program in its final place.
    fn program(&self) -> PathBuf {
        place::component(&self.component.dir)
            .below(self.root.path())
            .join(PROGRAM)
    }

    pub(super) fn is_fresh(&self) -> bool {
        !self.begin.fresh.components.is_empty()
    }

    /// The new program checks itself in its final place.
    fn prove(&self, swap: &Swap<'_>) -> Result<(), UpdateError> {
        let version = self.component.version.clone();
        let checked = swap.check(&self.program(), &version);
        checked.map_err(|source| UpdateError::SelfCheck {
            version,
            source: Box::new(source),
        })
    }

    fn commit(&self) -> Result<(), UpdateError> {
        let pointer = self.steps().next_pointer(self.record.id, false);
        doc::replace(self.store, &place::pointer(), &pointer)?;
        Ok(self.store.reach(CrashPoint::Committed)?)
    }

    /// The new launcher serves. What fails from here on is told, and takes nothing of that back.
    fn confirm(mut self, reattached: usize) -> Result<Done, UpdateError> {
        let generation = self.record.id;
        let pointer = self.steps().next_pointer(generation, true);
        let confirmed = doc::replace(self.store, &place::pointer(), &pointer)
            .and_then(|()| Ok(self.store.reach(CrashPoint::Confirmed)?))
            .map_err(UpdateError::from)
            .and_then(|()| self.close(TxOutcome::Done, None, Some(generation)));
        match confirmed {
            Ok(()) => Ok(Done {
                generation,
                reattached,
                notes: self.notes,
            }),
            Err(source) => Err(UpdateError::Unclosed {
                version: self.component.version,
                source: Box::new(source),
            }),
        }
    }

    /// DONE with the receipt, its file, the front door, an empty staging directory and journal.
    pub(super) fn close(
        &mut self,
        outcome: TxOutcome,
        reason: Option<String>,
        to: Option<u64>,
    ) -> Result<(), UpdateError> {
        let ending = Ending {
            outcome,
            reason,
            to,
            finished: self.setting.now.to_owned(),
        };
        let steps = Steps {
            root: self.root,
            store: self.store,
            begin: &self.begin,
        };
        let notes = &mut self.notes;
        steps.close(&mut self.journal, ending, &mut |text| notes.push(text))?;
        Ok(())
    }
}
