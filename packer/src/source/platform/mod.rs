//! Owns what differs between systems when a folder of the builder is read, and when a client is run.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{Group, is_executable};
#[cfg(windows)]
pub(crate) use windows::{Group, is_executable};
