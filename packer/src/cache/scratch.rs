//! Owns what is in the making below `temp/`: folders and files that are locked for as long as somebody works on them, so
//! that what a killed program left is known by its open lock and goes.
//!
//! A name and its lock come to be under the lock of `temp/.lock`, which whoever looks for such litter holds too: so nobody
//! sees a name that is not locked yet. *Limitations*: on a file system without locks litter stays until it is deleted by hand.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempDir};

use crate::platform;

/// How names of scratch folders begin.
const FOLDER: &str = "scratch-";

/// How names of unfinished entries begin.
const FILE: &str = "entry-";

/// A private folder, removed when dropped.
#[derive(Debug)]
#[must_use = "a scratch folder that is dropped is gone"]
pub struct Scratch {
    // Before the folder: on Windows the lock is a file in it.
    _lock: Option<File>,
    dir: TempDir,
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes a folder in `temp`, and removes what killed programs left there.
pub(super) fn folder(temp: &Path) -> io::Result<Scratch> {
    let guard = Guard::take(temp);
    let litter = guard.as_ref().map(|_| litter(temp)).unwrap_or_default();
    let dir = tempfile::Builder::new().prefix(FOLDER).tempdir_in(temp)?;
    let scratch = Scratch {
        // Without a lock it is not known for litter either.
        _lock: platform::lock_dir(dir.path()).ok(),
        dir,
    };
    drop(guard);
    for path in litter {
        // Best effort: another program may be removing the same, and it is of no harm.
        drop(fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)));
    }
    Ok(scratch)
}

/// Makes a file in `temp`, which stays locked while it is open.
pub(super) fn file(temp: &Path) -> io::Result<NamedTempFile> {
    let _guard = Guard::take(temp);
    let file = tempfile::Builder::new().prefix(FILE).tempfile_in(temp)?;
    // As above.
    drop(file.as_file().try_lock());
    Ok(file)
}

/// The right to make and to judge names in `temp`; held for an instant.
struct Guard(#[expect(dead_code, reason = "closing it gives the right back")] File);

impl Guard {
    /// None: the file system has no locks.
    fn take(temp: &Path) -> Option<Self> {
        let path = temp.join(".lock");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .ok()?;
        file.lock().ok().map(|()| Self(file))
    }
}

/// What nobody works on any more.
fn litter(temp: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(temp) else {
        return Vec::new();
    };
    let ours = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str()
            .is_some_and(|name| name.starts_with(FOLDER) || name.starts_with(FILE))
    });
    ours.map(|entry| entry.path()).filter(|path| is_left(path)).collect()
}

/// True if the lock of `path` can be had, so that nobody has it.
fn is_left(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => platform::lock_dir(path).is_ok(),
        Ok(found) if found.is_file() => File::open(path).is_ok_and(|file| file.try_lock().is_ok()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{file, folder};

    #[test]
    fn what_is_worked_on_stays_and_what_was_left_goes() {
        let temp = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(temp.path())
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        for left in ["scratch-dead/deep", "other"] {
            fs::create_dir_all(temp.path().join(left)).unwrap();
        }
        for left in ["entry-dead", "scratch-dead/deep/file"] {
            fs::write(temp.path().join(left), "x").unwrap();
        }
        let (first, entry) = (folder(temp.path()).unwrap(), file(temp.path()).unwrap());
        fs::write(first.path().join("file"), "in use").unwrap();
        let second = folder(temp.path()).unwrap();
        let name = |path: &std::path::Path| path.file_name().unwrap().to_owned();
        let mut expected = vec![
            ".lock".into(),
            "other".into(),
            name(entry.path()),
            name(first.path()),
            name(second.path()),
        ];
        expected.sort();
        assert_eq!(names(), expected, "only what is locked, and what is not ours, is there");
        drop((first, second, entry));
        assert_eq!(names(), [".lock", "other"]);
    }
}
