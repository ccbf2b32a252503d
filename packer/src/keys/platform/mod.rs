//! Owns what differs between systems about files that nobody else may read; the twins have equal signatures.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::{create_private, others_may_read};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::{create_private, others_may_read};
