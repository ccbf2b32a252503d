//! Owns the commands: one file each, with its arguments and what it does.

pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod install;
pub(crate) mod pin;
pub(crate) mod prune;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod rollback;
mod shared;
pub(crate) mod status;
pub(crate) mod trust;
pub(crate) mod uninstall;
pub(crate) mod update;
pub(crate) mod verify;
pub(crate) mod wizard;
