//! Owns the transaction of a self-update, journaled like those of the installer, which can finish or undo it after an
//! interruption at any point: BEGIN → staged, durable, published → STAGED → self-check → pointer (the commit) → the new
//! daemon takes over → confirmed, or RETURN and the pointer back → DONE with the receipt.
//!
//! It differs from an update in one thing: services are neither stopped nor started.
//!
//! Source: state/TRANSACTIONS.md.

use std::{path::PathBuf, sync::Arc};

use kojibox_packs::{index::Index, read::read_index};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{
    BadMark, CrashPoint, InstallRoot, LockedRoot, RootPath, Store,
    doc::{self, Versioned as _},
    journal::{Begin, Found, Journal, Names, Record},
    layout::place,
    receipts::{self, Receipt, TxOutcome},
    records::{ComponentRecord, GenerationRecord, LAUNCHER, Pointer},
    store::{FileMode, compose, unless_absent},
    trust,
};

use super::{
    Setting, UpdateError,
    choose::Offer,
    records::{component, draft, floors},
    refused,
    swap::{Swap, SwapError},
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
    tx.journal.append(&Record::Begin(Box::new(tx.begin.clone())))?;
    tx.store.reach(CrashPoint::Begun)?;
    if let Err(error) = tx.stage().and_then(|()| tx.publish()).and_then(|()| tx.prove(swap)) {
        return Err(tx.abort(error));
    }
    if let Err(error) = tx.commit() {
        return Err(tx.abort(error));
    }
    match swap.hand_over(&tx.program()) {
        Ok(reattached) => {
            tx.confirm()?;
            Ok(Done {
                generation: tx.record.id,
                reattached,
            })
        }
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
        let id = root.generation_ids()?.last().map_or(1, |last| last + 1);
        let component = component(offer, &index);
        let txid = receipts::next_txid(root.dir(), None)?;
        let mut components = current.components.clone();
        components.retain(|c| c.id != LAUNCHER);
        components.push(component.clone());
        components.sort_by(|a, b| (&a.id, &a.pack).cmp(&(&b.id, &b.pack)));
        let record = GenerationRecord {
            id,
            created: setting.now.to_owned(),
            txid: txid.clone(),
            components,
            ..current
        };
        let known = root
            .generations()?
            .iter()
            .any(|g| g.record.components.iter().any(|c| c.dir == component.dir));
        let fresh = |name: String| if known { Vec::new() } else { vec![name] };
        let begin = Begin {
            draft: draft(root, offer, setting, txid)?,
            pointer: root.pointer()?,
            generation: Some(id),
            fresh: Names {
                generations: vec![id],
                components: fresh(component.dir.clone()),
                packs: Vec::new(),
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
        })
    }

    pub(super) fn staged(&self, what: &str) -> Result<RootPath, UpdateError> {
        Ok(place::staged(self.begin.txid()).join(what)?)
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

    fn pointer(&self, confirmed: bool) -> Pointer {
        let before = self.begin.pointer.as_ref();
        let previous = before.and_then(|p| {
            if p.confirmed {
                Some(p.current)
            } else {
                p.previous.or(Some(p.current))
            }
        });
        Pointer {
            schema: Pointer::SCHEMA.to_owned(),
            current: self.record.id,
            previous,
            confirmed,
            txid: self.begin.txid().to_owned(),
        }
    }

    fn commit(&self) -> Result<(), UpdateError> {
        doc::replace(self.store, &place::pointer(), &self.pointer(false))?;
        Ok(self.store.reach(CrashPoint::Committed)?)
    }

    fn confirm(&mut self) -> Result<(), UpdateError> {
        doc::replace(self.store, &place::pointer(), &self.pointer(true))?;
        self.store.reach(CrashPoint::Confirmed)?;
        self.close(TxOutcome::Done, None, Some(self.record.id))
    }

    /// Before the commit: everything goes back to where it was.
    fn abort(&mut self, error: UpdateError) -> UpdateError {
        let reason = kojibox_supervisor::diagnosis::chain(&error);
        let before = self.begin.pointer.as_ref().map(|p| p.current);
        let undone = self
            .remember(&error, &reason)
            .and_then(|()| self.point_back())
            .and_then(|()| self.undo())
            .and_then(|()| self.close(TxOutcome::Undone, Some(reason), before));
        half_done(error, undone)
    }

    /// A program that does not work here is not tried again; what failed for another reason may be.
    fn remember(&self, error: &UpdateError, reason: &str) -> Result<(), UpdateError> {
        if !error.is_lasting() {
            return Ok(());
        }
        let (version, tree) = (&self.component.version, self.component.tree_sha256);
        refused::remember(self.locked, version, tree, self.setting.now, reason)
    }

    fn point_back(&self) -> Result<(), UpdateError> {
        let ours = self.root.pointer()?.is_some_and(|p| p.txid == self.begin.txid());
        match &self.begin.pointer {
            Some(before) if ours => Ok(doc::replace(self.store, &place::pointer(), before)?),
            _ => Ok(()),
        }
    }

    /// Takes back what was published; nothing that another generation names is touched.
    fn undo(&self) -> Result<(), UpdateError> {
        let fresh = &self.begin.fresh;
        let generation = place::generation(self.record.id);
        if self.root.dir().exists(&generation)? {
            let back = self.staged("generation")?;
            compose::remove_tree(self.store, &back)?;
            self.store.rename(&generation, &back)?;
            self.store.sync_dir(&place::generations())?;
        }
        for dir in &fresh.components {
            compose::remove_tree(self.store, &place::component(dir))?;
            self.store.sync_dir(&place::components())?;
        }
        for name in &fresh.indexes {
            unless_absent(self.store.remove_file(&place::component_records().join(name)?))?;
            unless_absent(self.store.sync_dir(&place::component_records()))?;
        }
        Ok(())
    }

    /// After the commit: the old daemon takes over again. The generation stays, marked bad.
    fn give_back(&mut self, swap: &Swap<'_>, source: SwapError) -> UpdateError {
        let version = self.component.version.clone();
        let source = Box::new(source);
        let error = UpdateError::Swap { version, source };
        let reason = kojibox_supervisor::diagnosis::chain(&error);
        let decided = Record::Return {
            reason: reason.clone(),
            at: self.setting.now.to_owned(),
            mark: true,
        };
        let returned = (|| {
            self.journal.append(&decided)?;
            self.store.reach(CrashPoint::ReturnDecided)?;
            swap.dismiss();
            let mark = BadMark {
                schema: BadMark::SCHEMA.to_owned(),
                txid: self.begin.txid().to_owned(),
                at: self.setting.now.to_owned(),
                reason: reason.clone(),
            };
            doc::replace(self.store, &place::generation_bad_mark(self.record.id), &mark)?;
            self.point_back()?;
            self.store.reach(CrashPoint::Returned)?;
            match swap.take_back() {
                Ok(()) => self.remember(&error, &reason)?,
                // Where the old one does not work either, the new one is not to blame.
                Err(why) => {
                    let why = kojibox_supervisor::diagnosis::chain(&why);
                    let note = format!("the daemon before did not start again: {why}");
                    self.begin.draft.notes.push(note);
                }
            }
            let before = self.begin.pointer.as_ref().map(|p| p.current);
            self.close(TxOutcome::Returned, Some(reason.clone()), before)
        })();
        half_done(error, returned)
    }

    /// DONE with the receipt, its file, the front door, an empty staging directory and journal.
    fn close(&mut self, outcome: TxOutcome, reason: Option<String>, to: Option<u64>) -> Result<(), UpdateError> {
        if outcome == TxOutcome::Done
            && let Some(floors) = &self.begin.floors
        {
            trust::raise(self.store, floors)?;
        }
        let receipt = Receipt {
            outcome,
            reason,
            to,
            finished: self.setting.now.to_owned(),
            previous: receipts::last_link(self.root.dir())?,
            ..self.begin.draft.clone()
        };
        self.journal.append(&Record::Done {
            receipt: Box::new(receipt.clone()),
        })?;
        self.store.reach(CrashPoint::Done)?;
        receipts::publish(self.store, &receipt)?;
        self.store.reach(CrashPoint::Receipted)?;
        if outcome == TxOutcome::Done {
            self.refresh_front_door()?;
        }
        compose::remove_tree(self.store, &place::staged(self.begin.txid()))?;
        unless_absent(self.store.sync_dir(&place::staging()))?;
        Ok(self.journal.clear()?)
    }

    /// Makes the front door a copy of the new program. Any version of it would do.
    fn refresh_front_door(&self) -> Result<(), UpdateError> {
        let program = place::component(&self.component.dir).join(PROGRAM)?;
        let beside = self.staged("door")?;
        compose::remove_tree(self.store, &beside)?;
        compose::copy(self.store, &program, &beside, FileMode::FrontDoor)?;
        self.store.sync_file(&beside)?;
        self.store
            .replace_program(&beside, &place::front_door(), &self.staged("door.old")?)?;
        Ok(self.store.sync_dir(&RootPath::ROOT)?)
    }
}

/// The error, or that it left work for a recovery.
fn half_done(error: UpdateError, undone: Result<(), UpdateError>) -> UpdateError {
    match undone {
        Ok(()) => error,
        Err(why) => UpdateError::HalfDone {
            why: kojibox_supervisor::diagnosis::chain(&why),
            source: Box::new(error),
        },
    }
}
