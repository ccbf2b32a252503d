//! The install root: its layout and records, and the one narrow way to change them.
//!
//! [`InstallRoot`] reads; [`LockedRoot`] writes, through [`store::Store`] and nothing else. The [`steps`] of a transaction are
//! here, because two programs have one; their order is each engine's. What survives a crash at any of them is in `TRANSACTIONS.md`.

pub mod crash;
pub mod doc;
mod error;
pub mod journal;
pub mod layout;
pub mod lock;
mod locked;
mod path;
mod platform;
pub mod receipts;
pub mod records;
mod root;
pub mod steps;
pub mod store;
pub mod trust;

pub use crash::CrashPoint;
pub use error::StateError;
pub use layout::Layout;
pub use lock::{ExclusiveLock, Holder, SharedLock};
pub use locked::{LockedRoot, dissolve, foreign, prepare};
pub use path::{RootPath, RootPathError};
pub use root::{BadMark, Generation, GenerationState, InstallRoot, PinMark, launcher_in};
pub use store::{Store, StoreError};

/// What the processes of this machine run, as far as they can be seen: programs, scripts, libraries, working directories.
///
/// No tree that one of them lies in is removed. Empty on Windows, where such a tree cannot be renamed in the first place.
pub fn in_use_below(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    platform::in_use_below(root)
}
