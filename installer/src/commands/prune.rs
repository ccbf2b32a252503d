//! Owns `prune`: removing generations that are no longer needed.

use kojibox_console::{Exit, Outcome, bytes};
use serde::Serialize;

use super::shared::{RootArgs, count};
use crate::{
    flow::{Session, open_locked, transact},
    report::tx_report,
    transaction::{self, PruneOptions},
    wizard::texts::EN,
};

/// Remove old generations; never the active one, never a pinned one, never what a running program needs
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Generations to keep, the active one counted; pinned ones stay besides
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = keep)]
    keep: usize,
    /// Ask nothing (nothing is asked here; for symmetry with the other commands)
    #[arg(short, long)]
    yes: bool,
}

fn keep(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| "expected a number from 1 on".to_owned())
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    generations: &'a [u64],
    trees: &'a [String],
    bytes: u64,
    in_use: &'a [u64],
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let mut locked = open_locked(session, &path)?;
    let options = PruneOptions {
        command: session.world.command.clone(),
        keep: args.keep,
    };
    let (pruned, _) = transact(session, &EN, &[], |env| transaction::prune(&mut locked, &options, env))
        .map_err(|e| tx_report(session.ui, e))?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            generations: &pruned.generations,
            trees: &pruned.trees,
            bytes: pruned.bytes,
            in_use: &pruned.in_use,
        });
    }
    for generation in &pruned.in_use {
        session
            .ui
            .note(&format!("generation {generation} stays: a program runs from it"));
    }
    if pruned.txid.is_none() {
        session.ui.status("Nothing to do: nothing is kept beyond that.");
        return Ok(Exit::NothingToDo);
    }
    session.ui.done(&format!(
        "{} and {} are gone, at most {} freed.",
        count(pruned.generations.len() as u64, "generation"),
        count(pruned.trees.len() as u64, "tree"),
        bytes(pruned.bytes)
    ));
    Ok(Exit::Done)
}
