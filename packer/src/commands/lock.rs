//! Owns the command `lock`: from sources to pins.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_packs::Target;
use serde_json::json;

use super::sources::{self, SourceArgs};
use crate::{lock::Lock, source::SourceError};

/// Resolve sources and write `STACK.lock`
///
/// What is pinned already stays pinned; a source that was changed in the definition is resolved anew.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The definition
    #[arg(value_name = "STACK.toml")]
    stack: PathBuf,
    /// Resolve for this target only; may be repeated [default: all targets of the definition]
    #[arg(long, value_name = "TARGET")]
    target: Vec<Target>,
    /// Resolve everything anew
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    sources: SourceArgs,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let definition = sources::load(ui, &self.stack)?;
        let targets = sources::targets(&definition, &self.target);
        let mut packs = Vec::new();
        for target in &targets {
            packs.push(sources::resolve(ui, &self.stack, &definition, target)?);
        }
        let path = Lock::path_for(&self.stack);
        let found = Lock::load(&path).map_err(SourceError::from)?;
        let is_new = found.is_none();
        let mut lock = found.unwrap_or_else(|| Lock::new(&sources::now()));
        let all: Vec<_> = definition
            .targets()
            .iter()
            .chain(&targets)
            .map(ToString::to_string)
            .collect();
        let before = lock.entries().len();
        lock.retain(|e| definition.has_component(&e.component) && all.contains(&e.target));
        let dropped = before - lock.entries().len();
        let (cache, env) = (self.sources.cache()?, self.sources.env());
        let pinned = sources::pin(ui, &packs, &mut lock, &cache, &env, self.update);
        // What was resolved before a failure is worth keeping.
        let changed = match &pinned {
            Ok(p) => p.changed || is_new || dropped > 0 || self.update,
            Err(_) => !lock.entries().is_empty(),
        };
        if changed {
            lock.issued = sources::now();
            lock.save(&path).map_err(SourceError::from)?;
        }
        let pinned = pinned.map_err(|report| said(report, changed))?;
        if ui.is_json() {
            ui.json(&json!({
                "lock": path, "issued": lock.issued, "changed": changed,
                "resolved": pinned.resolved, "kept": pinned.kept, "dropped": dropped,
            }));
        } else {
            let state = if changed { "written" } else { "unchanged" };
            ui.answer(&format!(
                "{} {state}: {} resolved, {} kept, {dropped} dropped",
                path.display(),
                pinned.resolved,
                pinned.kept
            ));
        }
        Ok(Exit::Done)
    }
}

fn said(report: Report, changed: bool) -> Report {
    if changed {
        report.state("what was resolved before is in the lock; running the same command again goes on")
    } else {
        report
    }
}
