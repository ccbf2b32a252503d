//! Owns `rollback`: back to a kept generation, without any medium.

use kojibox_console::{Exit, Outcome};
use serde::Serialize;

use super::shared::RootArgs;
use crate::{
    flow::{Session, manifests_of, open_locked, transact},
    report::tx_report,
    transaction::{self, RollbackOptions},
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
    /// Go back to data of an older format; the newer data is kept aside
    #[arg(long)]
    restore_data: bool,
    /// Go back even to a release that its publisher withdrew
    #[arg(long)]
    unsafe_revoked: bool,
    /// Ask nothing (nothing is asked here; for symmetry with the other commands)
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    generation: u64,
    from: u64,
    txid: &'a str,
    formats: &'a [String],
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let mut locked = open_locked(session, &path)?;
    let manifests = manifests_of(locked.root());
    let options = RollbackOptions {
        command: session.world.command.clone(),
        to: args.to,
        restore_data: args.restore_data,
        unsafe_revoked: args.unsafe_revoked,
    };
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
        session
            .ui
            .note(&format!("older data is in use: {change}; the newer data is kept aside"));
    }
    Ok(Exit::Done)
}
