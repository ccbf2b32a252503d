//! Owns `uninstall`: all of ours, or some packs of several.

use std::path::Path;

use kojibox_console::{Exit, Outcome, Report};
use serde::Serialize;

use super::shared::{RootArgs, confirm, count};
use crate::{
    flow::{self, Session, manifests_of, open_locked, transact},
    report::tx_report,
    select::Want,
    transaction::{self, UninstallOptions},
    wizard::texts::EN,
};

/// Remove what was installed: exactly the files whose content is still ours
///
/// Data stays unless `--purge-data`. Files that somebody changed or added are left and named.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Packs; default: everything
    #[arg(value_name = "PACK", value_parser = clap::value_parser!(Want))]
    packs: Vec<Want>,
    #[command(flatten)]
    root: RootArgs,
    /// Remove data, configuration, logs and secrets too; there is no way back
    #[arg(long)]
    purge_data: bool,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    files: u64,
    left: &'a [String],
    gone: bool,
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    if !args.packs.is_empty() {
        // Which packs there are is told by what recovery leaves.
        flow::recover_first(session, &path, false)?;
        if !flow::names_all(&path, &args.packs)? {
            return flow::remove_packs(session, &path, &args.packs, args.yes);
        }
    }
    everything(session, args, &path)
}

fn everything(session: &Session<'_>, args: &Args, path: &Path) -> Result<Exit, Report> {
    // A directory that is no install root is named as such before anybody is asked.
    drop(kojibox_state::InstallRoot::open(path).map_err(crate::report::StateReport)?);
    let data = if args.purge_data {
        "and all data in it"
    } else {
        "; your data stays"
    };
    confirm(
        session,
        args.yes,
        &format!("Remove the installation in {}{data}?", path.display()),
    )?;
    let locked = open_locked(session, path)?;
    let manifests = manifests_of(locked.root());
    let options = UninstallOptions {
        command: session.world.command.clone(),
        purge_data: args.purge_data,
    };
    let (done, _) = transact(session, &EN, &manifests, |env| {
        transaction::uninstall(locked, &options, env)
    })
    .map_err(|e| tx_report(session.ui, e))?;
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            files: done.files,
            left: &done.left,
            gone: done.gone,
        });
    }
    for left in &done.left {
        session.ui.note(&format!("left alone: {left}"));
    }
    session.ui.done(&format!("{} removed.", count(done.files, "file")));
    Ok(Exit::Done)
}
