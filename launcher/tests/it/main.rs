//! The launcher with real processes: every test installs a tree of its own, runs the real program and cleans up.

mod cli;
mod crash;
mod data;
mod fixture;
mod helper;
mod logs;
mod start;
mod stop;
