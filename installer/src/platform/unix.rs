//! Owns the Linux and macOS half of the twins, through rustix.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use rustix::fs::statvfs;

use super::{User, Volume};

/// Measures the volume that holds `path`.
pub(crate) fn volume(path: &Path) -> io::Result<Volume> {
    let stat = statvfs(path)?;
    Ok(Volume {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        names: (stat.f_files > 0).then_some(stat.f_favail),
        cluster: stat.f_frsize.max(1),
        noexec: super::noexec(path)?,
    })
}

/// True if `a` and `b` are on one volume, so that a rename from one to the other is possible.
pub(crate) fn same_volume(a: &Path, b: &Path) -> io::Result<bool> {
    let id = |path: &Path| Ok::<_, io::Error>((fs::metadata(path)?.dev(), super::mount(path)?));
    Ok(id(a)? == id(b)?)
}

/// Says who runs this process.
pub(crate) fn user() -> User {
    let id = rustix::process::geteuid().as_raw();
    User {
        id: Some(id),
        superuser: id == 0,
        has_account: has_account(id),
    }
}

/// Looks `id` up in `/etc/passwd`. Directory services are not asked, so a miss is advice, never a refusal.
fn has_account(id: u32) -> bool {
    let Ok(text) = fs::read_to_string("/etc/passwd") else {
        return false;
    };
    let wanted = id.to_string();
    text.lines().any(|line| line.split(':').nth(2) == Some(&wanted))
}

/// Marks `path` as a program.
pub(crate) fn make_executable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// True if the file system says that `path` is a program.
pub(crate) fn is_executable(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o111 != 0)
}

/// True if a file can be kept from others (`0600` stays `0600`).
pub(crate) fn private_mode_kept(path: &Path) -> io::Result<bool> {
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(fs::metadata(path)?.permissions().mode() & 0o777 == 0o600)
}

/// Makes a symbolic link to a file.
pub(crate) fn symlink_file(target: &Path, link: &Path) -> io::Result<()> {
    symlink(target, link)
}

/// Gives a child its own process group, so that Ctrl-C on the terminal reaches only us.
pub(crate) fn own_group(command: &mut Command) {
    command.process_group(0);
}
