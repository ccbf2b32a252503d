//! Owns the command `build`: from a definition to signed packs in a depot.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Report, Ui};

/// Build packs from a definition
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The definition
    #[arg(value_name = "STACK.toml")]
    stack: PathBuf,
}

impl Args {
    /// Runs the command.
    pub fn run(self, _ui: &Ui) -> Outcome {
        Err(Report::new(
            Exit::Unexpected,
            format!("could not build `{}`", self.stack.display()),
        ))
    }
}
