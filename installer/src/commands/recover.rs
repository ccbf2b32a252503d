//! Owns `recover`: finishing or undoing what an interrupted command left.

use kojibox_console::{Exit, Outcome, Report};
use kojibox_state::LockedRoot;
use serde::Serialize;

use super::shared::RootArgs;
use crate::{
    flow::{Session, open_locked, recover, told, transact},
    report::tx_report,
    transaction,
    wizard::texts::EN,
};

/// Finish or undo an interrupted command; every command that writes does it first, too
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Set a journal aside that is damaged, which no interruption does, and go by the pointer: what the interrupted command had
    /// begun is neither finished nor undone; recorded
    #[arg(long)]
    unsafe_set_journal_aside: bool,
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
    if args.unsafe_set_journal_aside {
        set_aside(session, &locked)?;
    }
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

/// Says so each time, and what is due now.
fn set_aside(session: &Session<'_>, locked: &LockedRoot) -> Result<(), Report> {
    let command = session.world.command.as_str();
    let (done, _) = transact(session, &EN, &[], |env| {
        transaction::set_journal_aside(locked, command, env)
    })
    .map_err(|e| tx_report(session.ui, e))?;
    session.ui.warn(if done {
        "the journal was set aside: run `kojibox-installer verify`, and `kojibox-installer repair` if something is damaged"
    } else {
        "the journal can be read: nothing was set aside"
    });
    Ok(())
}
