//! The launcher with real processes: every test installs a tree of its own, runs the real program and cleans up.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    clippy::print_stderr,
    reason = "a fixture that fails is a failed test, and the helper is a program"
)]

mod checks;
mod cli;
mod crash;
mod data;
mod fixture;
mod helper;
mod logs;
mod publisher;
mod start;
mod stop;
mod turn;
mod update;
