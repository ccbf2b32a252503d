//! Owns [`Store`], the one narrow way to change components, generations, records, state and staging of an install root.
//!
//! Every method is one mutation of the file system, small enough to be counted, failed, or never to have happened.
//! [`RealStore`] does it; [`FaultStore`] does it until it is told otherwise. What is made of several mutations is in
//! [`compose`], written against the trait, so that a test can stop between any two of them.
//!
//! *Limitations*: the file `state/lock` and the text that names its holder are written by [`crate::lock`], because they
//! say who works here, not what is here, and nothing that must survive a crash is read from them.

pub mod compose;
pub mod faults;
pub mod model;
mod real;

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    path::PathBuf,
};

pub use faults::{Asked, Fault, FaultPlan, FaultStore, Faults, Refusal};
pub use real::{Kind, Listed, RealStore, RootDir, Stat};

use crate::{crash::CrashPoint, path::RootPath};

/// What a finished file may be used for. Windows knows only "read-only" of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// 0644: a document that is replaced later.
    Plain,
    /// 0444: never changed again.
    ReadOnly,
    /// 0555: never changed again, may be executed.
    Program,
    /// 0755: may be executed and replaced (the front door).
    FrontDoor,
}

impl FileMode {
    /// The permission bits on Unix.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::ReadOnly => 0o444,
            Self::Program => 0o555,
            Self::FrontDoor => 0o755,
        }
    }

    /// True if nobody may write to it.
    pub const fn is_read_only(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Program)
    }
}

/// The only way to change an install root. Paths are relative to the root; no segment may be a symbolic link.
///
/// Names become durable with [`Store::sync_dir`] of their directory, bytes with [`NewFile::sync`], both for a whole
/// tree with [`Store::sync_tree`]. Directories are 0755: a tree of read-only files in ordinary directories can be
/// copied, moved and deleted with ordinary tools, and `verify` names what was added to it.
pub trait Store: Send + Sync {
    /// The read side.
    fn root(&self) -> &RootDir;
    /// Says that `point` is reached; a test may stop here.
    fn reach(&self, point: CrashPoint) -> Result<(), StoreError>;
    /// Ends the process at `point`, for tests from outside; a store that cannot ignores it.
    fn arm(&mut self, _point: Option<CrashPoint>) {}
    /// Makes one directory; its parent exists, it does not.
    fn create_dir(&self, path: &RootPath) -> Result<(), StoreError>;
    /// Makes an empty file that did not exist, private until it is finished.
    fn create_file(&self, path: &RootPath) -> Result<Box<dyn NewFile + '_>, StoreError>;
    /// Adds `bytes` at the end of an existing file.
    fn append(&self, path: &RootPath, bytes: &[u8]) -> Result<(), StoreError>;
    /// Cuts an existing file to `len` bytes. One that is finished or has another name is refused: those bytes may be somebody's.
    fn truncate(&self, path: &RootPath, len: u64) -> Result<(), StoreError>;
    /// Sets the mode of an existing file.
    fn set_mode(&self, path: &RootPath, mode: FileMode) -> Result<(), StoreError>;
    /// Makes `to`, which did not exist, share the blocks of `from`; `Unsupported` where the file system cannot.
    fn reflink(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError>;
    /// Makes `to`, which did not exist, another name of the file `from`.
    fn hard_link(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError>;
    /// Makes `path`, which did not exist, a symbolic link to `target`.
    fn symlink(&self, target: &str, path: &RootPath) -> Result<(), StoreError>;
    /// Gives `from` the name `to`, which did not exist.
    fn rename(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError>;
    /// Gives the file `from` the name `to`; a reader of `to` sees the old file or the new one, never neither.
    fn replace(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError>;
    /// Like [`Store::replace`] for a program that may be running: Windows first moves the old one to `aside`.
    fn replace_program(&self, from: &RootPath, to: &RootPath, aside: &RootPath) -> Result<(), StoreError>;
    /// Removes a file or a symbolic link, read-only or not.
    fn remove_file(&self, path: &RootPath) -> Result<(), StoreError>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &RootPath) -> Result<(), StoreError>;
    /// Removes what `dir` has by the name `name`, whole, whatever the names in it are; no link is followed. A stop in it leaves
    /// less, and it is asked for again. For what services and persons have made; our own trees go one by one.
    fn remove_all(&self, dir: &RootPath, name: &OsStr) -> Result<(), StoreError>;
    /// Makes the bytes of a file durable.
    fn sync_file(&self, path: &RootPath) -> Result<(), StoreError>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &RootPath) -> Result<(), StoreError>;
    /// Makes everything at and below `path` durable, names and bytes.
    fn sync_tree(&self, path: &RootPath) -> Result<(), StoreError>;
}

/// A file that is being written. Dropped without [`NewFile::finish`], it stays what it is: private and cut short.
pub trait NewFile: Send {
    /// Adds `bytes`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Makes the bytes durable.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// Gives the file its mode and closes it. On Windows the bytes are durable after it, because a read-only file
    /// cannot be flushed later.
    fn finish(self: Box<Self>, mode: FileMode) -> Result<(), StoreError>;
}

/// A change of the install root did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// Verb phrase.
        action: &'static str,
        /// Full path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A test stopped this process here; it must not be caught.
    #[error("stopped at mutation {0} by fault injection")]
    Killed(u64),
}

impl StoreError {
    /// The kind of the file system's refusal; `None` for a stop.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Killed(_) => None,
        }
    }

    /// True if the volume or a quota is full.
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.kind(),
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero)
        )
    }

    /// True if the process counts as dead: nothing may be cleaned up after it.
    pub fn is_killed(&self) -> bool {
        matches!(self, Self::Killed(_))
    }

    /// True if the object did not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == Some(ErrorKind::NotFound)
    }
}

/// `Ok(true)` if done, `Ok(false)` if there was nothing there to do it to.
pub fn unless_absent(result: Result<(), StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
