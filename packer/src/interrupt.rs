//! Owns Ctrl-C: the first asks the work at hand to stop and clean up, the second ends the program at once, both with code 3.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use kojibox_console::{Exit, Report};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// A person pressed Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Listens from now on; called once by the program.
pub fn listen() -> io::Result<()> {
    let asked = ASKED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag set.
        flag::register_conditional_shutdown(signal, Exit::Cancelled as i32, Arc::clone(asked))?;
        flag::register(signal, Arc::clone(asked))?;
    }
    Ok(())
}

/// The flag that is set by Ctrl-C, for work that takes one.
pub fn flag() -> &'static AtomicBool {
    ASKED.get_or_init(Arc::default)
}

/// True once Ctrl-C was pressed.
pub fn asked() -> bool {
    flag().load(Ordering::Relaxed)
}

/// Fails once Ctrl-C was pressed; for loops over long work.
pub fn check() -> Result<(), Interrupted> {
    if asked() { Err(Interrupted) } else { Ok(()) }
}

/// What a command gives back once Ctrl-C was pressed.
pub fn report() -> Report {
    Report::new(Exit::Cancelled, Interrupted)
        .state("nothing is half written; running the same command again finishes the job")
}
