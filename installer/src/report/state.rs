//! Owns how failures of the install root reach a person.

use kojibox_console::{Exit, Report};
use kojibox_state::{StateError, StoreError};

use super::{NOTHING_WRITTEN, io_exit};

pub(super) fn state_advice(error: &StateError) -> (Exit, &'static str) {
    match error {
        StateError::Store(store) if store.is_no_space() => (
            Exit::NoSpace,
            "free some space, then run the same command again to go on",
        ),
        StateError::Store(store) => (store_exit(store), "check the disk and its rights"),
        StateError::Create { source, .. } => (
            io_exit(source),
            "choose a place of your own with `--root`, or have its owner give you write permission",
        ),
        StateError::Lock { .. } => (Exit::FileSystem, "choose a place on a local disk with `--root`"),
        StateError::Busy { .. } => (
            Exit::Busy,
            "wait for it to end; if that process is gone, the lock frees itself and this command can be repeated",
        ),
        StateError::NotARoot { .. } => (Exit::Usage, "name the install root with `--root`"),
        StateError::Foreign { .. } => (Exit::Usage, "choose a new or empty directory with `--root`"),
        StateError::Schema { .. } => (
            Exit::FormatTooNew,
            "use the installer that made this root, or a newer one",
        ),
        StateError::Document { .. }
        | StateError::Damaged { .. }
        | StateError::Missing { .. }
        | StateError::Manifest { .. }
        | StateError::Path(_) => (
            Exit::Damaged,
            "run `kojibox-installer verify` to see what is damaged, then `kojibox-installer repair` with the medium",
        ),
        StateError::Chain { .. } => (
            Exit::Damaged,
            "compare with an earlier `history --export`; somebody changed or removed what this root has recorded",
        ),
        StateError::Journal { .. } => (
            Exit::RecoveryNeeded,
            "check the disk, then run `kojibox-installer recover --unsafe-set-journal-aside`",
        ),
        StateError::Random(_) => (Exit::Unexpected, "run the same command again"),
    }
}

impl From<StateReport> for Report {
    fn from(error: StateReport) -> Self {
        let (exit, hint) = state_advice(&error.0);
        Self::new(exit, error.0).state(NOTHING_WRITTEN).hint(hint)
    }
}

/// A failure of the install root before anything was written.
#[derive(Debug)]
pub(crate) struct StateReport(pub(crate) StateError);

impl From<StateError> for StateReport {
    fn from(error: StateError) -> Self {
        Self(error)
    }
}

/// Exit code of a store's refusal.
fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Io { source, .. } => io_exit(source),
        StoreError::Killed(_) => Exit::FileSystem,
    }
}
