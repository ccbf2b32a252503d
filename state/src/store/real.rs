//! Owns [`RootDir`], an opened install root for reading, and [`RealStore`], which changes it.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use super::{FileMode, NewFile, Store, StoreError};
use crate::{crash::CrashPoint, path::RootPath, platform};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link (or any reparse point on Windows); never followed.
    Link,
    /// Device, socket, pipe.
    Other,
}

/// What is known of an object without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes, for a file.
    pub len: u64,
    /// May be executed; `None` where the file system has no such bit (Windows).
    pub executable: Option<bool>,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The name; `Err` holds a lossy form of one that is not UTF-8 or not valid in a root.
    pub name: Result<String, String>,
    /// The name as the file system has it.
    pub raw: OsString,
    /// What it is.
    pub kind: Kind,
}

/// An opened install root: reads, follows no symbolic link below the root, changes nothing.
pub struct RootDir {
    path: PathBuf,
    pub(crate) handle: platform::Handle,
}

impl RootDir {
    /// Opens the directory `path`, which may itself be reached through links.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        match platform::Handle::open(&path) {
            Ok(handle) => Ok(Self { path, handle }),
            Err(source) => Err(StoreError::Io {
                action: "open the install root",
                path,
                source,
            }),
        }
    }

    /// Where the root is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading.
    pub fn open_file(&self, path: &RootPath) -> Result<File, StoreError> {
        self.named("open", path, self.handle.open_read(path))
    }

    /// Reads a file of at most `max` bytes; `None` if there is none. A larger one is `FileTooLarge`.
    pub fn read(&self, path: &RootPath, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let file = match self.open_file(path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        let read = file.take(max + 1).read_to_end(&mut bytes).and_then(|n| {
            if n as u64 > max {
                return Err(io::Error::new(
                    ErrorKind::FileTooLarge,
                    format!("it has more than {max} bytes"),
                ));
            }
            Ok(())
        });
        self.named("read", path, read)?;
        Ok(Some(bytes))
    }

    /// What `path` is; `None` if there is nothing, also because something above it is a file or a link.
    pub fn stat(&self, path: &RootPath) -> Result<Option<Stat>, StoreError> {
        match self.handle.stat(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => self.named("look at", path, Err(error)),
        }
    }

    /// True if there is anything at `path`.
    pub fn exists(&self, path: &RootPath) -> Result<bool, StoreError> {
        Ok(self.stat(path)?.is_some())
    }

    /// The names in a directory, sorted; empty if there is no such directory.
    pub fn list(&self, path: &RootPath) -> Result<Vec<Listed>, StoreError> {
        match self.handle.list(path) {
            Ok(mut names) => {
                names.sort();
                Ok(names)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => self.named("list", path, Err(error)),
        }
    }

    /// Where the symbolic link `path` points; `None` if that is no UTF-8, which no link of ours is.
    pub fn read_link(&self, path: &RootPath) -> Result<Option<String>, StoreError> {
        match self.handle.read_link(path) {
            Ok(target) => Ok(Some(target)),
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(None),
            Err(error) => self.named("read the link", path, Err(error)),
        }
    }

    pub(crate) fn named<T>(&self, action: &'static str, path: &RootPath, r: io::Result<T>) -> Result<T, StoreError> {
        r.map_err(|source| StoreError::Io {
            action,
            path: path.below(&self.path),
            source,
        })
    }
}

impl fmt::Debug for RootDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootDir({})", self.path.display())
    }
}

/// Changes a real install root.
#[derive(Debug)]
pub struct RealStore {
    root: RootDir,
    crash_at: Option<CrashPoint>,
}

impl RealStore {
    /// Opens the root at `path`, which exists.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self {
            root: RootDir::open(path)?,
            crash_at: None,
        })
    }
}

impl Store for RealStore {
    fn root(&self) -> &RootDir {
        &self.root
    }

    fn reach(&self, point: CrashPoint) -> Result<(), StoreError> {
        if self.crash_at == Some(point) {
            std::process::abort();
        }
        Ok(())
    }

    /// As a kill does: no destructor runs, nothing is flushed.
    fn arm(&mut self, point: Option<CrashPoint>) {
        self.crash_at = point;
    }

    fn create_dir(&self, path: &RootPath) -> Result<(), StoreError> {
        self.root
            .named("create directory", path, self.root.handle.create_dir(path))
    }

    fn create_file(&self, path: &RootPath) -> Result<Box<dyn NewFile + '_>, StoreError> {
        let file = self.root.named("create", path, self.root.handle.create_file(path))?;
        Ok(Box::new(RealFile {
            root: &self.root,
            path: path.clone(),
            file,
        }))
    }

    fn append(&self, path: &RootPath, bytes: &[u8]) -> Result<(), StoreError> {
        self.root.named("append to", path, self.root.handle.append(path, bytes))
    }

    fn truncate(&self, path: &RootPath, len: u64) -> Result<(), StoreError> {
        self.root.named("cut", path, self.root.handle.truncate(path, len))
    }

    fn set_mode(&self, path: &RootPath, mode: FileMode) -> Result<(), StoreError> {
        self.root
            .named("set the mode of", path, self.root.handle.set_mode(path, mode))
    }

    fn reflink(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.root.named("clone into", to, self.root.handle.reflink(from, to))
    }

    fn hard_link(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.root.named("link", to, self.root.handle.hard_link(from, to))
    }

    fn symlink(&self, target: &str, path: &RootPath) -> Result<(), StoreError> {
        self.root
            .named("make the link", path, self.root.handle.symlink(target, path))
    }

    fn rename(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.root
            .named("give its final name to", to, self.root.handle.rename(from, to))
    }

    fn replace(&self, from: &RootPath, to: &RootPath) -> Result<(), StoreError> {
        self.root.named("replace", to, self.root.handle.replace(from, to))
    }

    fn replace_program(&self, from: &RootPath, to: &RootPath, aside: &RootPath) -> Result<(), StoreError> {
        let done = self.root.handle.replace_program(from, to, aside);
        self.root.named("replace", to, done)
    }

    fn remove_file(&self, path: &RootPath) -> Result<(), StoreError> {
        self.root.named("remove", path, self.root.handle.remove_file(path))
    }

    fn remove_dir(&self, path: &RootPath) -> Result<(), StoreError> {
        self.root
            .named("remove directory", path, self.root.handle.remove_dir(path))
    }

    fn remove_all(&self, dir: &RootPath, name: &OsStr) -> Result<(), StoreError> {
        let path = dir.below(self.root.path()).join(name);
        self.root.handle.remove_all(&path).map_err(|source| StoreError::Io {
            action: "remove",
            path,
            source,
        })
    }

    fn sync_file(&self, path: &RootPath) -> Result<(), StoreError> {
        self.root.named("make durable", path, self.root.handle.sync_file(path))
    }

    fn sync_dir(&self, path: &RootPath) -> Result<(), StoreError> {
        self.root.named("make durable", path, self.root.handle.sync_dir(path))
    }

    fn sync_tree(&self, path: &RootPath) -> Result<(), StoreError> {
        self.root.named("make durable", path, self.root.handle.sync_tree(path))
    }
}

struct RealFile<'a> {
    root: &'a RootDir,
    path: RootPath,
    file: File,
}

impl NewFile for RealFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let done = io::Write::write_all(&mut self.file, bytes);
        self.root.named("write", &self.path, done)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let done = platform::sync_open_file(&self.file);
        self.root.named("make durable", &self.path, done)
    }

    fn finish(self: Box<Self>, mode: FileMode) -> Result<(), StoreError> {
        let done = platform::finish_file(self.file, mode);
        self.root.named("finish", &self.path, done)
    }
}
