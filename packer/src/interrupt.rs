//! Owns Ctrl-C: the first asks the work at hand to stop and clean up, the second ends the program at once, both with code 3.

use std::{
    io::{self, Read},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
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

/// Longest time that a wait goes on after Ctrl-C.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

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

/// Waits for `time`, or fails once Ctrl-C was pressed.
pub(crate) fn sleep(time: Duration) -> Result<(), Interrupted> {
    let started = Instant::now();
    loop {
        check()?;
        let left = time.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
    }
}

/// A reader that fails once Ctrl-C was pressed; for bytes that may be many.
#[derive(Debug)]
pub(crate) struct Stoppable<R>(pub(crate) R);

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        check().map_err(io::Error::other)?;
        self.0.read(buf)
    }
}

/// What a command gives back once Ctrl-C was pressed.
pub fn report() -> Report {
    Report::new(Exit::Cancelled, Interrupted)
        .state("nothing is half written; running the same command again finishes the job")
}
