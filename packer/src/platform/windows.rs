//! Owns the Windows side: directories that are synced, free space, modes.
#![expect(
    unsafe_code,
    reason = "free space is asked of the system directly; each call has its SAFETY paragraph"
)]

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::Path,
};

use windows_sys::Win32::{
    Foundation::ERROR_SHARING_VIOLATION,
    Storage::FileSystem::{FILE_FLAG_DELETE_ON_CLOSE, GetDiskFreeSpaceExW},
};

/// Windows writes directory entries with the files; there is no handle to sync.
#[expect(clippy::unnecessary_wraps, reason = "same signature as the Unix twin")]
pub(crate) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Bytes that this user may still write on the volume that holds `dir`.
pub(crate) fn free_space(dir: &Path) -> io::Result<u64> {
    let wide: Vec<u16> = dir.as_os_str().encode_wide().chain([0]).collect();
    let mut free = 0;
    // SAFETY: `wide` is zero-terminated and outlives the call; `free` is a valid place for one u64; the other two may be null.
    let ok = unsafe { GetDiskFreeSpaceExW(wide.as_ptr(), &raw mut free, std::ptr::null_mut(), std::ptr::null_mut()) };
    if ok == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(free)
    }
}

/// Windows knows programs by their name.
#[expect(clippy::unnecessary_wraps, reason = "same signature as the Unix twin")]
pub(crate) fn make_executable(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Locks a folder for one writer; [`io::ErrorKind::WouldBlock`] if another process has it. Held until the handle is closed.
///
/// Folders cannot be locked here: a file in it that nobody may share, and that is gone with its handle, stands for it.
pub(crate) fn lock_dir(dir: &Path) -> io::Result<File> {
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .custom_flags(FILE_FLAG_DELETE_ON_CLOSE)
        .open(dir.join(".writer.lock"));
    match open {
        Err(e) if e.raw_os_error() == i32::try_from(ERROR_SHARING_VIOLATION).ok() => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        result => result,
    }
}
