//! Owns [`LockedRoot`]: an install root whose exclusive lock is held, and the making of a new one.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    crash::CrashPoint,
    doc::{self, Versioned as _},
    error::StateError,
    journal::Journal,
    layout::place,
    lock::{ExclusiveLock, Holder},
    path::RootPath,
    platform,
    records::{Install, Pointer},
    root::{InstallRoot, PinMark},
    store::{Kind, RealStore, RootDir, Store, StoreError, compose, unless_absent},
};

/// Names that operating systems and tools leave in any directory.
const LITTER: &[&str] = &[
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    "System Volume Information",
    "Thumbs.db",
    "desktop.ini",
    "lost+found",
];

/// How names of passing things begin: copies of attributes, and the probe of a file system that was killed in the middle.
const LITTER_PREFIXES: &[&str] = &["._", ".kojibox-probe-"];

/// What an interrupted making of a root may have left in `state/`, besides the id.
const HALF_MADE: &[&str] = &["lock", "holder.json", "journal", "install.json.new"];

/// An install root that only this process changes, until it is dropped.
pub struct LockedRoot {
    root: InstallRoot,
    store: Box<dyn Store>,
    lock: ExclusiveLock,
}

impl LockedRoot {
    /// Opens and locks the install root at `path`, waiting up to `wait` for others.
    ///
    /// # Errors
    /// [`StateError::NotARoot`], [`StateError::Busy`].
    pub fn open(path: &Path, holder: &Holder, wait: Duration) -> Result<Self, StateError> {
        Self::open_with(InstallRoot::open(path)?, Box::new(RealStore::open(path)?), holder, wait)
    }

    /// The same with another store, e.g. one that fails where a test wants it.
    pub fn open_with(
        root: InstallRoot,
        store: Box<dyn Store>,
        holder: &Holder,
        wait: Duration,
    ) -> Result<Self, StateError> {
        let lock = ExclusiveLock::acquire(root.dir(), holder, wait)?;
        // The one that was waited for may have uninstalled it.
        if !root.dir().exists(&place::install())? {
            return Err(StateError::NotARoot {
                path: root.path().to_owned(),
            });
        }
        ensure_journal(&*store)?;
        Ok(Self { root, store, lock })
    }

    /// Opens the root at `path`, or makes one where nothing is; `created` is RFC 3339, UTC.
    ///
    /// # Errors
    /// [`StateError::Foreign`] if the directory holds something that is not ours.
    pub fn open_or_create(path: &Path, created: &str, holder: &Holder, wait: Duration) -> Result<Self, StateError> {
        prepare(path)?;
        Self::create_with(Box::new(RealStore::open(path)?), created, holder, wait)
    }

    /// The same with another store, on a directory that [`prepare`] has accepted.
    pub fn create_with(
        store: Box<dyn Store>,
        created: &str,
        holder: &Holder,
        wait: Duration,
    ) -> Result<Self, StateError> {
        compose::create_dirs(&*store, &place::state())?;
        let lock = ExclusiveLock::acquire(store.root(), holder, wait)?;
        make(&*store, created)?;
        let root = InstallRoot::open(store.root().path())?;
        store.reach(CrashPoint::RootMade)?;
        Ok(Self { root, store, lock })
    }

    /// Ends the process when a transaction reaches `point`, so that a test can see from outside what is left.
    #[must_use]
    pub fn armed(mut self, point: Option<CrashPoint>) -> Self {
        self.store.arm(point);
        self
    }

    /// Says that the active generation has become ready; true if that was not known yet.
    ///
    /// For the launcher: a transaction that was stopped after its commit leaves its generation unconfirmed, and the next
    /// start is its gate. An automatic return of a later transaction goes to a confirmed generation.
    pub fn confirm(&self) -> Result<bool, StateError> {
        match self.root.pointer()? {
            Some(pointer) if !pointer.confirmed => {
                let confirmed = Pointer {
                    confirmed: true,
                    ..pointer
                };
                doc::replace(&*self.store, &place::pointer(), &confirmed)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Pins generation `id`, which is there, or lets it go; true if that was not so yet. Durable when it returns.
    ///
    /// Crash: it is pinned or it is not; one small document says which.
    pub fn pin(&self, id: u64, pinned_at: Option<&str>) -> Result<bool, StateError> {
        let (pin, is_pinned) = (place::generation_pin(id), self.root.pin_mark(id)?.is_some());
        match pinned_at {
            Some(_) if is_pinned => return Ok(false),
            Some(at) => {
                let mark = PinMark {
                    schema: PinMark::SCHEMA.to_owned(),
                    at: at.to_owned(),
                };
                doc::replace(&*self.store, &pin, &mark)?;
            }
            None => {
                unless_absent(self.store.remove_file(&pin))?;
                // Also one that an interrupted attempt removed may not be durable yet.
                self.store.sync_dir(&place::generation(id))?;
            }
        }
        self.store.reach(CrashPoint::Pinned)?;
        Ok(is_pinned != pinned_at.is_some())
    }

    /// Moves the journal to `backups/`, as it is, and begins an empty one; gives where it lies. For one that is damaged: what its
    /// transaction began is neither finished nor undone by it any more, and the pointer alone says what is active.
    ///
    /// Crash: it is at one of the two places; a root without a journal gets one from whoever locks it next.
    pub fn set_journal_aside(&self) -> Result<RootPath, StateError> {
        let (backups, store) = (RootPath::own("backups"), &*self.store);
        compose::create_dirs(store, &backups)?;
        store.sync_dir(&RootPath::ROOT)?;
        let there = self.root.journals_aside()?.len();
        let aside = place::journals_aside().nth(there).expect("names without end");
        unless_absent(store.rename(&place::journal(), &aside))?;
        store.sync_dir(&backups)?;
        store.sync_dir(&place::state())?;
        store.reach(CrashPoint::JournalAside)?;
        ensure_journal(store)?;
        Ok(aside)
    }

    /// The read side.
    pub fn root(&self) -> &InstallRoot {
        &self.root
    }

    /// The one way to change it.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Both, for those who read while they write.
    pub fn parts(&self) -> (&InstallRoot, &dyn Store) {
        (&self.root, &*self.store)
    }
}

/// Makes the directory at `path` if it is missing, and refuses one that belongs to something else.
///
/// # Errors
/// [`StateError::Foreign`] names one thing that is in the way.
pub fn prepare(path: &Path) -> Result<(), StateError> {
    match foreign(path)? {
        Some(holds) => Err(StateError::Foreign {
            path: path.to_owned(),
            holds,
        }),
        None => platform::create_root(path).map_err(|source| StateError::Create {
            path: path.to_owned(),
            source,
        }),
    }
}

/// What makes the directory at `path` unfit for a new install root: `None` if it is one, is missing, empty, or half-made.
pub fn foreign(path: &Path) -> Result<Option<String>, StateError> {
    let dir = match RootDir::open(path) {
        Ok(dir) => dir,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => {
            return Ok(Some("a file".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let state = RootPath::own("state");
    if dir.exists(&place::install())? {
        return Ok(None);
    }
    let name_of = |entry: crate::store::Listed| (entry.name.unwrap_or_else(|raw| raw), entry.kind);
    for (name, kind) in dir.list(&RootPath::ROOT)?.into_iter().map(name_of) {
        let ours = name == "state" && kind == Kind::Dir;
        let litter = LITTER.contains(&name.as_str()) || LITTER_PREFIXES.iter().any(|start| name.starts_with(start));
        if !ours && !litter {
            return Ok(Some(name));
        }
    }
    let left = dir.list(&state)?.into_iter().map(name_of);
    Ok(left
        .map(|(name, _)| name)
        .find(|name| !HALF_MADE.contains(&name.as_str()))
        .map(|name| format!("state/{name}")))
}

/// Gives the root its journal and, last, its id: with that it is one.
fn make(store: &dyn Store, created: &str) -> Result<(), StateError> {
    ensure_journal(store)?;
    if store.root().exists(&place::install())? {
        // An attempt that was stopped may have made it a moment ago, and its name may not be durable.
        store.sync_dir(&place::state())?;
        store.sync_dir(&RootPath::ROOT)?;
        return Ok(());
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(StateError::Random)?;
    let install = Install {
        schema: Install::SCHEMA.to_owned(),
        id: format!("{:016x}", u64::from_be_bytes(random)),
        created: created.to_owned(),
    };
    doc::replace(store, &place::install(), &install)?;
    store.sync_dir(&RootPath::ROOT)?;
    Ok(())
}

/// A root without a journal is one whose dissolution was stopped.
fn ensure_journal(store: &dyn Store) -> Result<(), StateError> {
    if !store.root().exists(&place::journal())? {
        Journal::create(store)?;
        store.sync_dir(&place::state())?;
    }
    Ok(())
}

/// Removes the last of a root whose generations are gone: receipts, trust, id, lock, and the directory itself if nothing
/// else is in it; true if it is gone.
///
/// Crash: an empty root stays, or a half-made one, which [`prepare`] accepts. The lock's own file is removed while it is
/// held, so this is the last thing that a process does here.
pub fn dissolve(locked: LockedRoot) -> Result<bool, StateError> {
    let LockedRoot { root, store, lock } = locked;
    let path: PathBuf = root.path().to_owned();
    let last = [place::journal(), place::install(), place::holder(), place::lock()];
    // All receipts or none: a part of them would look like a chain that somebody has changed to whoever installs here next.
    let old = place::receipts_gone();
    compose::remove_tree(&*store, &old)?;
    unless_absent(store.rename(&place::receipts(), &old))?;
    store.sync_dir(&place::state())?;
    for entry in root.dir().list(&place::state())? {
        match entry.name.ok().map(|name| place::state().join(&name)) {
            Some(Ok(below)) if last.contains(&below) => {}
            Some(Ok(below)) => drop(compose::remove_tree(&*store, &below)?),
            _ => store.remove_all(&place::state(), &entry.raw)?,
        }
    }
    for file in last {
        unless_absent(store.remove_file(&file))?;
    }
    let gone = store.remove_dir(&place::state()).is_ok();
    let state = root.layout().state();
    drop((root, store, lock));
    Ok((gone || removed_later(&state)) && std::fs::remove_dir(path).is_ok())
}

/// A file system behind FUSE keeps the removed lock under another name until it is closed, and a moment longer.
fn removed_later(dir: &Path) -> bool {
    const TRIES: u32 = 20;
    (0..TRIES).any(|_| {
        let gone = std::fs::remove_dir(dir).is_ok();
        if !gone {
            std::thread::sleep(Duration::from_millis(10));
        }
        gone
    })
}
