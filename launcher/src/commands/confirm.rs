//! Owns the confirmation of a generation by a start that went well.

use std::time::Duration;

use kojibox_console::Ui;
use kojibox_state::{InstallRoot, LockedRoot, StateError, lock::Holder};

use crate::{Outside, place::Place};

/// All services of `generation` that were wanted serve: if its transaction was stopped before its gate had passed, it has now
/// passed it.
///
/// While an installer holds the root, or has left something to recover, this is its business, not ours.
pub(super) fn confirm(place: &Place, outside: &Outside, generation: u64, ui: &Ui) {
    let looked = InstallRoot::open(&place.root).and_then(|root| is_open(&root, generation));
    if !matches!(looked, Ok(true)) {
        return;
    }
    let holder = Holder {
        pid: std::process::id(),
        command: "kojibox up".to_owned(),
        started: (outside.now)().strftime("%H:%M:%S").to_string(),
    };
    // Only what is seen under the lock counts: an installer may have come in between.
    let confirmed = LockedRoot::open(&place.root, &holder, Duration::ZERO).and_then(|locked| {
        if is_open(locked.root(), generation)? {
            locked.confirm()
        } else {
            Ok(false)
        }
    });
    match confirmed {
        Ok(true) => ui.status("The active generation is confirmed: all of its services serve."),
        Ok(false) => {}
        Err(error) => ui.detail(&format!("The active generation could not be confirmed: {error}.")),
    }
}

/// True if `generation` is active and waits for its gate, and no transaction is under way.
fn is_open(root: &InstallRoot, generation: u64) -> Result<bool, StateError> {
    let waits = root.pointer()?.is_some_and(|p| p.current == generation && !p.confirmed);
    Ok(waits && !root.recovery_needed()?)
}
