//! Owns what only Linux has: `FICLONE`, `syncfs`, and `/proc`.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags},
    io::retry_on_intr,
};

use super::Handle;
use crate::path::RootPath;

pub(super) fn reflink(source: &File, parent: &OwnedFd, name: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    fs::ioctl_ficlone(&target, source).map_err(|error| {
        // What was made for the clone must not stay; a failure here is found when the name is used next.
        let _ = fs::unlinkat(parent, name, AtFlags::empty());
        match error {
            rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOTTY | rustix::io::Errno::INVAL => {
                io::ErrorKind::Unsupported.into()
            }
            rustix::io::Errno::XDEV => io::ErrorKind::CrossesDevices.into(),
            other => other.into(),
        }
    })
}

pub(super) fn sync_fd(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::fsync(fd))?)
}

/// One call for the whole file system: cheaper than an `fsync` per file, and it reports write-back errors (5.8).
pub(super) fn sync_tree(root: &Handle, path: &RootPath) -> io::Result<()> {
    let dir = root.dir_of(path)?;
    Ok(retry_on_intr(|| fs::syncfs(dir.as_fd()))?)
}

/// Bytes of a command line or a memory map that are looked at; a process with more of them is seen in part.
const PROC_MAX: u64 = 8 << 20;

/// Places below `root` that a process runs from, of all processes that may be looked at: its program, its working
/// directory, a script it was given, a library it has mapped.
pub(crate) fn in_use_below(root: &Path) -> Vec<PathBuf> {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let is_process = |name: &str| name.bytes().all(|b| b.is_ascii_digit());
    let processes = dir
        .filter_map(Result::ok)
        .filter(|e| e.file_name().to_str().is_some_and(is_process));
    let mut found = BTreeSet::new();
    for process in processes.map(|e| e.path()) {
        let links = ["exe", "cwd"].map(|name| std::fs::read_link(process.join(name)).ok());
        found.extend(links.into_iter().flatten());
        let words = head(&process.join("cmdline"));
        found.extend(words.split(|b| *b == 0).map(path_of));
        // A path begins at the first slash of its line: nothing before it has one.
        let maps = head(&process.join("maps"));
        let mapped = maps
            .split(|b| *b == b'\n')
            .filter_map(|line| line.get(line.iter().position(|b| *b == b'/')?..));
        found.extend(mapped.map(path_of));
    }
    found.into_iter().filter(|path| path.starts_with(root)).collect()
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The beginning of a file of `/proc`; empty if the process is gone or somebody else's.
fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PROC_MAX).read_to_end(&mut bytes));
    // What was read until it failed counts.
    drop(read);
    bytes
}
