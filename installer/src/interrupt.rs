//! Owns Ctrl-C: the first asks for a clean end, the second ends at once.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use kojibox_console::Exit;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// Sets `cancel` at the first signal, and ends the process at the second. What is on disk then is recovered by the next command.
pub(crate) fn watch(cancel: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // Order matters: the second look happens before the first one sets the flag.
        flag::register_conditional_shutdown(signal, Exit::Cancelled as i32, Arc::clone(cancel))?;
        flag::register(signal, Arc::clone(cancel))?;
    }
    Ok(())
}
