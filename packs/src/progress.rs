//! Owns [`Progress`]: how long work tells how far it is without knowing who listens.

/// Is told how many bytes more are done; called from any thread.
pub trait Progress: Sync {
    /// `bytes` more are done.
    fn add(&self, bytes: u64);
}

/// A progress that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn add(&self, _: u64) {}
}
