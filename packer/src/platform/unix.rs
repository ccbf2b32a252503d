//! Owns the Unix side: directories that are synced, free space, modes.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

/// Makes the names in `dir` durable. A file system that cannot sync a directory (some FUSE ones) is no failure.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(e) if matches!(e.raw_os_error(), Some(code) if code == rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        result => result,
    }
}

/// Bytes that this user may still write on the volume that holds `dir`.
pub(crate) fn free_space(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Marks a program as one; file systems without modes ignore it.
pub(crate) fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    // Whoever may read may run.
    let mode = mode | (mode & 0o444) >> 2;
    match file.set_permissions(std::fs::Permissions::from_mode(mode)) {
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// Locks a folder for one writer; [`io::ErrorKind::WouldBlock`] if another process has it. Held until the handle is closed.
pub(crate) fn lock_dir(dir: &Path) -> io::Result<File> {
    let handle = File::open(dir)?;
    match handle.try_lock() {
        Ok(()) => Ok(handle),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
