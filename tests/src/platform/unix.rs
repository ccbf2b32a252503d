//! Users, modes and processes on Linux and macOS.

use std::{
    ffi::OsString,
    fs::{self, Metadata, Permissions},
    io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

/// The user that programs run as when the tests run as root; has an entry in the user database everywhere.
const NOBODY: &str = "nobody";

/// Another user, for programs that must not run as root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `nobody`, if this process is root.
    pub(crate) fn if_root() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let mut fields = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{NOBODY}:")))?
            .split(':')
            .skip(2);
        Some(Self {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    }

    /// What stands before a program so that it runs as this user, without a way back.
    pub(crate) fn prefix(self) -> Vec<OsString> {
        let user = format!("--reuid={}", self.uid);
        let group = format!("--regid={}", self.gid);
        let all = [
            "setpriv",
            &user,
            &group,
            "--clear-groups",
            "--no-new-privs",
            "--inh-caps=-all",
            "--",
        ];
        all.iter().map(OsString::from).collect()
    }

    /// Gives `path` to this user.
    pub(crate) fn give(self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }
}

/// True if this process is root: it may mount, and run programs as another user.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Lets everybody reach into `dir`.
pub(crate) fn open_to_all(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))
}

/// Makes `dir` removable: installed trees are read-only.
pub(crate) fn make_removable(dir: &Path) {
    let mode = fs::symlink_metadata(dir).map_or(0, |meta| meta.mode());
    // What cannot be changed shows when it cannot be removed.
    drop(fs::set_permissions(dir, Permissions::from_mode(mode | 0o700)));
}

/// Permission bits.
pub(crate) fn mode(meta: &Metadata) -> u32 {
    meta.mode() & 0o7777
}

/// The same for every name of one file.
pub(crate) fn file_id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Puts the command in a process group of its own, so that it can be ended whole.
pub(crate) fn own_group(command: &mut Command) {
    command.process_group(0);
}

/// What stands before a command so that its mounts are its own.
pub(crate) fn own_mounts() -> Vec<&'static str> {
    match User::if_root() {
        Some(_) => vec!["unshare", "--mount", "--"],
        None => vec!["unshare", "--user", "--map-root-user", "--mount", "--"],
    }
}

/// Sends `signal` (a name without `SIG`) to the group of `child`.
pub(crate) fn signal_group(child: &Child, signal: &str) -> io::Result<()> {
    let group = format!("-{}", child.id());
    let status = Command::new("kill").args(["-s", signal, "--", &group]).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("kill ended with {status}")))
    }
}

/// The exit code, or 128 and the signal as shells say it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Processes whose program stands below `dir`: their ids and programs.
pub(crate) fn processes_below(dir: &Path) -> Vec<(u32, PathBuf)> {
    let all = match fs::read_dir("/proc") {
        Ok(entries) => {
            let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
            ids.filter_map(|id| Some((id, fs::read_link(format!("/proc/{id}/exe")).ok()?)))
                .collect()
        }
        // macOS: `comm` is the whole path of the program there.
        Err(_) => super::listed(Command::new("ps").args(["-axo", "pid=,comm="])),
    };
    all.into_iter()
        .filter(|(_, program)| program.starts_with(dir))
        .collect()
}

/// Ends the process `id` at once.
pub(crate) fn end(id: u32) {
    drop(Command::new("kill").args(["-KILL", &id.to_string()]).status());
}

/// Opens `url` in the browser of the person, if there is one.
pub(crate) fn open_browser(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    Command::new(program)
        .arg(url)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Marks a file as a program.
pub(crate) fn make_program(path: &Path) -> io::Result<()> {
    set_mode(path, 0o755)
}

/// Sets permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The bits that a new file does not get.
pub(crate) fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok())
        .unwrap_or(0o022)
}

/// Makes a symbolic link.
pub(crate) fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Ends the file system that holds `dir` as a power cut would: nothing that is not on the disk gets there any more.
pub(crate) fn cut_power(dir: &Path) -> io::Result<()> {
    /// `EXT4_IOC_SHUTDOWN`, whose number is XFS's.
    const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
    /// Not even the journal is flushed.
    const NO_LOG_FLUSH: u32 = 2;
    let dir = fs::File::open(dir)?;
    // SAFETY: the call reads one `u32` through the pointer and keeps nothing of it.
    #[expect(unsafe_code, reason = "an `ioctl` without a safe binding")]
    unsafe {
        let call = rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH);
        Ok(rustix::ioctl::ioctl(&dir, call)?)
    }
}
