//! Owns [`FaultStore`]: a store that fails, stops, or forgets what was not synced, at the N-th mutation.
//!
//! Mutations are counted from 1. A stop is a value, not a panic: from then on every change is refused with
//! [`StoreError::Killed`], as if the process were dead, and what is on disk is what a killed process leaves. With a
//! [`Model`] beside it, the same moment can be turned into every disk that a power cut may leave.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{FileMode, NewFile, RealStore, RootDir, Store, StoreError, model::Model};
use crate::{crash::CrashPoint, path::RootPath, platform};

/// Why a file system says no. Each is the error number that this system uses for it, as a real refusal carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// `EIO`: the medium failed.
    Medium,
    /// `ENOSPC`: the volume is full.
    NoSpace,
    /// `EDQUOT`: the user's share of the volume is full.
    Quota,
    /// `EACCES`: the right is missing.
    Denied,
    /// `EINTR`: a signal came in between.
    Interrupted,
    /// `EROFS`: the volume became read-only, as ext4 does after an error of its own.
    ReadOnly,
}

impl Refusal {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Medium,
        Self::NoSpace,
        Self::Quota,
        Self::Denied,
        Self::Interrupted,
        Self::ReadOnly,
    ];

    /// The error of this system.
    pub fn error(self) -> io::Error {
        io::Error::from_raw_os_error(platform::refusal_code(self))
    }
}

/// What happens at a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused; nothing changes.
    Refused(Refusal),
    /// It is refused, and so is every later one: a dying disk, or one that became read-only.
    RefusedFromHere(Refusal),
    /// A write stores half of its bytes and then finds the volume full; other mutations are refused as full.
    ShortWrite,
    /// The process stops before it.
    Kill,
    /// The process stops in the middle of it: a write stores half of its bytes. Other mutations are all or nothing.
    TornKill,
}

/// When and how to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Number of the mutation, from 1.
    pub at: u64,
    /// What happens.
    pub fault: Fault,
    /// An error repeats at every later mutation that takes space (a full disk stays full).
    pub lasting: bool,
}

impl FaultPlan {
    /// True if mutation number `count`, `what`, is to be hit.
    fn strikes(&self, count: u64, what: &str) -> bool {
        if count <= self.at {
            return count == self.at;
        }
        match self.fault {
            Fault::RefusedFromHere(_) => true,
            _ => self.lasting && takes_space(what),
        }
    }
}

/// One mutation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Name of the method.
    pub what: &'static str,
    /// Its target.
    pub path: RootPath,
}

/// The test's hand on a [`FaultStore`] that is already in use.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<FaultPlan>,
    stop_at: Option<CrashPoint>,
    count: u64,
    dead: bool,
    asked: Vec<Asked>,
    reached: Vec<CrashPoint>,
    model: Option<Model>,
}

/// How a mutation is to be carried out.
enum Way {
    Whole,
    /// Half of a write, then this error.
    Half(StoreError),
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mutations asked for so far, refused ones too.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Every mutation asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// Crash points passed so far.
    pub fn reached(&self) -> Vec<CrashPoint> {
        self.lock().reached.clone()
    }

    /// True once the process counts as stopped.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Stops at a named point instead of a number.
    pub fn stop_at(&self, point: CrashPoint) {
        self.lock().stop_at = Some(point);
    }

    /// Makes, in the empty directory `out`, a disk that a power cut now may leave.
    ///
    /// `choose(n)` returns a number below `n` and decides each open question: it makes the whole space of outcomes
    /// enumerable or random. Returns `None` if the store keeps no model.
    pub fn power_cut(&self, out: &Path, choose: &mut dyn FnMut(u32) -> u32) -> io::Result<Option<()>> {
        let state = self.lock();
        let Some(model) = &state.model else {
            return Ok(None);
        };
        model.after_cut(choose).write_to(out).map(Some)
    }

    fn before(&self, root: &RootDir, what: &'static str, path: &RootPath) -> Result<Way, StoreError> {
        let mut state = self.lock();
        if state.dead {
            return Err(StoreError::Killed(state.count));
        }
        state.count += 1;
        state.asked.push(Asked {
            what,
            path: path.clone(),
        });
        let Some(plan) = state.plan else {
            return Ok(Way::Whole);
        };
        if !plan.strikes(state.count, what) {
            return Ok(Way::Whole);
        }
        let refused = |refusal: Refusal| StoreError::Io {
            action: what,
            path: path.below(root.path()),
            source: refusal.error(),
        };
        match plan.fault {
            Fault::Refused(why) | Fault::RefusedFromHere(why) => Err(refused(why)),
            Fault::ShortWrite if takes_bytes(what) => Ok(Way::Half(refused(Refusal::NoSpace))),
            Fault::ShortWrite => Err(refused(Refusal::NoSpace)),
            Fault::Kill => {
                state.dead = true;
                Err(StoreError::Killed(state.count))
            }
            Fault::TornKill => {
                state.dead = true;
                let killed = StoreError::Killed(state.count);
                if takes_bytes(what) {
                    Ok(Way::Half(killed))
                } else {
                    Err(killed)
                }
            }
        }
    }

    fn mirror(&self, change: impl FnOnce(&mut Model)) {
        if let Some(model) = &mut self.lock().model {
            change(model);
        }
    }
}

fn takes_bytes(what: &str) -> bool {
    matches!(what, "write" | "append")
}

fn takes_space(what: &str) -> bool {
    matches!(
        what,
        "write" | "append" | "create_file" | "create_dir" | "hard_link" | "reflink" | "symlink"
    )
}

/// A real store with a hand on it.
#[derive(Debug)]
pub struct FaultStore {
    real: RealStore,
    faults: Arc<Faults>,
}

impl FaultStore {
    /// Opens the root at `path`; with a model if power cuts are wanted.
    pub fn open(path: impl Into<PathBuf>, plan: Option<FaultPlan>, with_model: bool) -> Result<Self, StoreError> {
        let real = RealStore::open(path)?;
        let model = with_model.then(|| Model::load(real.root())).transpose()?;
        let faults = Faults::default();
        {
            let mut state = faults.lock();
            state.plan = plan;
            state.model = model;
        }
        Ok(Self {
            real,
            faults: Arc::new(faults),
        })
    }

    /// Opens the root at `path` after the process whose hand was `before` has stopped there: what that process did not
    /// sync is as open as it was, because a stop of a process syncs nothing. Without a model in `before` there is none here.
    pub fn after(before: &Faults, path: impl Into<PathBuf>, plan: Option<FaultPlan>) -> Result<Self, StoreError> {
        let store = Self::open(path, plan, false)?;
        let model = before.lock().model.clone();
        store.faults.lock().model = model;
        Ok(store)
    }

    /// The hand on it.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    fn change(
        &self,
        what: &'static str,
        path: &RootPath,
        act: impl FnOnce(&RealStore) -> Result<(), StoreError>,
        mirror: impl FnOnce(&mut Model),
    ) -> Result<(), StoreError> {
        match self.faults.before(self.real.root(), what, path)? {
            Way::Whole => act(&self.real)?,
            Way::Half(error) => return Err(error),
        }
        self.faults.mirror(mirror);
        Ok(())
    }
}

impl Store for FaultStore {
    fn root(&self) -> &RootDir {
        self.real.root()
    }

    fn reach(&self, point: CrashPoint) -> Result<(), StoreError> {
        let mut state = self.faults.lock();
        if state.dead {
            return Err(StoreError::Killed(state.count));
        }
        state.reached.push(point);
        if state.stop_at == Some(point) {
            state.dead = true;
            return Err(StoreError::Killed(state.count));
        }
        Ok(())
    }

    fn create_dir(&self, path: &RootPath) -> Result<(), StoreError> {
        self.change("create_dir", path, |s| s.create_dir(path), |m| m.create_dir(path))
    }

    fn create_file(&self, path: &RootPath) -> Result<Box<dyn NewFile + '_>, StoreError> {
        match self.faults.before(self.real.root(), "create_file", path)? {
            Way::Whole => {}
            Way::Half(error) => return Err(error),
        }
        let inner = self.real.create_file(path)?;
        self.faults.mirror(|m| m.create_file(path));
        Ok(Box::new(FaultFile {
            store: self,
            path: path.clone(),
            inner,
        }))
    }

    fn append(&self, path: &RootPath, bytes: &[u8]) -> Result<(), StoreError> {
        let (bytes, end) = halve(self.faults.before(self.real.root(), "append", path)?, bytes);
        self.real.append(path, bytes)?;
        self.faults.mirror(|m| m.append(path, bytes));
        end
    }

    fn truncate(&self, path: &RootPath, len: u64) -> Result<(), StoreError> {
        self.change("truncate", path, |s| s.truncate(path, len), |m| m.truncate(path, len))
    }

    fn set_mode(&self, path: &RootPath, mode: FileMode) -> Result<(), StoreError> {
        self.change(
            "set_mode",
            path,
            |s| s.set_mode(path, mode),
            |m| m.set_mode(path, mode.bits()),
        )
    }

    fn reflink(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.change("reflink", to, |s| s.reflink(from, to), |m| m.clone_file(from, to))
    }

    fn hard_link(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.change("hard_link", to, |s| s.hard_link(from, to), |m| m.hard_link(from, to))
    }

    fn symlink(&self, target: &str, path: &RootPath) -> Result<(), StoreError> {
        self.change(
            "symlink",
            path,
            |s| s.symlink(target, path),
            |m| m.symlink(target, path),
        )
    }

    fn rename(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.change("rename", to, |s| s.rename(from, to), |m| m.rename(from, to))
    }

    fn replace(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.change("replace", to, |s| s.replace(from, to), |m| m.rename(from, to))
    }

    fn replace_program(&self, from: &RootPath, to: &RootPath, aside: &RootPath) -> Result<(), StoreError> {
        let act = |s: &RealStore| s.replace_program(from, to, aside);
        self.change("replace_program", to, act, |m| m.rename(from, to))
    }

    fn remove_file(&self, path: &RootPath) -> Result<(), StoreError> {
        self.change("remove_file", path, |s| s.remove_file(path), |m| m.remove(path))
    }

    fn remove_dir(&self, path: &RootPath) -> Result<(), StoreError> {
        self.change("remove_dir", path, |s| s.remove_dir(path), |m| m.remove(path))
    }

    fn remove_all(&self, dir: &RootPath, name: &OsStr) -> Result<(), StoreError> {
        let path = name.to_str().and_then(|name| dir.join(name).ok());
        let mirror = |m: &mut Model| path.iter().for_each(|path| m.remove(path));
        let shown = path.as_ref().unwrap_or(dir);
        self.change("remove_all", shown, |s| s.remove_all(dir, name), mirror)
    }

    fn sync_file(&self, path: &RootPath) -> Result<(), StoreError> {
        self.change("sync_file", path, |s| s.sync_file(path), |m| m.sync_file(path))
    }

    fn sync_dir(&self, path: &RootPath) -> Result<(), StoreError> {
        self.change("sync_dir", path, |s| s.sync_dir(path), |m| m.sync_dir(path))
    }

    fn sync_tree(&self, path: &RootPath) -> Result<(), StoreError> {
        self.change("sync_tree", path, |s| s.sync_tree(path), |m| m.sync_tree(path))
    }
}

fn halve(way: Way, bytes: &[u8]) -> (&[u8], Result<(), StoreError>) {
    match way {
        Way::Whole => (bytes, Ok(())),
        Way::Half(error) => (&bytes[..bytes.len() / 2], Err(error)),
    }
}

struct FaultFile<'a> {
    store: &'a FaultStore,
    path: RootPath,
    inner: Box<dyn NewFile + 'a>,
}

impl FaultFile<'_> {
    fn before(&self, what: &'static str) -> Result<Way, StoreError> {
        self.store.faults.before(self.store.real.root(), what, &self.path)
    }
}

impl NewFile for FaultFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let (bytes, end) = halve(self.before("write")?, bytes);
        self.inner.write(bytes)?;
        self.store.faults.mirror(|m| m.append(&self.path, bytes));
        end
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        match self.before("sync")? {
            Way::Whole => self.inner.sync()?,
            Way::Half(error) => return Err(error),
        }
        self.store.faults.mirror(|m| m.sync_file(&self.path));
        Ok(())
    }

    fn finish(self: Box<Self>, mode: FileMode) -> Result<(), StoreError> {
        match self.before("finish")? {
            Way::Whole => {}
            Way::Half(error) => return Err(error),
        }
        let Self { store, path, inner } = *self;
        inner.finish(mode)?;
        store.faults.mirror(|m| m.set_mode(&path, mode.bits()));
        Ok(())
    }
}
