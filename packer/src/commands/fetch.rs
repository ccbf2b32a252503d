//! Owns the command `fetch`: fills the download cache.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui, bytes};
use kojibox_packs::Target;
use serde_json::json;

use super::sources::{self, Shown, SourceArgs};
use crate::{
    lock::{Lock, LockError},
    source::{self, SourceError},
};

/// Fill the download cache with what the lock pins
///
/// Interrupted downloads go on where they stopped. With a filled cache, `build --locked --offline` needs no network.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The definition
    #[arg(value_name = "STACK.toml")]
    stack: PathBuf,
    /// Fetch for this target only; may be repeated [default: all targets of the definition]
    #[arg(long, value_name = "TARGET")]
    target: Vec<Target>,
    #[command(flatten)]
    sources: SourceArgs,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let definition = sources::load(ui, &self.stack)?;
        let path = Lock::path_for(&self.stack);
        let lock = Lock::load(&path).map_err(SourceError::from)?;
        let lock = lock.ok_or_else(|| SourceError::from(LockError::Absent { path: path.clone() }))?;
        let (cache, env) = (self.sources.cache()?, self.sources.env());
        let (mut files, mut size, mut fetched) = (0, 0, 0);
        for target in sources::targets(&definition, &self.target) {
            let pack = sources::resolve(ui, &self.stack, &definition, &target)?;
            for component in &pack.components {
                let entry = match lock.require(component, &target) {
                    // Other steps need the same inputs.
                    Err(LockError::StepsChanged { .. }) => lock.get(&component.id, &target),
                    other => Some(other.map_err(SourceError::from)?),
                };
                let Some(entry) = entry else { continue };
                files += entry.inputs.len();
                size += entry.inputs.iter().map(|i| i.size).sum::<u64>();
                let scratch = cache.scratch().map_err(SourceError::from)?;
                let shown = Shown::new(ui);
                fetched += source::fetch(component, &target, entry, &cache, scratch.path(), &env, &shown)?;
                shown.finish();
            }
        }
        if ui.is_json() {
            ui.json(&json!({ "cache": cache.dir(), "files": files, "bytes": size, "fetched_bytes": fetched }));
        } else {
            let what = sources::amount(files, size);
            ui.answer(&format!(
                "{}: {what} pinned and there, {} fetched now",
                cache.dir().display(),
                bytes(fetched)
            ));
        }
        Ok(Exit::Done)
    }
}
