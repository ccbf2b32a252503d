//! Owns `trust`: the pinned trust roots of an install root, and a site's own.

use std::path::{Path, PathBuf};

use kojibox_console::{Exit, Outcome, Report};
use kojibox_signing::root::{Role, TrustedRoot, fingerprint};
use serde::Serialize;

use super::shared::{RootArgs, confirm, open_shared};
use crate::{
    flow::{self, Existing, Session},
    report::{NOTHING_WRITTEN, StateReport},
    trust::{self, Publisher},
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

#[derive(Serialize)]
struct Document {
    root: String,
    not_before: String,
    publishers: Vec<PublisherDocument>,
}

#[derive(Serialize)]
struct PublisherDocument {
    publisher: String,
    version: u64,
    fingerprint: String,
    expires: String,
    roles: Vec<RoleDocument>,
}

#[derive(Serialize)]
struct RoleDocument {
    role: &'static str,
    threshold: usize,
    keys: Vec<KeyDocument>,
}

#[derive(Serialize)]
struct KeyDocument {
    id: String,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// A publisher cannot be removed.
#[derive(Debug, thiserror::Error)]
enum RemoveError {
    #[error("publisher `{0}` is not trusted here")]
    Unknown(String),
    #[error("pack `{pack}` of publisher `{publisher}` is installed")]
    InUse { publisher: String, pack: String },
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    match &args.command {
        Command::Show(root) => show(session, &root.path(session)),
        Command::Add(args) => add(session, args),
        Command::Remove(args) => remove(session, args),
    }
}

fn show(session: &Session<'_>, path: &Path) -> Outcome {
    let (_root, _lock) = open_shared(path)?;
    let existing = Existing::read(path).map_err(StateReport)?;
    let publishers = trust::pinned(&existing.pins, None)?;
    let document = Document {
        root: path.display().to_string(),
        not_before: existing.floors.not_before.clone(),
        publishers: publishers.iter().map(publisher).collect(),
    };
    if session.ui.is_json() {
        session.ui.json(&document);
        return Ok(Exit::Done);
    }
    for publisher in &document.publishers {
        let PublisherDocument {
            publisher: id,
            version,
            fingerprint,
            expires,
            ..
        } = publisher;
        session
            .ui
            .answer(&format!("{id}  root {version}  {fingerprint}  until {expires}"));
        for role in &publisher.roles {
            session
                .ui
                .answer(&format!("  {} ({} of {})", role.role, role.threshold, role.keys.len()));
            for key in &role.keys {
                let name = key.name.as_deref().map(kojibox_console::escape).unwrap_or_default();
                session
                    .ui
                    .answer(&format!("    {}  {}  {name}", &key.id[..16], key.fingerprint));
            }
        }
    }
    Ok(Exit::Done)
}

fn publisher(publisher: &Publisher) -> PublisherDocument {
    let root = &publisher.root;
    PublisherDocument {
        publisher: publisher.root16.clone(),
        version: root.version(),
        fingerprint: fingerprint(root.bytes()),
        expires: root.expires().to_string(),
        roles: [Role::Root, Role::Pack, Role::Approval]
            .into_iter()
            .filter_map(|r| role(root, r))
            .collect(),
    }
}

fn role(root: &TrustedRoot, role: Role) -> Option<RoleDocument> {
    let ring = root.ring(role)?;
    let keys = ring.keys().map(|(id, key)| KeyDocument {
        id: id.to_string(),
        fingerprint: key.fingerprint(),
        name: root.name_of(id).map(str::to_owned),
    });
    Some(RoleDocument {
        role: role.as_str(),
        threshold: ring.threshold(),
        keys: keys.collect(),
    })
}

fn add(session: &Session<'_>, args: &AddArgs) -> Outcome {
    let path = args.root.path(session);
    let added = flow::add_publisher(session, &path, &args.fingerprint, &args.source, args.trust.as_deref())?;
    session.ui.done(&format!(
        "Publisher {} is trusted here, root {}.",
        added.root16,
        added.root.version()
    ));
    Ok(Exit::Done)
}

fn remove(session: &Session<'_>, args: &RemoveArgs) -> Outcome {
    let path = args.root.path(session);
    let locked = flow::open_locked(session, &path)?;
    let existing = Existing::read(&path).map_err(StateReport)?;
    let refuse = |error, hint: &str| Err(Report::new(Exit::Usage, error).state(NOTHING_WRITTEN).hint(hint));
    if !existing.pins.iter().any(|p| p.root16 == args.publisher) {
        return refuse(
            RemoveError::Unknown(args.publisher.clone()),
            "see `kojibox-installer trust show`",
        );
    }
    let packs = existing.record.iter().flat_map(|r| &r.packs);
    if let Some(pack) = packs.into_iter().find(|p| p.root16 == args.publisher) {
        let error = RemoveError::InUse {
            publisher: args.publisher.clone(),
            pack: pack.name.clone(),
        };
        return refuse(error, "uninstall the pack first");
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
    Ok(Exit::Done)
}
