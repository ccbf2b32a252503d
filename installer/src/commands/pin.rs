//! Owns `pin` and `unpin`: which generations no prune removes.

use kojibox_console::{Exit, Outcome, Report};
use serde::Serialize;

use super::shared::RootArgs;
use crate::{
    flow::{self, Session, open_locked},
    report::{NOTHING_WRITTEN, StateReport},
    world,
};

/// Keep a generation: no prune removes it until it is let go with `unpin`
///
/// Exit codes: 2 there is no such generation, 50 it is so already.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Generation, as `status` shows it
    #[arg(value_name = "GENERATION")]
    generation: u64,
    #[command(flatten)]
    root: RootArgs,
}

#[derive(Serialize)]
struct Document {
    root: String,
    generation: u64,
    pinned: bool,
    changed: bool,
}

/// There is no such generation.
#[derive(Debug, thiserror::Error)]
#[error("there is no generation {0}")]
struct NoGeneration(u64);

/// Pins the generation, or lets it go.
pub(crate) fn run(session: &Session<'_>, args: &Args, pinned: bool) -> Outcome {
    let (path, id) = (args.root.path(session), args.generation);
    flow::recover_first(session, &path, false)?;
    let locked = open_locked(session, &path)?;
    if locked.root().generation(id).map_err(StateReport)?.is_none() {
        return Err(Report::new(Exit::Usage, NoGeneration(id))
            .state(NOTHING_WRITTEN)
            .hint("see `kojibox-installer status` for the generations there are"));
    }
    let at = world::utc(world::now()).to_string();
    let changed = locked.pin(id, pinned.then_some(at.as_str())).map_err(StateReport)?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            generation: id,
            pinned,
            changed,
        });
    }
    let verb = if pinned { "is kept" } else { "is not kept any more" };
    if changed {
        session.ui.done(&format!("Generation {id} {verb}."));
        Ok(Exit::Done)
    } else {
        session.ui.status(&format!("Nothing to do: generation {id} {verb}."));
        Ok(Exit::NothingToDo)
    }
}
