//! Owns `trust`: the pinned trust roots of an install root, and a site's own.

mod show;

use std::path::{Path, PathBuf};

use kojibox_console::{Exit, Outcome, Report};
use kojibox_state::records::PackRecord;

use super::shared::{RootArgs, confirm};
use crate::{
    flow::{self, Existing, Session},
    report::{NOTHING_WRITTEN, StateReport},
};

/// Show, add or remove publishers whose packs may be installed
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Show the pinned trust roots with their keys
    Show(RootArgs),
    /// Trust one more publisher, or a site with its own countersignature
    Add(AddArgs),
    /// Trust a publisher no longer
    Remove(RemoveArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Fingerprint of the root, obtained in some other way than the root itself
    #[arg(long, value_name = "SHA256:…")]
    fingerprint: String,
    /// Depot that carries the root chain; default: where this program lies
    #[arg(long, value_name = "DIR|FILE", conflicts_with = "trust")]
    source: Vec<PathBuf>,
    /// The first root of the chain as a file
    #[arg(long, value_name = "ROOT.json")]
    trust: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
struct RemoveArgs {
    /// The publisher, as `trust show` names it
    #[arg(value_name = "PUBLISHER")]
    publisher: String,
    #[command(flatten)]
    root: RootArgs,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

/// A publisher cannot be removed.
#[derive(Debug, thiserror::Error)]
enum RemoveError {
    #[error("publisher `{0}` is not trusted here")]
    Unknown(String),
    #[error("pack `{pack}` of publisher `{publisher}` is installed")]
    InUse { publisher: String, pack: String },
    #[error("the launcher of this tree came from pack `{pack}` of publisher `{publisher}`")]
    Launcher { publisher: String, pack: String },
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    match &args.command {
        Command::Show(root) => show::show(session, &root.path(session)),
        Command::Add(args) => add(session, args),
        Command::Remove(args) => remove(session, args),
    }
}

fn add(session: &Session<'_>, args: &AddArgs) -> Outcome {
    let path = args.root.path(session);
    let added = flow::add_publisher(session, &path, &args.fingerprint, &args.source, args.trust.as_deref())?;
    session.ui.done(&format!(
        "Publisher {} is trusted here, root {}.",
        added.root16,
        added.root.version()
    ));
    told(session, &path)
}

fn remove(session: &Session<'_>, args: &RemoveArgs) -> Outcome {
    let path = args.root.path(session);
    flow::recover_first(session, &path, false)?;
    let locked = flow::open_locked(session, &path)?;
    let existing = Existing::read(&path).map_err(StateReport)?;
    let refuse = |error, hint: &str| Err(Report::new(Exit::Usage, error).state(NOTHING_WRITTEN).hint(hint));
    if !existing.pins.iter().any(|p| p.root16 == args.publisher) {
        return refuse(
            RemoveError::Unknown(args.publisher.clone()),
            "see `kojibox-installer trust show`",
        );
    }
    let theirs = |p: &&PackRecord| p.root16 == args.publisher;
    let publisher = args.publisher.clone();
    if let Some(pack) = existing.record.iter().flat_map(|r| &r.packs).find(theirs) {
        let pack = pack.name.clone();
        return refuse(RemoveError::InUse { publisher, pack }, "uninstall the pack first");
    }
    if let Some(pack) = existing.record.iter().flat_map(|r| &r.launcher_pack).find(theirs) {
        let pack = pack.name.clone();
        let hint = "install a pack of another publisher that has a launcher as new";
        return refuse(RemoveError::Launcher { publisher, pack }, hint);
    }
    confirm(
        session,
        args.yes,
        &format!("Trust publisher {} no longer?", args.publisher),
    )?;
    kojibox_state::trust::unpin(locked.store(), &args.publisher).map_err(StateReport)?;
    session
        .ui
        .done(&format!("Publisher {} is not trusted here any more.", args.publisher));
    drop(locked);
    told(session, &path)
}

/// A script is told what is trusted now.
fn told(session: &Session<'_>, path: &Path) -> Outcome {
    if session.ui.is_json() {
        show::show(session, path)
    } else {
        Ok(Exit::Done)
    }
}
