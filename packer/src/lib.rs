//! Builds signed, reproducible packs: definition, sources, lock, cache, assembly, depots and sticks.
//!
//! The binary is thin; [`cli`] holds the command line and [`commands`] one file per command.

pub mod assemble;
pub mod cache;
pub mod cli;
pub mod commands;
pub mod definition;
pub mod depot;
pub mod diff;
pub mod elf;
pub mod export;
pub mod interrupt;
pub mod keys;
pub mod lock;
mod platform;
pub mod source;
pub mod stick;
pub mod tools;
pub mod upstream;
pub mod verify;
