//! Verifies, stages, activates atomically and rolls back packs from a read-only medium.
//!
//! [`plan`] is the seam: the modules above it decide (what, from where, trusted by whom, is there room), and
//! [`transaction`] makes it true. Nothing here writes to a medium, and nothing but [`transaction`] writes to an install root.

mod answers;
mod ask;
mod cli;
mod commands;
mod evidence;
mod flow;
pub mod gate;
mod interrupt;
mod medium;
mod nearest;
mod patient;
pub mod plan;
mod platform;
mod preflight;
mod progress;
mod report;
mod select;
#[cfg(test)]
mod testing;
pub mod transaction;
mod trust;
mod wizard;
mod world;

pub use cli::Cli;

/// The door of the fuzz target: the saved form of a well-formed answers file.
#[cfg(fuzzing)]
pub fn fuzzed_answers(text: String) -> Option<String> {
    let file = answers::AnswersFile::parse(std::path::Path::new("fuzzed"), text).ok()?;
    Some(file.answers.to_toml())
}
