//! Users, modes and processes on Windows, as far as the suites need them there.

use std::{
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::windows::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

/// `CREATE_NEW_PROCESS_GROUP`.
const NEW_GROUP: u32 = 0x200;

/// There is no other user to run as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User;

impl User {
    /// Never.
    pub(crate) fn if_root() -> Option<Self> {
        None
    }

    /// Nothing.
    pub(crate) fn prefix(self) -> Vec<OsString> {
        Vec::new()
    }

    /// Everything is ours.
    pub(crate) fn give(self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Never: nothing is mounted here.
pub(crate) fn is_root() -> bool {
    false
}

/// A directory below the user's own is reachable already.
pub(crate) fn open_to_all(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes the files in `dir` removable: installed trees are read-only.
pub(crate) fn make_removable(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let Ok(meta) = entry.metadata() else { continue };
        let mut permissions = meta.permissions();
        if permissions.readonly() {
            #[expect(
                clippy::permissions_set_readonly_false,
                reason = "clears the one attribute that Windows has"
            )]
            permissions.set_readonly(false);
            // What cannot be changed shows when it cannot be removed.
            drop(fs::set_permissions(entry.path(), permissions));
        }
    }
}

/// Windows has no permission bits.
pub(crate) fn mode(_meta: &Metadata) -> u32 {
    0o644
}

/// Good enough to count bytes: name-independent facts of one file.
pub(crate) fn file_id(meta: &Metadata) -> (u64, u64) {
    (meta.creation_time(), meta.last_write_time() ^ meta.file_size())
}

/// Puts the command in a process group of its own.
pub(crate) fn own_group(command: &mut Command) {
    command.creation_flags(NEW_GROUP);
}

/// There are no mount namespaces.
pub(crate) fn own_mounts() -> Vec<&'static str> {
    Vec::new()
}

/// Ends the tree of `child`; there are no signals.
pub(crate) fn signal_group(child: &Child, _signal: &str) -> io::Result<()> {
    Command::new("taskkill")
        .args(["/F", "/T", "/PID", &child.id().to_string()])
        .status()
        .map(drop)
}

/// The exit code.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Processes whose program stands below `dir`: their ids and programs.
pub(crate) fn processes_below(dir: &Path) -> Vec<(u32, PathBuf)> {
    let script = "Get-Process | Where-Object Path | ForEach-Object { \"$($_.Id) $($_.Path)\" }";
    let all = super::listed(Command::new("powershell").args(["-NoProfile", "-NonInteractive", "-Command", script]));
    all.into_iter()
        .filter(|(_, program)| program.starts_with(dir))
        .collect()
}

/// Ends the process `id` at once.
pub(crate) fn end(id: u32) {
    drop(Command::new("taskkill").args(["/F", "/PID", &id.to_string()]).status());
}

/// Opens `url` in the browser of the person.
pub(crate) fn open_browser(url: &str) -> bool {
    Command::new("cmd")
        .args(["/C", "start", "", url])
        .status()
        .is_ok_and(|status| status.success())
}

/// The name decides.
pub(crate) fn make_program(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Windows has no permission bits.
pub(crate) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Windows takes nothing from a new file.
pub(crate) fn umask() -> u32 {
    0
}

/// Makes a symbolic link to a file.
pub(crate) fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

/// There is no such call.
pub(crate) fn cut_power(_dir: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
