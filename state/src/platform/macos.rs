//! Owns what only macOS has: `fclonefileat`, `F_FULLFSYNC`, and `libproc`.
#![expect(unsafe_code, reason = "libproc has no safe binding among our dependencies")]

use std::{
    ffi::{OsStr, c_int, c_void},
    fs::File,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, CloneFlags, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

use super::Handle;
use crate::{path::RootPath, store::Kind};

pub(super) fn reflink(source: &File, parent: &OwnedFd, name: &str) -> io::Result<()> {
    fs::fclonefileat(source, parent, name, CloneFlags::empty()).map_err(|error| match error {
        Errno::NOTSUP | Errno::OPNOTSUPP => io::ErrorKind::Unsupported.into(),
        Errno::XDEV => io::ErrorKind::CrossesDevices.into(),
        other => other.into(),
    })
}

/// `fsync` alone stops at the drive's cache; a file system without `F_FULLFSYNC` gets the `fsync`.
pub(super) fn sync_fd(fd: BorrowedFd<'_>) -> io::Result<()> {
    match retry_on_intr(|| fs::fcntl_fullfsync(fd)) {
        Ok(()) => Ok(()),
        Err(Errno::NOTSUP | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY) => Ok(retry_on_intr(|| fs::fsync(fd))?),
        Err(error) => Err(error.into()),
    }
}

/// `fsync` for every file and directory, which hands them to the drive, then one `F_FULLFSYNC`, which empties its cache.
pub(super) fn sync_tree(root: &Handle, path: &RootPath) -> io::Result<()> {
    let mut todo = vec![path.clone()];
    while let Some(dir) = todo.pop() {
        let fd = root.dir_of(&dir)?;
        for entry in root.list(&dir)? {
            let Ok(name) = &entry.name else { continue };
            match entry.kind {
                Kind::Dir => todo.push(dir.join(name).map_err(io::Error::other)?),
                Kind::File => {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let file = retry_on_intr(|| fs::openat(&*fd, name.as_str(), flags, Mode::empty()))?;
                    retry_on_intr(|| fs::fsync(&file))?;
                }
                Kind::Link | Kind::Other => {}
            }
        }
        retry_on_intr(|| fs::fsync(&*fd))?;
    }
    sync_fd(root.dir_of(path)?.as_fd())
}

const PROC_PIDPATHINFO_MAXSIZE: usize = 4096;

unsafe extern "C" {
    fn proc_listallpids(buffer: *mut c_void, buffersize: c_int) -> c_int;
    fn proc_pidpath(pid: c_int, buffer: *mut c_void, buffersize: u32) -> c_int;
}

/// The programs below `root` that run, of all processes that may be looked at.
pub(crate) fn in_use_below(root: &Path) -> Vec<PathBuf> {
    let mut pids = vec![0 as c_int; 65_536];
    let bytes = c_int::try_from(pids.len() * size_of::<c_int>()).expect("a buffer of 256 KiB");
    // SAFETY: the buffer is valid for `bytes` bytes, and the call writes at most that many.
    let n = unsafe { proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
    pids.truncate(usize::try_from(n).unwrap_or(0));
    let path_of = |pid| {
        let mut path = [0_u8; PROC_PIDPATHINFO_MAXSIZE];
        // SAFETY: the buffer is valid for the length that is passed, and the call writes at most that many bytes.
        let n = unsafe { proc_pidpath(pid, path.as_mut_ptr().cast(), 4096) };
        let n = usize::try_from(n).ok().filter(|n| *n > 0)?;
        Some(PathBuf::from(OsStr::from_bytes(&path[..n])))
    };
    let programs = pids.into_iter().filter_map(path_of);
    programs.filter(|program| program.starts_with(root)).collect()
}
