//! Owns [`InstallRoot`], the read side that installer and launcher share.

use std::path::{Path, PathBuf};

use kojibox_packs::{index::Index, manifest::Manifest};
use kojibox_signing::{Digest, Document, Verified};
use serde::{Deserialize, Serialize};

use crate::{
    doc::{self, Versioned},
    error::StateError,
    journal,
    layout::{Layout, place},
    path::RootPath,
    receipts::{self, Receipt},
    records::{ComponentRecord, Floors, GenerationRecord, Install, LAUNCHER, Pointer},
    store::{Kind, RootDir, StoreError, compose},
    trust,
};

/// An opened install root: reads documents, checks them, changes nothing.
#[derive(Debug)]
pub struct InstallRoot {
    dir: RootDir,
    layout: Layout,
}

/// Why a generation must not be activated by itself again: `generations/<n>/bad.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadMark {
    /// `kojibox.bad/1`.
    pub schema: String,
    /// Transaction whose gate failed.
    pub txid: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// What was not ready.
    pub reason: String,
}

impl BadMark {
    /// Stands for a mark that is damaged: that there is one is what counts.
    fn unreadable() -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            txid: String::new(),
            at: String::new(),
            reason: "its mark is damaged".to_owned(),
        }
    }
}

impl Versioned for BadMark {
    const SCHEMA: &'static str = "kojibox.bad/1";
}

/// That a person wants to keep a generation: `generations/<n>/pin.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinMark {
    /// `kojibox.pin/1`.
    pub schema: String,
    /// RFC 3339, UTC.
    pub at: String,
}

impl Versioned for PinMark {
    const SCHEMA: &'static str = "kojibox.pin/1";
    const MAX_BYTES: u64 = 4096;
}

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// The pointer names it.
    Active,
    /// The pointer names it, and its gate has not passed yet.
    Unconfirmed,
    /// The one to return to.
    Previous,
    /// Its gate failed.
    Bad,
    /// Complete and kept.
    Kept,
}

/// One generation as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// What it consists of.
    pub record: GenerationRecord,
    /// Its mark, if its gate failed.
    pub bad: Option<BadMark>,
    /// A person keeps it: no prune removes it.
    pub pinned: bool,
    /// Where it stands.
    pub state: GenerationState,
}

impl InstallRoot {
    /// Opens the install root at `path`.
    ///
    /// # Errors
    /// [`StateError::NotARoot`] if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        let not_a_root = |path: &Path| StateError::NotARoot { path: path.to_owned() };
        let dir = RootDir::open(&path).map_err(|error| match error {
            StoreError::Io { source, .. } if is_no_dir(&source) => not_a_root(&path),
            other => other.into(),
        })?;
        let root = Self {
            dir,
            layout: Layout::new(path),
        };
        match root.install()? {
            Some(_) => Ok(root),
            None => Err(not_a_root(root.path())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Names inside it.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The directory, for reading.
    pub fn dir(&self) -> &RootDir {
        &self.dir
    }

    /// Its id; `None` while it is being made.
    pub fn install(&self) -> Result<Option<Install>, StateError> {
        doc::read(&self.dir, &place::install())
    }

    /// Which generation is active; `None` before the first.
    pub fn pointer(&self) -> Result<Option<Pointer>, StateError> {
        doc::read(&self.dir, &place::pointer())
    }

    /// The record of generation `id`.
    pub fn generation(&self, id: u64) -> Result<Option<GenerationRecord>, StateError> {
        let path = place::generation_record(id);
        let record: Option<GenerationRecord> = doc::read(&self.dir, &path)?;
        if let Some(record) = &record {
            check(record, id).map_err(|why| StateError::Document {
                path: path.below(self.path()),
                source: serde::de::Error::custom(why),
            })?;
        }
        Ok(record)
    }

    /// The mark of generation `id`, if its gate failed.
    pub fn bad_mark(&self, id: u64) -> Result<Option<BadMark>, StateError> {
        doc::read(&self.dir, &place::generation_bad_mark(id))
    }

    /// The pin of generation `id`, if a person keeps it.
    pub fn pin_mark(&self, id: u64) -> Result<Option<PinMark>, StateError> {
        doc::read(&self.dir, &place::generation_pin(id))
    }

    /// False if the file system of the root has no modes (FAT, exFAT): there every file looks like a program.
    ///
    /// The root's own id is a plain document, so what the file system says of it is known beforehand.
    pub fn keeps_modes(&self) -> Result<bool, StateError> {
        let stat = self.dir.stat(&place::install())?;
        Ok(stat.is_some_and(|s| s.executable == Some(false)))
    }

    /// Journals that were set aside, oldest first.
    pub fn journals_aside(&self) -> Result<Vec<RootPath>, StateError> {
        let mut out = Vec::new();
        for path in place::journals_aside() {
            if !self.dir.exists(&path)? {
                break;
            }
            out.push(path);
        }
        Ok(out)
    }

    /// Numbers that have a directory, ascending, with or without a record in it.
    pub fn generation_ids(&self) -> Result<Vec<u64>, StateError> {
        let listed = self.dir.list(&place::generations())?;
        let dirs = listed.into_iter().filter(|e| e.kind == Kind::Dir);
        let mut ids: Vec<u64> = dirs.filter_map(|e| e.name.ok()?.parse().ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// All generations whose record can be read, ascending; of the others tells [`Self::damaged_generations`]. A pin that cannot be
    /// read pins, and a mark that cannot be read marks.
    pub fn generations(&self) -> Result<Vec<Generation>, StateError> {
        let pointer = undamaged(self.pointer())?.flatten();
        let mut out = Vec::new();
        for id in self.generation_ids()? {
            if let Some(record) = undamaged(self.generation(id))?.flatten() {
                let bad = match undamaged(self.bad_mark(id))? {
                    Some(bad) => bad,
                    None => Some(BadMark::unreadable()),
                };
                let state = standing(id, pointer.as_ref(), bad.is_some());
                out.push(Generation {
                    record,
                    bad,
                    pinned: undamaged(self.pin_mark(id))?.is_none_or(|pin| pin.is_some()),
                    state,
                });
            }
        }
        Ok(out)
    }

    /// Generations whose record is damaged or gone, ascending, each with why. A directory with nothing in it only keeps a number.
    pub fn damaged_generations(&self) -> Result<Vec<(u64, StateError)>, StateError> {
        let mut out = Vec::new();
        for id in self.generation_ids()? {
            match self.generation(id) {
                Err(error) if error.is_damage() => out.push((id, error)),
                Ok(None) if self.holds_something(id)? => {
                    let path = self.layout.generation_record(id);
                    out.push((id, StateError::Missing { path }));
                }
                found => drop(found?),
            }
        }
        Ok(out)
    }

    /// True if the directory of a generation has more in it than what a stopped replacement of a document leaves.
    fn holds_something(&self, id: u64) -> Result<bool, StateError> {
        let dir = place::generation(id);
        let listed = self.dir.list(&dir)?;
        let unfinished = [
            place::generation_record(id),
            place::generation_bad_mark(id),
            place::generation_pin(id),
        ]
        .map(|document| compose::beside(&document));
        let ours = |name: &String| dir.join(name).is_ok_and(|path| unfinished.contains(&path));
        Ok(listed.iter().any(|entry| !entry.name.as_ref().is_ok_and(ours)))
    }

    /// The record of the active generation.
    pub fn current(&self) -> Result<Option<GenerationRecord>, StateError> {
        let Some(pointer) = self.pointer()? else {
            return Ok(None);
        };
        match self.generation(pointer.current)? {
            Some(record) => Ok(Some(record)),
            None => Err(StateError::Missing {
                path: self.layout.generation_record(pointer.current),
            }),
        }
    }

    /// The bytes of a recorded manifest, checked against the digest under which a generation records it.
    pub fn manifest_bytes(&self, digest: &Digest) -> Result<Vec<u8>, StateError> {
        self.record(&place::manifest(digest), digest, Manifest::MAX_BYTES)
    }

    /// A recorded manifest, checked against the digest under which a generation records it.
    pub fn manifest(&self, digest: &Digest) -> Result<Verified<Manifest>, StateError> {
        let bytes = self.manifest_bytes(digest)?;
        Verified::by_digest(bytes, digest).map_err(|source| StateError::Manifest {
            path: place::manifest(digest).below(self.path()),
            source: Box::new(source),
        })
    }

    /// The recorded signatures of a manifest: file name and bytes.
    pub fn signatures(&self, digest: &Digest) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let dir = place::pack_record(digest).join("signatures")?;
        let mut out = Vec::new();
        for entry in self.dir.list(&dir)? {
            let Ok(name) = entry.name else { continue };
            if let Some(bytes) = self.dir.read(&dir.join(&name)?, doc::MAX_BYTES)? {
                out.push((name, bytes));
            }
        }
        Ok(out)
    }

    /// The recorded index of a component tree, checked against its recorded digest.
    pub fn index(&self, component: &ComponentRecord) -> Result<Verified<Index>, StateError> {
        let path = place::component_index(&component.dir);
        let bytes = self.record(&path, &component.index_sha256, Index::MAX_BYTES)?;
        Verified::by_digest(bytes, &component.index_sha256).map_err(|source| StateError::Manifest {
            path: path.below(self.path()),
            source: Box::new(source),
        })
    }

    /// The bytes of a document that is known by its digest.
    fn record(&self, path: &RootPath, expected: &Digest, max: usize) -> Result<Vec<u8>, StateError> {
        let full = path.below(self.path());
        let Some(bytes) = self.dir.read(path, max as u64)? else {
            return Err(StateError::Missing { path: full });
        };
        let (got, expected) = (Digest::of(&bytes), *expected);
        if got != expected {
            return Err(StateError::Damaged {
                path: full,
                got,
                expected,
            });
        }
        Ok(bytes)
    }

    /// The launcher of a generation, full path; `None` if it has none.
    pub fn launcher(&self, record: &GenerationRecord) -> Option<PathBuf> {
        Some(launcher_in(record)?.below(self.path()))
    }

    /// What this root never goes below.
    pub fn floors(&self) -> Result<Option<Floors>, StateError> {
        trust::floors(&self.dir)
    }

    /// All receipts, oldest first, their chain followed.
    ///
    /// # Errors
    /// [`StateError::Chain`] names the first receipt that was changed, is out of place, or is not there although a
    /// generation or the pointer names its transaction.
    pub fn history(&self) -> Result<Vec<(Receipt, Digest)>, StateError> {
        let all = receipts::history(&self.dir)?;
        if self.recovery_needed()? {
            // The transaction under way has no receipt yet.
            return Ok(all);
        }
        let pointer = self.pointer()?.map(|p| p.txid);
        let made = self.generations()?.into_iter().map(|g| g.record.txid);
        let named = made.chain(pointer);
        let lacking = named
            .filter(|txid| !all.iter().any(|(r, _)| r.txid == *txid))
            .min_by_key(|txid| receipts::number_of(txid));
        match lacking {
            None => Ok(all),
            Some(txid) => Err(StateError::Chain {
                path: self.layout.receipts().join(format!("{txid}.json")),
                why: "it is missing, though a generation or the pointer names its transaction".to_owned(),
            }),
        }
    }

    /// The bytes of a receipt as they are on disk, for an auditor.
    pub fn receipt_bytes(&self, receipt: &Receipt) -> Result<Vec<u8>, StateError> {
        let path = place::receipt(&receipt.txid);
        self.dir
            .read(&path, Receipt::MAX_BYTES)?
            .ok_or_else(|| StateError::Missing {
                path: path.below(self.path()),
            })
    }

    /// The journal; anything in it means that recovery is due.
    pub fn journal(&self) -> Result<journal::Found, StateError> {
        journal::read(&self.dir)
    }

    /// True if a transaction was interrupted.
    pub fn recovery_needed(&self) -> Result<bool, StateError> {
        Ok(!self.journal()?.is_clean())
    }
}

/// The launcher's program of a generation, relative to the root.
pub fn launcher_in(record: &GenerationRecord) -> Option<RootPath> {
    let launcher = record.components.iter().find(|c| c.id == LAUNCHER)?;
    let file = format!("kojibox{}", std::env::consts::EXE_SUFFIX);
    place::component(&launcher.dir).join(&file).ok()
}

fn is_no_dir(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// `None` for what is damaged; every other failure stays one.
fn undamaged<T>(found: Result<T, StateError>) -> Result<Option<T>, StateError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

fn standing(id: u64, pointer: Option<&Pointer>, bad: bool) -> GenerationState {
    match pointer {
        Some(p) if p.current == id && p.confirmed => GenerationState::Active,
        Some(p) if p.current == id => GenerationState::Unconfirmed,
        _ if bad => GenerationState::Bad,
        Some(p) if p.previous == Some(id) => GenerationState::Previous,
        _ => GenerationState::Kept,
    }
}

/// A record whose names do not follow from its contents would lead out of the layout.
fn check(record: &GenerationRecord, id: u64) -> Result<(), String> {
    if record.id != id {
        return Err(format!("it is the record of generation {}", record.id));
    }
    for c in &record.components {
        if c.dir != Layout::component_dir_name(&c.id, &c.version, &c.tree_sha256)
            || RootPath::new(c.dir.as_str()).is_err()
            || c.dir.contains('/')
        {
            return Err(format!("`{}` is not the directory of component `{}`", c.dir, c.id));
        }
    }
    Ok(())
}
