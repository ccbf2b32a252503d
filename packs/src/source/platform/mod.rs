//! Owns opening a file of a medium, which anyone may have filled.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::open_regular;
#[cfg(windows)]
pub use windows::open_regular;
