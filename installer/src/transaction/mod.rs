//! Makes a plan true: stages, publishes, activates, asks the gate, and can be interrupted anywhere.
//!
//! The order of a transaction, what survives a stop at each point of it, and what recovery then does are in
//! `state/TRANSACTIONS.md`. Everything that changes an install root goes through [`kojibox_state::Store`].

mod activate;
mod error;
mod finish;
mod formats;
mod hashing;
mod install;
mod place_tree;
mod prune;
mod recover;
mod repair;
mod rollback;
mod room;
mod sink;
mod stage;
mod tx;
mod uninstall;
mod verify;

pub use error::{Cause, Situation, TxError};
pub use formats::{FormatChange, data_changes};
pub use install::{Installed, install};
pub use prune::{PruneOptions, Pruned, prune};
pub use recover::{Recovered, RecoveredHow, recover, set_journal_aside};
pub use repair::{Lacking, RepairOptions, Repaired, repair};
pub use rollback::{RollbackOptions, RolledBack, rollback};
pub use uninstall::{UninstallOptions, Uninstalled, uninstall};
pub use verify::{Finding, FindingKind, Verification, verify};
