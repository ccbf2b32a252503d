//! Owns the transaction of a self-update, journaled like those of the installer, which can finish or undo it after an
//! interruption at any point: BEGIN → staged, durable, published → STAGED → self-check → pointer (the commit) → the new
//! daemon takes over → confirmed, or RETURN and the pointer back → DONE with the receipt.
//!
//! It differs from an update in one thing: services are neither stopped nor started.
//!
//! Source: state/TRANSACTIONS.md.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use kojibox_packs::{
    Unwatched,
    index::Index,
    read::{ExtractOptions, extract, read_index},
};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{
    BadMark, CrashPoint, InstallRoot, LockedRoot, RootPath, Store,
    doc::{self, Versioned as _},
    journal::{Begin, Found, Journal, Names, Record, TxKind},
    layout::{Layout, place},
    receipts::{self, Receipt, ReceiptBytes, ReceiptPack, ReceiptVerdict, TxOutcome},
    records::{ComponentRecord, Floors, GenerationRecord, LAUNCHER, Pointer},
    store::{FileMode, compose, unless_absent},
    trust,
};

use super::{
    Setting, UpdateError,
    choose::Offer,
    pipeline::{self, Fetch},
    refused,
    swap::{Swap, SwapError},
    tree::Rest,
};

/// The program in the launcher's tree.
const PROGRAM: &str = if std::env::consts::EXE_SUFFIX.is_empty() {
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

fn unreadable(offer: &Offer, source: kojibox_packs::read::ReadError) -> UpdateError {
    UpdateError::Read {
        version: offer.component.version.clone(),
        source: Box::new(source),
    }
}

struct Tx<'a> {
    locked: &'a LockedRoot,
    root: &'a InstallRoot,
    store: &'a dyn Store,
    journal: Journal<'a>,
    begin: Begin,
    offer: &'a Offer,
    index: Arc<Verified<Index>>,
    setting: &'a Setting<'a>,
    component: ComponentRecord,
    record: GenerationRecord,
    /// Digest of the program, as signed.
    sha256: Digest,
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
                indexes: fresh(place::index_name(&component.id, &component.tree_sha256)),
            },
            doomed: Names::default(),
            floors: Some(floors(offer)),
            purge: false,
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

    fn staged(&self, what: &str) -> Result<RootPath, UpdateError> {
        Ok(place::staged(self.begin.txid()).join(what)?)
    }

    /// The new program in its final place.
    fn program(&self) -> PathBuf {
        place::component(&self.component.dir)
            .below(self.root.path())
            .join(PROGRAM)
    }

    fn is_fresh(&self) -> bool {
        !self.begin.fresh.components.is_empty()
    }

    /// Brings tree, index and record into staging.
    fn stage(&self) -> Result<(), UpdateError> {
        compose::create_dirs(self.store, &place::staged(self.begin.txid()))?;
        if self.is_fresh() {
            let top = self.staged("trees")?.join(&self.component.dir)?;
            compose::create_dirs(self.store, &top)?;
            self.stage_rest(&top)?;
            self.stage_program(&top)?;
            let indexes = self.staged("indexes")?;
            compose::create_dirs(self.store, &indexes)?;
            let name = place::index_name(&self.component.id, &self.component.tree_sha256);
            self.write(&indexes.join(&name)?, self.index.bytes())?;
            self.store.reach(CrashPoint::TreeStaged)?;
        } else {
            // It is there from before: it must still be what was signed.
            self.compare(&place::component(&self.component.dir).join(PROGRAM)?)?;
        }
        let generation = self.staged("generation")?;
        compose::create_dirs(self.store, &generation)?;
        self.write(&generation.join("record.json")?, &self.record.to_bytes())
    }

    fn write(&self, path: &RootPath, bytes: &[u8]) -> Result<(), UpdateError> {
        let mut file = self.store.create_file(path)?;
        file.write(bytes)?;
        Ok(file.finish(FileMode::ReadOnly)?)
    }

    /// Everything but the program, if there is anything.
    fn stage_rest(&self, top: &RootPath) -> Result<(), UpdateError> {
        if self.index.entries().iter().all(|e| e.path().as_str() == PROGRAM) {
            return Ok(());
        }
        let mut sink = Rest {
            store: self.store,
            top,
            program: PROGRAM,
            open: None,
        };
        let (source, component) = (self.offer.source.as_ref(), &self.offer.component);
        let (options, stop) = (ExtractOptions::default(), AtomicBool::new(false));
        let done = extract(source, component, &self.index, &options, &mut sink, &Unwatched, &stop);
        done.map(drop).map_err(|e| unreadable(self.offer, e))
    }

    /// The program, through the pipeline, and then through our own hands: what gets a place in the tree is hashed again.
    fn stage_program(&self, top: &RootPath) -> Result<(), UpdateError> {
        let incoming = self.staged("incoming")?;
        compose::create_dirs(self.store, &incoming)?;
        let incoming = incoming.join(PROGRAM)?;
        let fetch = Fetch {
            source: Arc::clone(&self.offer.source),
            component: self.offer.component.clone(),
            index: Arc::clone(&self.index),
            program: PROGRAM,
            sha256: self.sha256,
        };
        pipeline::place(fetch, self.setting.version, &incoming.below(self.root.path()))?;
        let placed = top.join(PROGRAM)?;
        compose::copy(self.store, &incoming, &placed, FileMode::Program)?;
        self.compare(&placed)?;
        compose::remove_tree(self.store, &self.staged("incoming")?)?;
        Ok(())
    }

    fn compare(&self, program: &RootPath) -> Result<(), UpdateError> {
        let got = compose::hash(self.root.dir(), program)?.map(|(digest, _)| digest);
        if got == Some(self.sha256) {
            return Ok(());
        }
        Err(UpdateError::Differs {
            path: program.below(self.root.path()),
            got: got.map_or("nothing".to_owned(), |d| d.to_string()),
            expected: self.sha256.to_string(),
        })
    }

    /// Durable first, then the final names, then the directories; STAGED is in the journal after it.
    fn publish(&mut self) -> Result<(), UpdateError> {
        self.store.sync_tree(&place::staged(self.begin.txid()))?;
        self.store.reach(CrashPoint::Durable)?;
        let fresh = self.begin.fresh.clone();
        compose::create_dirs(self.store, &place::component_records())?;
        for dir in &fresh.components {
            self.clear(&place::component(dir), "dead")?;
            self.store
                .rename(&self.staged("trees")?.join(dir)?, &place::component(dir))?;
            self.store.reach(CrashPoint::Publishing)?;
        }
        for name in &fresh.indexes {
            let to = place::component_records().join(name)?;
            self.clear(&to, "dead.idx")?;
            self.store.rename(&self.staged("indexes")?.join(name)?, &to)?;
        }
        for dir in [place::components(), place::component_records()] {
            self.store.sync_dir(&dir)?;
        }
        self.store
            .rename(&self.staged("generation")?, &place::generation(self.record.id))?;
        self.store.sync_dir(&place::generations())?;
        self.store.reach(CrashPoint::Published)?;
        self.journal.append(&Record::Staged)?;
        Ok(self.store.reach(CrashPoint::Staged)?)
    }

    /// Moves what lies at a final name and belongs to no generation out of the way.
    fn clear(&self, path: &RootPath, to: &str) -> Result<(), UpdateError> {
        if self.root.dir().exists(path)? {
            self.store.rename(path, &self.staged(to)?)?;
        }
        Ok(())
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

    /// A program that does not work here is not tried again; a medium that cannot be read may be.
    fn remember(&self, error: &UpdateError, reason: &str) -> Result<(), UpdateError> {
        if !matches!(error, UpdateError::SelfCheck { .. } | UpdateError::Swap { .. }) {
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
            self.remember(&error, &reason)?;
            let mark = BadMark {
                schema: BadMark::SCHEMA.to_owned(),
                txid: self.begin.txid().to_owned(),
                at: self.setting.now.to_owned(),
                reason: reason.clone(),
            };
            doc::replace(self.store, &place::generation_bad_mark(self.record.id), &mark)?;
            self.point_back()?;
            self.store.reach(CrashPoint::Returned)?;
            if let Err(why) = swap.take_back() {
                let note = format!(
                    "the daemon before did not start again: {}",
                    kojibox_supervisor::diagnosis::chain(&why)
                );
                self.begin.draft.notes.push(note);
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

fn component(offer: &Offer, index: &Verified<Index>) -> ComponentRecord {
    let component = &offer.component;
    ComponentRecord {
        id: component.id.clone(),
        pack: offer.manifest.pack.clone(),
        version: component.version.clone(),
        tree_sha256: component.tree_sha256,
        dir: Layout::component_dir_name(&component.id, &component.version, &component.tree_sha256),
        index_sha256: index.digest(),
        data_format: None,
    }
}

fn draft(root: &InstallRoot, offer: &Offer, setting: &Setting<'_>, txid: String) -> Result<Receipt, UpdateError> {
    let manifest = &offer.manifest;
    let ids = |keys: &[kojibox_signing::KeyId]| keys.iter().map(ToString::to_string).collect();
    let pack = ReceiptPack {
        name: manifest.pack.clone(),
        version: manifest.version.clone(),
        target: manifest.target.clone(),
        sequence: manifest.sequence,
        digest: manifest.digest(),
        sbom_sha256: manifest.sbom.sha256,
        root16: offer.root16.clone(),
        root_version: offer.root_version,
        keys: ids(manifest.keys()),
        approved_by: ids(&offer.approved_by),
    };
    let verdict = ReceiptVerdict {
        check: "launcher".to_owned(),
        outcome: "passed".to_owned(),
        detail: format!(
            "only component `{LAUNCHER}` {} of this pack was taken",
            offer.component.version
        ),
    };
    Ok(Receipt {
        schema: Receipt::SCHEMA.to_owned(),
        txid,
        kind: TxKind::Update,
        outcome: TxOutcome::Undone,
        reason: None,
        command: "kojibox self-update".to_owned(),
        started: setting.now.to_owned(),
        finished: String::new(),
        from: root.pointer()?.map(|p| p.current),
        to: None,
        packs: vec![pack],
        verdicts: vec![verdict],
        bytes: ReceiptBytes {
            read: offer.component.blob.size,
            ..ReceiptBytes::default()
        },
        notes: Vec::new(),
        previous: None,
    })
}

/// The signed time and the withdrawals of the manifest count; its sequence does not: the pack itself is not installed.
fn floors(offer: &Offer) -> Floors {
    Floors {
        schema: Floors::SCHEMA.to_owned(),
        not_before: offer.manifest.issued.clone(),
        packs: [].into(),
        revoked: offer.manifest.revokes.iter().copied().collect(),
    }
}
