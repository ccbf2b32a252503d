//! Owns the commands: one file each, `Args` for clap and `run` that speaks through the [`kojibox_console::Ui`].

pub mod build;
pub mod export_minisig;
pub mod key;
pub mod sign;
pub mod trust;
