//! Selects the twin of this system: the few calls on which durability and containment rest.
//!
//! `unix.rs` holds what Linux and macOS share; `linux.rs` and `macos.rs` what differs; `windows.rs` is the whole twin.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::in_use_below;
#[cfg(target_os = "macos")]
pub(crate) use macos::in_use_below;
#[cfg(unix)]
pub(crate) use unix::{
    Handle, create_root, finish_file, give_mode, is_alive, is_named, mode_of, open_lock, refusal_code, sync_open_file,
    write_link,
};
#[cfg(windows)]
pub(crate) use windows::{
    Handle, create_root, finish_file, give_mode, in_use_below, is_alive, is_named, mode_of, open_lock, refusal_code,
    sync_open_file, write_link,
};
