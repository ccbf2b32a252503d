//! Owns `recover`: finishing or undoing what an interrupted command left.

use kojibox_console::{Exit, Outcome};
use serde::Serialize;

use super::shared::RootArgs;
use crate::flow::{Session, open_locked, recover, told};

/// Finish or undo an interrupted command; every command that writes does it first, too
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
}

#[derive(Serialize)]
struct Document {
    root: String,
    txid: Option<String>,
    recovered: String,
    /// Bytes that the next attempt verifies again and goes on from.
    kept: u64,
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let mut locked = open_locked(session, &path)?;
    let recovered = recover(session, &mut locked)?;
    let text = told(&recovered);
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            txid: recovered.txid.clone(),
            recovered: text.clone(),
            kept: recovered.kept,
        });
    }
    session.ui.done(&format!("{text}."));
    Ok(if recovered.txid.is_some() {
        Exit::Done
    } else {
        Exit::NothingToDo
    })
}
