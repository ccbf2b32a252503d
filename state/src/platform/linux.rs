//! Owns what only Linux has: `FICLONE`, `syncfs`, and `/proc`.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
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

/// The programs of all processes that may be looked at.
pub(crate) fn running_programs() -> Vec<PathBuf> {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    dir.filter_map(Result::ok)
        .filter(|e| {
            e.file_name()
                .to_str()
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
        .filter_map(|e| std::fs::read_link(e.path().join("exe")).ok())
        .collect()
}
