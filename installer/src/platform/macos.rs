//! Owns what only macOS has.

use std::{io, path::Path};

use rustix::fs::statfs;

use super::{HostLibc, PathLimit};

/// `PATH_MAX` and `NAME_MAX`.
pub(crate) const PATH_LIMIT: PathLimit = PathLimit {
    path: 1023,
    segment: 255,
};

/// `MNT_NOEXEC` of `sys/mount.h`.
const MNT_NOEXEC: u32 = 0x4;

/// True if programs may not be run from the volume of `path`.
pub(super) fn noexec(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.f_flags & MNT_NOEXEC != 0)
}

/// One device is one mount here.
pub(super) fn mount(_path: &Path) -> io::Result<u64> {
    Ok(0)
}

/// Nothing for macOS is linked against glibc.
pub(crate) fn host_libc() -> HostLibc {
    HostLibc::NotNeeded
}
