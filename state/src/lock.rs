//! Owns the lock of an install root: `state/lock`, and `state/holder.json`, which names the one that writes.
//!
//! The lock is the operating system's (`flock`, `LockFileEx`): it ends with the process that holds it, however that
//! ended. The name of the holder is a courtesy to the one that waits; nothing else relies on it, so it is neither
//! synced nor counted as a mutation, and a stale one is told only while its process lives.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{ErrorKind::NotFound, Read as _, Seek as _, Write as _},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{error::StateError, layout::place, platform, store::RootDir};

/// Time between two tries.
const STEP: Duration = Duration::from_millis(50);
/// Largest text that names a holder, in bytes.
const HOLDER_MAX: u64 = 4096;

/// Who works on an install root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Command line, without secrets.
    pub command: String,
    /// Time of day, for people.
    pub started: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, command, started } = self;
        write!(f, "held by process {pid} (`{command}`, started {started})")
    }
}

/// So that it can stand as the cause of [`StateError::Busy`].
impl std::error::Error for Holder {}

/// Held by the one that writes; ends when dropped, or with the process.
#[derive(Debug)]
#[must_use]
pub struct ExclusiveLock {
    file: File,
    holder: Option<File>,
}

/// Held by those that read over a longer time; ends when dropped, or with the process.
#[derive(Debug)]
#[must_use]
pub struct SharedLock {
    _file: Option<File>,
}

impl ExclusiveLock {
    /// Waits up to `wait` for everybody else to finish.
    ///
    /// # Errors
    /// [`StateError::Busy`] naming the holder; [`StateError::Lock`] if the file system cannot lock.
    pub fn acquire(root: &RootDir, holder: &Holder, wait: Duration) -> Result<Self, StateError> {
        let open = || opened(root, platform::open_lock(&root.handle, &place::lock()));
        let file = take(root, wait, open, File::try_lock)?;
        let mut lock = Self { file, holder: None };
        // Who cannot write the name still holds the lock.
        if let Ok(mut name) = platform::open_lock(&root.handle, &place::holder()) {
            let text = serde_json::to_vec(holder).expect("a holder has only strings and a number");
            drop(name.set_len(0).and_then(|()| name.write_all(&text)));
            lock.holder = Some(name);
        }
        Ok(lock)
    }
}

impl Drop for ExclusiveLock {
    fn drop(&mut self) {
        if let Some(name) = &mut self.holder {
            drop(name.rewind().and_then(|()| name.set_len(0)));
        }
        drop(self.file.unlock());
    }
}

impl SharedLock {
    /// Waits up to `wait` for the one that writes. On a medium that cannot be written nobody writes, and no lock is taken.
    ///
    /// # Errors
    /// As [`ExclusiveLock::acquire`].
    pub fn acquire(root: &RootDir, wait: Duration) -> Result<Self, StateError> {
        let lock = place::lock();
        match root.open_file(&lock) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                if platform::open_lock(&root.handle, &lock).is_err() {
                    return Ok(Self { _file: None });
                }
            }
            Err(error) => return Err(error.into()),
        }
        let open = || Ok(root.open_file(&lock)?);
        let file = take(root, wait, open, File::try_lock_shared)?;
        Ok(Self { _file: Some(file) })
    }
}

/// Opens and locks the file; the one that was waited for may have dissolved the root, and a lock on a removed file keeps nobody out.
fn take(
    root: &RootDir,
    wait: Duration,
    open: impl Fn() -> Result<File, StateError>,
    lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<File, StateError> {
    let mut file = open()?;
    loop {
        patiently(root, wait, || lock(&file))?;
        let named = match platform::is_named(&root.handle, &place::lock(), &file) {
            // The directory above it went, too.
            Err(error) if error.kind() == NotFound => false,
            named => opened(root, named)?,
        };
        if named {
            return Ok(file);
        }
        file = open().map_err(|error| match error {
            // The root itself went while it was waited for.
            StateError::Lock { source, .. } if source.kind() == NotFound => gone(root),
            StateError::Store(error) if error.is_not_found() => gone(root),
            error => error,
        })?;
    }
}

fn gone(root: &RootDir) -> StateError {
    StateError::NotARoot {
        path: root.path().to_owned(),
    }
}

fn opened<T>(root: &RootDir, result: std::io::Result<T>) -> Result<T, StateError> {
    result.map_err(|source| StateError::Lock {
        path: place::lock().below(root.path()),
        source,
    })
}

fn patiently(root: &RootDir, wait: Duration, take: impl Fn() -> Result<(), TryLockError>) -> Result<(), StateError> {
    let mut waited = Duration::ZERO;
    loop {
        match take() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => {
                return Err(StateError::Lock {
                    path: place::lock().below(root.path()),
                    source,
                });
            }
            Err(TryLockError::WouldBlock) if waited >= wait => {
                return Err(StateError::Busy {
                    path: root.path().to_owned(),
                    waited,
                    holder: holder(root),
                });
            }
            Err(TryLockError::WouldBlock) => {
                thread::sleep(STEP);
                waited += STEP;
            }
        }
    }
}

/// Who writes now, as far as is known.
fn holder(root: &RootDir) -> Option<Holder> {
    let mut bytes = Vec::new();
    let file = root.open_file(&place::holder()).ok()?;
    file.take(HOLDER_MAX).read_to_end(&mut bytes).ok()?;
    let holder: Holder = serde_json::from_slice(&bytes).ok()?;
    platform::is_alive(holder.pid).then_some(holder)
}
