//! Owns [`Budget`]: how many bytes are under way between the medium and the receiver.

use std::sync::{Condvar, Mutex, PoisonError};

/// Counts bytes; taking waits until there is room.
pub(super) struct Budget {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    used: u64,
    stopped: bool,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until `cost` fits, or nothing else is under way; false when stopped.
    pub(super) fn take(&self, cost: u64) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |s: &mut State| !s.stopped && s.used != 0 && s.used.saturating_add(cost) > self.limit;
        let mut state = self
            .changed
            .wait_while(state, wait)
            .unwrap_or_else(PoisonError::into_inner);
        state.used = state.used.saturating_add(cost);
        !state.stopped
    }

    pub(super) fn give_back(&self, cost: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = state.used.saturating_sub(cost);
        self.changed.notify_all();
    }

    /// Nothing is taken any more; who waits goes on and sees it.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        self.changed.notify_all();
    }
}
