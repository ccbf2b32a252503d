//! Owns what differs between systems: twins with equal signatures, and the types they speak in.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::{PATH_LIMIT, host_libc};
#[cfg(target_os = "linux")]
use linux::{mount, noexec};
#[cfg(target_os = "macos")]
pub(crate) use macos::{PATH_LIMIT, host_libc};
#[cfg(target_os = "macos")]
use macos::{mount, noexec};
#[cfg(unix)]
pub(crate) use unix::{
    is_executable, make_executable, own_group, private_mode_kept, same_volume, symlink_file, user, volume,
};
#[cfg(windows)]
pub(crate) use windows::{
    PATH_LIMIT, host_libc, is_executable, make_executable, own_group, private_mode_kept, same_volume, symlink_file,
    user, volume,
};

/// A volume as preflight sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Bytes this user may still write.
    pub free: u64,
    /// Bytes the volume has; 0 if it does not tell.
    pub total: u64,
    /// Files and directories this user may still make; `None` if the file system was made without a fixed number.
    pub names: Option<u64>,
    /// Bytes a file of one byte takes.
    pub cluster: u64,
    /// Programs may not be run from it (`noexec`).
    pub noexec: bool,
}

/// The room on the volume of `path`.
pub(crate) fn space(path: &std::path::Path) -> std::io::Result<crate::plan::Space> {
    let Volume { free, total, .. } = volume(path)?;
    Ok(crate::plan::Space { free, total })
}

/// Who runs the installer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// Numeric id, where the system has one.
    pub id: Option<u32>,
    /// Has every right (uid 0, elevated administrator).
    pub superuser: bool,
    /// The system knows a name for the id.
    pub has_account: bool,
}

/// The C library of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostLibc {
    /// glibc of this version.
    #[cfg_attr(
        all(not(target_os = "linux"), not(test)),
        expect(dead_code, reason = "only Linux answers so")
    )]
    Glibc(u32, u32),
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "only the other systems answer so"))]
    /// Components that ask for glibc do not exist for this system.
    NotNeeded,
    /// No glibc was found where it usually is.
    #[cfg_attr(
        all(not(target_os = "linux"), not(test)),
        expect(dead_code, reason = "only Linux answers so")
    )]
    NotFound,
}

/// Longest path, in the unit the system counts, that programs can be expected to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathLimit {
    /// Whole path.
    pub path: usize,
    /// One segment.
    pub segment: usize,
}
