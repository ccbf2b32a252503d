//! Owns `rollback`: back to a kept generation, without any medium.

use std::sync::Arc;

use kojibox_console::{Exit, Outcome, Report};
use kojibox_packs::manifest::Manifest;
use kojibox_signing::Verified;
use kojibox_state::LockedRoot;
use serde::Serialize;

use super::shared::{RootArgs, confirm};
use crate::{
    flow::{self, Session, manifests_of, open_locked, transact},
    gate::LauncherGate,
    report::{StateReport, tx_report},
    transaction::{self, FormatChange, RollbackOptions, data_changes},
    wizard::texts::EN,
};

/// Go back to a kept generation; needs no medium
///
/// Every file of it is checked first. Exit codes: 21 it is damaged, 23 it was withdrawn, 40 it did not become ready
/// (the version in use stays), 50 there is nothing to go back to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Generation; default: the previous one
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    /// Go back to data of an older format; asks, after saying what will be missing and where it is kept
    #[arg(long)]
    restore_data: bool,
    /// Go back even to a release that its publisher withdrew
    #[arg(long)]
    unsafe_revoked: bool,
    /// Ask nothing (only `--restore-data` asks)
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    generation: u64,
    from: u64,
    txid: &'a str,
    formats: &'a [FormatChange],
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    // What a person agrees to is told from what is active then.
    flow::recover_first(session, &path, false)?;
    let mut locked = open_locked(session, &path)?;
    let manifests = manifests_of(locked.root());
    let options = RollbackOptions {
        command: session.world.command.clone(),
        to: args.to,
        restore_data: args.restore_data,
        unsafe_revoked: args.unsafe_revoked,
    };
    if args.restore_data {
        agree(session, &locked, &manifests, args)?;
    }
    let (done, _) = transact(session, &EN, &manifests, |env| {
        transaction::rollback(&mut locked, &options, env)
    })
    .map_err(|e| tx_report(session.ui, e))?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            generation: done.to,
            from: done.from,
            txid: &done.txid,
            formats: &done.formats,
        });
    }
    session.ui.done(&format!(
        "Generation {} is active again; {} is kept.",
        done.to, done.from
    ));
    for change in &done.formats {
        session.ui.note(&change.to_string());
    }
    Ok(Exit::Done)
}

/// Says what will be missing and asks, if anything will.
fn agree(
    session: &Session<'_>,
    locked: &LockedRoot,
    manifests: &[Arc<Verified<Manifest>>],
    args: &Args,
) -> Result<(), Report> {
    let root = locked.root();
    let previous = root.pointer().map_err(StateReport)?.and_then(|p| p.previous);
    let Some(id) = args.to.or(previous) else {
        return Ok(());
    };
    let gate = LauncherGate::new(manifests.iter().map(|m| &***m), session.cancel);
    // What keeps the records from being read is told by the transaction itself.
    let changes = data_changes(root, id, &gate).unwrap_or_default();
    for change in &changes {
        session.ui.note(&change.to_string());
    }
    if changes.is_empty() {
        return Ok(());
    }
    confirm(session, args.yes, "Go back to the older data?")
}
