//! Owns what differs between systems when a folder of the builder is read.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::is_executable;
#[cfg(windows)]
pub(crate) use windows::is_executable;
