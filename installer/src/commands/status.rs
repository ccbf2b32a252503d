//! Owns `status`: what is installed and active, and what is kept.

use std::path::Path;

use kojibox_console::{Outcome, Report, bytes};
use kojibox_signing::Digest;
use kojibox_state::{Generation, GenerationState, InstallRoot, records::GenerationRecord};
use serde::Serialize;

use super::shared::{RootArgs, after_reading, open_shared};
use crate::{flow::Session, report::StateReport};

/// Show the active generation, its packs and what is kept
///
/// Exit code 41 when an interrupted command must be recovered first.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
}

/// `status --json`: the contract of the command line.
#[derive(Serialize)]
struct Document {
    root: String,
    generation: Option<u64>,
    previous: Option<u64>,
    state: &'static str,
    packs: Vec<Pack>,
    generations: Vec<Kept>,
}

#[derive(Serialize)]
struct Pack {
    name: String,
    version: String,
    target: String,
    digest: Digest,
}

#[derive(Serialize)]
struct Kept {
    id: u64,
    created: String,
    state: GenerationState,
    packs: Vec<Pack>,
}

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    let (root, _lock) = open_shared(&path)?;
    let exit = after_reading(&root)?;
    let document = document(&path, &root)?;
    if session.ui.is_json() {
        session.ui.json(&document);
    } else {
        show(session, &root, &document);
    }
    Ok(exit)
}

fn document(path: &Path, root: &InstallRoot) -> Result<Document, Report> {
    let pointer = root.pointer().map_err(StateReport)?;
    let generations = root.generations().map_err(StateReport)?;
    let current = pointer
        .as_ref()
        .and_then(|p| generations.iter().find(|g| g.record.id == p.current));
    let state = match (&pointer, root.recovery_needed().map_err(StateReport)?) {
        (_, true) => "recovery-needed",
        (Some(_), false) => "active",
        (None, false) => "empty",
    };
    Ok(Document {
        root: path.display().to_string(),
        generation: pointer.as_ref().map(|p| p.current),
        previous: pointer.as_ref().and_then(|p| p.previous),
        state,
        packs: current.map(|g| packs(&g.record)).unwrap_or_default(),
        generations: generations.iter().map(kept).collect(),
    })
}

fn packs(record: &GenerationRecord) -> Vec<Pack> {
    let pack = |p: &kojibox_state::records::PackRecord| Pack {
        name: p.name.clone(),
        version: p.version.clone(),
        target: p.target.clone(),
        digest: p.digest,
    };
    record.packs.iter().map(pack).collect()
}

fn kept(generation: &Generation) -> Kept {
    Kept {
        id: generation.record.id,
        created: generation.record.created.clone(),
        state: generation.state,
        packs: packs(&generation.record),
    }
}

fn show(session: &Session<'_>, root: &InstallRoot, document: &Document) {
    let ui = session.ui;
    let active = document
        .generation
        .map_or_else(|| "no generation".to_owned(), |n| format!("generation {n}"));
    ui.answer(&format!("{}  {active} ({})", document.root, document.state));
    for pack in &document.packs {
        ui.answer(&format!(
            "  {} {} for {}{}",
            pack.name,
            pack.version,
            pack.target,
            size(root, pack)
        ));
    }
    for kept in document.generations.iter().rev() {
        let packs: Vec<_> = kept.packs.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        let state = serde_json::to_value(kept.state).ok();
        let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or_default();
        ui.answer(&format!(
            "  {:>4}  {}  {state:12} {}",
            kept.id,
            kept.created,
            packs.join(", ")
        ));
    }
}

/// Installed size of the chosen components, from the recorded manifest.
fn size(root: &InstallRoot, pack: &Pack) -> String {
    let (Ok(manifest), Ok(Some(record))) = (root.manifest(&pack.digest), root.current()) else {
        return String::new();
    };
    let chosen = |id: &str| record.components.iter().any(|c| c.pack == pack.name && c.id == *id);
    let total = manifest
        .components
        .iter()
        .filter(|c| chosen(&c.id))
        .map(|c| c.installed_size)
        .sum();
    format!(", {}", bytes(total))
}
