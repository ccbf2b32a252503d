//! Owns everything that differs between systems; selects the twin. All twins have equal signatures.
//!
//! `unix` or `windows`: sockets, private files, detached processes. `linux`, `macos` or `windows_group`: the processes
//! of one service, who a process is, who listens on a port.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
mod windows_group;

#[cfg(target_os = "linux")]
pub(crate) use linux::{Keeper, Notices, boot_id, clone_file, leftovers, listener, signal, start_token, tree};
#[cfg(target_os = "linux")]
use linux::{die_with_parent, sync_volume};
#[cfg(target_os = "macos")]
pub(crate) use macos::{Keeper, Notices, boot_id, clone_file, leftovers, listener, signal, start_token, tree};
#[cfg(target_os = "macos")]
use macos::{die_with_parent, sync_volume};
#[cfg(unix)]
pub(crate) use unix::{
    ALLOWED_ENV, DEFAULT_SIGNAL, EXE, Leash, Listener, NO_FAMILY, NOT_RUNNABLE, Stream, append_private, connect,
    copy_link, detach, endpoint, free_space, inherit, is_gentle, is_private, is_private_dir, make_private_dir,
    new_private_file, on_terminate, on_wake, program_name, reader, root_key, set_patience, socket_dir, socket_dirs,
    stop_steps, sync_dir, sync_tree, system_path,
};
#[cfg(unix)]
pub use unix::{close_inherited, replace_process};
#[cfg(windows)]
pub(crate) use windows::{
    ALLOWED_ENV, DEFAULT_SIGNAL, EXE, Listener, NO_FAMILY, NOT_RUNNABLE, Notices, Stream, append_private, clone_file,
    connect, copy_link, detach, endpoint, free_space, inherit, is_gentle, is_private, is_private_dir, make_private_dir,
    new_private_file, on_terminate, on_wake, program_name, reader, root_key, set_patience, socket_dir, socket_dirs,
    stop_steps, sync_dir, sync_tree, system_path,
};
#[cfg(windows)]
pub use windows::{close_inherited, replace_process};
#[cfg(windows)]
pub(crate) use windows_group::{Keeper, Leash, boot_id, leftovers, listener, signal, start_token, tree};

/// Who listens on a port.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux is asked so far"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Nobody.
    Nobody,
    /// These processes of ours and of others; empty if they belong to someone whose processes we may not see.
    By(Vec<Owner>),
    /// This system does not say.
    Unknown,
}

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (process {})", self.name, self.pid)
    }
}
