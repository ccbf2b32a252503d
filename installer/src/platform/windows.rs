//! Owns the Windows half of the twins.

use std::{
    io,
    os::windows::{ffi::OsStrExt as _, fs::symlink_file as make_link, process::CommandExt as _},
    path::Path,
    process::Command,
};

use windows_sys::Win32::{
    Storage::FileSystem::{GetDiskFreeSpaceExW, GetDiskFreeSpaceW, GetVolumePathNameW},
    UI::Shell::IsUserAnAdmin,
};

use super::{HostLibc, PathLimit, User, Volume};

/// `MAX_PATH` without its NUL: we open longer ones, but the programs of a pack cannot be expected to.
pub(crate) const PATH_LIMIT: PathLimit = PathLimit {
    path: 259,
    segment: 255,
};

/// `CREATE_NEW_PROCESS_GROUP`.
const NEW_PROCESS_GROUP: u32 = 0x200;

/// Nothing for Windows is linked against glibc.
pub(crate) fn host_libc() -> HostLibc {
    HostLibc::NotNeeded
}

/// Measures the volume that holds `path`.
#[expect(unsafe_code, reason = "three calls of the Win32 file interface")]
pub(crate) fn volume(path: &Path) -> io::Result<Volume> {
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut mount = [0_u16; 1024];
    let (mut free, mut total) = (0_u64, 0_u64);
    let (mut sectors, mut sector_size, mut clusters_free, mut clusters) = (0, 0, 0, 0);
    // SAFETY: `wide` and `mount` are NUL-terminated buffers that live across the calls, `mount`'s length is given, and
    // every out pointer is a local of the type that the function writes.
    let ok = unsafe {
        GetVolumePathNameW(wide.as_ptr(), mount.as_mut_ptr(), 1024) != 0
            && GetDiskFreeSpaceExW(wide.as_ptr(), &raw mut free, &raw mut total, std::ptr::null_mut()) != 0
            && GetDiskFreeSpaceW(
                mount.as_ptr(),
                &raw mut sectors,
                &raw mut sector_size,
                &raw mut clusters_free,
                &raw mut clusters,
            ) != 0
    };
    if !ok {
        return Err(io::Error::last_os_error());
    }
    Ok(Volume {
        free,
        total,
        names: None,
        cluster: (u64::from(sectors) * u64::from(sector_size)).max(1),
        noexec: false,
    })
}

/// True if `a` and `b` are on one volume, so that a rename from one to the other is possible.
pub(crate) fn same_volume(a: &Path, b: &Path) -> io::Result<bool> {
    Ok(mount_of(a)? == mount_of(b)?)
}

/// Where the volume of `path` is mounted.
#[expect(unsafe_code, reason = "one call of the Win32 file interface")]
fn mount_of(path: &Path) -> io::Result<Vec<u16>> {
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut mount = vec![0_u16; 1024];
    // SAFETY: both are NUL-terminated buffers that live across the call, and the length of the second is given.
    if unsafe { GetVolumePathNameW(wide.as_ptr(), mount.as_mut_ptr(), 1024) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let end = mount.iter().position(|unit| *unit == 0).unwrap_or(mount.len());
    mount.truncate(end);
    Ok(mount)
}

/// Says who runs this process.
#[expect(unsafe_code, reason = "one call of the Win32 shell interface")]
pub(crate) fn user() -> User {
    // SAFETY: takes nothing and returns a flag.
    let superuser = unsafe { IsUserAnAdmin() } != 0;
    User {
        id: None,
        superuser,
        has_account: true,
    }
}

/// Every `.exe` is a program; there is no mark to set.
pub(crate) fn make_executable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Every file that is there can be run by its name.
pub(crate) fn is_executable(path: &Path) -> io::Result<bool> {
    path.metadata().map(|m| m.is_file())
}

/// Rights are inherited from the user's profile, which others cannot read.
pub(crate) fn private_mode_kept(_path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Makes a symbolic link to a file; needs developer mode or elevation.
pub(crate) fn symlink_file(target: &Path, link: &Path) -> io::Result<()> {
    make_link(target, link)
}

/// Gives a child its own process group, so that Ctrl-C on the console reaches only us.
pub(crate) fn own_group(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}
