//! Owns the turn of a command that starts or stops services: never in the middle of an installer's transaction.
//!
//! A start between the installer's `down` and its change of the pointer would bring the old version back behind its back. So
//! the root's lock is held, shared, until the daemon has taken the order; whoever comes after that gives orders of its own.

use std::time::Duration;

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_state::{
    InstallRoot, StateError, journal,
    lock::{Holder, SharedLock},
};

use crate::{Outside, place::Place};

/// How long another command may hold the root.
const PATIENCE: Duration = Duration::from_secs(30);
/// By this variable an installer says which transaction its launcher works for: its id, or the installer's process as long as
/// it has none.
pub(crate) const TRANSACTION: &str = "KOJIBOX_TRANSACTION";

/// The right to give orders, as long as it is held.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn {
    _shared: Option<SharedLock>,
}

/// Waits until no installer works on the root, unless that has sent us.
///
/// Ends with 30 and names who works there when it takes too long.
pub(crate) fn take(place: &Place, outside: &Outside, ui: &Ui) -> Outcome<Turn> {
    let root = InstallRoot::open(&place.root).map_err(unusable)?;
    let holder = match SharedLock::acquire(root.dir(), Duration::ZERO) {
        Err(StateError::Busy { holder, .. }) => holder,
        other => return held(other),
    };
    if is_sent(outside, &root, holder.as_ref()) {
        return Ok(Turn { _shared: None });
    }
    let who = holder.map_or_else(|| "another command".to_owned(), |h| format!("`{}`", h.command));
    ui.status(&format!("Waiting until {who} has ended."));
    held(SharedLock::acquire(root.dir(), PATIENCE))
}

fn held(lock: Result<SharedLock, StateError>) -> Outcome<Turn> {
    let shared = lock.map_err(unusable)?;
    Ok(Turn { _shared: Some(shared) })
}

/// True if the one that holds the lock says that this process works for it.
fn is_sent(outside: &Outside, root: &InstallRoot, holder: Option<&Holder>) -> bool {
    let named = outside.environment.iter().find(|(name, _)| name == TRANSACTION);
    let Some(named) = named.and_then(|(_, value)| value.to_str()) else {
        return false;
    };
    let found = journal::read(root.dir()).unwrap_or_default();
    found.begin().is_some_and(|b| b.txid() == named) || holder.is_some_and(|h| h.pid.to_string() == named)
}

fn unusable(error: StateError) -> Report {
    let exit = match &error {
        StateError::Busy { .. } => Exit::Busy,
        StateError::NotARoot { .. } => Exit::Usage,
        _ => Exit::FileSystem,
    };
    let hint = match exit {
        Exit::Busy => "wait for it to end, then run the same command again",
        _ => "run `kojibox doctor`",
    };
    Report::new(exit, error)
        .state("nothing was started or stopped")
        .hint(hint)
}
