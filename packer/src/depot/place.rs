//! Owns how a file gets into a depot: written beside its place under a name that nobody reads, synced, then renamed.
//!
//! While it is written a file is called `.<hint>.<random>.partial`. A [`Claim`] keeps two writers of a depot apart, so what
//! it finds under such a name was left by a crash and is removed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use kojibox_console::{Exit, Report};

use crate::platform;

const SUFFIX: &str = ".partial";

/// The file system said no.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something could not be done with a file.
    #[error("could not {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process writes into the depot.
    #[error("could not write into `{}`: another process is writing there", dir.display())]
    Busy {
        /// The depot.
        dir: PathBuf,
    },
    /// The system gave no random numbers.
    #[error("could not choose a name in `{}`", dir.display())]
    Random {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: getrandom::Error,
    },
}

impl PlaceError {
    /// What scripts see.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => io_exit(source),
            Self::Busy { .. } => Exit::Busy,
            Self::Random { .. } => Exit::Unexpected,
        }
    }
}

impl From<PlaceError> for Report {
    fn from(error: PlaceError) -> Self {
        let exit = error.exit();
        let report = Self::new(exit, error);
        match exit {
            Exit::Busy => report.hint("wait for it to end; if it is gone, this command can be repeated"),
            Exit::NoSpace => report.hint("free space there, or name another folder"),
            _ => report,
        }
    }
}

/// What scripts see of an I/O error.
pub(crate) fn io_exit(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Exit::NoSpace,
        _ => Exit::FileSystem,
    }
}

/// Names the verb and the file of an I/O error.
pub(crate) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { verb, path, source }
}

/// Makes `dir` and the folders above it.
pub(crate) fn make_dir(dir: &Path) -> Result<(), PlaceError> {
    fs::create_dir_all(dir).map_err(io_error("make the folder", dir))
}

/// A file being written; dropped unfinished, it is gone.
#[derive(Debug)]
#[must_use = "a pending file is published or it is gone"]
pub(crate) struct Pending {
    path: PathBuf,
    file: Option<File>,
}

impl Pending {
    /// Starts a file in `dir`, which exists; `hint` says what it will be.
    pub(crate) fn create(dir: &Path, hint: &str) -> Result<Self, PlaceError> {
        let random = getrandom::u32().map_err(|source| PlaceError::Random {
            dir: dir.to_owned(),
            source,
        })?;
        let path = dir.join(format!(".{hint}.{random:08x}{SUFFIX}"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(io_error("create", &path))?;
        Ok(Self { path, file: Some(file) })
    }

    /// The open file.
    pub(crate) fn file(&mut self) -> &mut File {
        self.file
            .as_mut()
            .expect("a pending file is open until it is published")
    }

    /// Writes `bytes` at the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), PlaceError> {
        let result = self.file().write_all(bytes);
        result.map_err(io_error("write", &self.path))
    }

    /// Syncs the file and gives it its name, replacing what was there.
    pub(crate) fn publish(mut self, to: &Path) -> Result<(), PlaceError> {
        let file = self.file.take().expect("a pending file is published once");
        file.sync_all().map_err(io_error("write", &self.path))?;
        drop(file);
        let result = fs::rename(&self.path, to).map_err(io_error("write", to));
        if result.is_err() {
            drop(fs::remove_file(&self.path));
        }
        result
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Closed first: Windows does not remove open files. Nobody waits for the result.
        if let Some(file) = self.file.take() {
            drop(file);
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Writes a small file unless it is there with the same bytes already; true if something changed.
pub(crate) fn write_small(dir: &Path, name: &str, bytes: &[u8]) -> Result<bool, PlaceError> {
    let to = dir.join(name);
    match fs::read(&to) {
        Ok(old) if old == bytes => return Ok(false),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io_error("read", &to)(e)),
    }
    make_dir(dir)?;
    let mut pending = Pending::create(dir, name)?;
    pending.write(bytes)?;
    pending.publish(&to)?;
    Ok(true)
}

/// The right to write into a depot, held until dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    // Closing it gives the right back.
    _lock: Option<File>,
}

impl Claim {
    /// Makes the depot's folders, takes the right to write into them and removes what a crash left.
    pub(crate) fn take(depot: &Path) -> Result<Self, PlaceError> {
        let folders = ["packs", "blobs"].map(|name| depot.join(name));
        folders.iter().try_for_each(|folder| make_dir(folder))?;
        let lock = match platform::lock_dir(&folders[0]) {
            Ok(lock) => Some(lock),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return Err(PlaceError::Busy { dir: depot.to_owned() });
            }
            // A file system without locks (some FUSE ones) has one writer; what a crash left stays there.
            Err(_) => None,
        };
        if lock.is_some() {
            for folder in &folders {
                sweep(folder, is_unfinished);
            }
            sweep(&depot.join("parity"), is_unfinished);
            // Others have files at the top of a stick, too.
            sweep(depot, is_pending);
            for publisher in fs::read_dir(depot.join("trust")).into_iter().flatten().flatten() {
                sweep(&publisher.path(), is_pending);
            }
        }
        Ok(Self { _lock: lock })
    }
}

/// Removes unfinished files. Best effort, since nobody reads them.
fn sweep(folder: &Path, unfinished: fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(unfinished) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// A file in a folder that is ours alone, of this module or of who writes blobs.
fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && [SUFFIX, ".tmp"].iter().any(|end| name.ends_with(end))
}

/// A name that [`Pending`] makes, and hardly anybody else.
fn is_pending(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(SUFFIX));
    let random = inner.and_then(|name| name.rsplit_once('.')).map(|(_, random)| random);
    random.is_some_and(|r| r.len() == 8 && r.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), PlaceError> {
    platform::sync_dir(dir).map_err(io_error("sync", dir))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Claim, Pending, PlaceError, write_small};

    #[test]
    fn a_file_is_whole_or_absent_and_one_writer_sweeps_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs");
        let count = || fs::read_dir(&blobs).unwrap().count();
        fs::create_dir(&blobs).unwrap();
        fs::write(blobs.join(".a.0011aabb.partial"), "left by a crash").unwrap();
        fs::create_dir_all(dir.path().join("trust/0011223344556677")).unwrap();
        let top = [
            ".README.txt.0011aabb.partial",
            "trust/0011223344556677/.1.root.json.0011aabb.partial",
        ];
        let foreign = [".film.partial", ".a.0011AABB.partial", "b.0011aabb.partial", ".tmp"];
        for name in top.iter().chain(&foreign) {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let claim = Claim::take(dir.path()).unwrap();
        assert_eq!(count(), 0);
        let there = |name: &&str| dir.path().join(name).exists();
        assert!(!top.iter().any(&there) && foreign.iter().all(there));
        assert!(matches!(Claim::take(dir.path()), Err(PlaceError::Busy { .. })));

        let mut dropped = Pending::create(&blobs, "a").unwrap();
        dropped.write(b"half").unwrap();
        assert_eq!(count(), 1);
        drop(dropped);
        assert_eq!(count(), 0);

        assert!(write_small(&blobs, "a", b"whole").unwrap());
        assert!(!write_small(&blobs, "a", b"whole").unwrap());
        assert!(write_small(&blobs, "a", b"new").unwrap());
        assert_eq!(fs::read(blobs.join("a")).unwrap(), b"new");
        assert_eq!(count(), 1);
        drop(claim);
        Claim::take(dir.path()).unwrap();
    }
}
