//! Owns the command `check`: every mistake of a definition.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui};
use kojibox_packs::Target;
use serde_json::json;

use super::sources;

/// Check a definition and tell every mistake with its place (exit 2)
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The definition
    #[arg(value_name = "STACK.toml")]
    stack: PathBuf,
    /// Check also that everything is there to build for this target; may be repeated
    #[arg(long, value_name = "TARGET")]
    target: Vec<Target>,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let definition = sources::load(ui, &self.stack)?;
        for target in &self.target {
            sources::resolve(ui, &self.stack, &definition, target)?;
        }
        let pack = definition.pack();
        let targets: Vec<_> = definition.targets().iter().map(ToString::to_string).collect();
        if ui.is_json() {
            ui.json(&json!({
                "pack": pack.name, "version": pack.version, "targets": targets, "mistakes": [],
                "files": definition.files().collect::<Vec<_>>(),
            }));
        } else {
            ui.answer(&format!(
                "{} {} has no mistakes, for {}",
                pack.name,
                pack.version,
                targets.join(", ")
            ));
        }
        Ok(Exit::Done)
    }
}
