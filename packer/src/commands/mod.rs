//! Owns the commands: one file each, `Args` for clap and `run` that speaks through the [`kojibox_console::Ui`].

pub mod build;
pub mod check;
pub mod diff;
pub mod export;
pub mod export_minisig;
pub mod fetch;
pub mod init;
pub mod inspect;
pub mod key;
pub mod lock;
pub mod sign;
pub mod sources;
pub mod stick;
pub mod trust;
pub mod verify;
