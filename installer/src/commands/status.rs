//! Owns `status`: what is installed and active, and what is kept.

use std::path::Path;

use kojibox_console::{Outcome, Report, bytes};
use kojibox_packs::manifest::Component;
use kojibox_signing::Digest;
use kojibox_state::{
    Generation, GenerationState, InstallRoot,
    journal::TxKind,
    layout::place,
    receipts::{self, TxOutcome},
    records::{ComponentRecord, GenerationRecord},
    store::Kind,
};
use serde::Serialize;

use super::{
    history::word,
    shared::{RootArgs, after_reading, open_shared},
};
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
    /// Bytes that an interrupted attempt has left for the next one.
    staged: u64,
    /// The newest receipt.
    last: Option<Last>,
}

#[derive(Serialize)]
struct Last {
    txid: String,
    kind: TxKind,
    outcome: TxOutcome,
    finished: String,
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
    /// No prune removes it.
    pinned: bool,
    /// Bytes of its files; those that it shares with other generations are in each.
    bytes: u64,
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
        generations: generations.iter().map(|g| kept(root, g)).collect(),
        staged: staged(root),
        last: last(root)?,
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

/// What the newest receipt says; that the chain is whole is for `history` to find out.
fn last(root: &InstallRoot) -> Result<Option<Last>, Report> {
    let receipt = match receipts::newest(root.dir()) {
        Err(error) if error.is_damage() => None,
        receipt => receipt.map_err(StateReport)?,
    };
    Ok(receipt.map(|r| Last {
        txid: r.txid,
        kind: r.kind,
        outcome: r.outcome,
        finished: r.finished,
    }))
}

/// Bytes of staged trees.
fn staged(root: &InstallRoot) -> u64 {
    let (mut bytes, mut todo) = (0, vec![place::staging()]);
    while let Some(dir) = todo.pop() {
        // What cannot be looked at is left out: this only informs.
        for entry in root.dir().list(&dir).unwrap_or_default() {
            let Some(path) = entry.name.ok().and_then(|name| dir.join(&name).ok()) else {
                continue;
            };
            match entry.kind {
                Kind::Dir => todo.push(path),
                _ => bytes += root.dir().stat(&path).ok().flatten().map_or(0, |s| s.len),
            }
        }
    }
    bytes
}

fn kept(root: &InstallRoot, generation: &Generation) -> Kept {
    Kept {
        pinned: generation.pinned,
        bytes: size(root, &generation.record, |_| true),
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
            size_of(root, document, pack)
        ));
    }
    for kept in document.generations.iter().rev() {
        let packs: Vec<_> = kept.packs.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        let state = serde_json::to_value(kept.state).ok();
        let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or_default();
        let pinned = if kept.pinned { ", pinned" } else { "" };
        let (id, created, packs, size) = (kept.id, &kept.created, packs.join(", "), bytes(kept.bytes));
        ui.answer(&format!("  {id:>4}  {created}  {state:12} {packs} ({size}{pinned})"));
    }
    if document.staged > 0 {
        let staged = bytes(document.staged);
        ui.answer(&format!(
            "  {staged} of an interrupted attempt are kept for the next one"
        ));
    }
    if let Some(last) = &document.last {
        let (kind, outcome) = (word(&last.kind), word(&last.outcome));
        ui.answer(&format!("  last: {kind}, {outcome}, {} ({})", last.finished, last.txid));
    }
}

/// Installed size of a pack of the active generation, for people.
fn size_of(root: &InstallRoot, document: &Document, pack: &Pack) -> String {
    let record = document.generation.and_then(|id| root.generation(id).ok().flatten());
    record.map_or_else(String::new, |record| {
        format!(", {}", bytes(size(root, &record, |name| name == pack.name)))
    })
}

/// Installed size of the components of some packs of a generation, from the recorded manifests.
fn size(root: &InstallRoot, record: &GenerationRecord, of: impl Fn(&str) -> bool) -> u64 {
    let manifests = record.manifests().filter(|p| of(&p.name));
    // A damaged record is for `verify` to name.
    let manifests = manifests.filter_map(|p| Some((&p.name, root.manifest(&p.digest).ok()?)));
    let chosen = |pack: &str, tree: &Component| {
        let same = |c: &ComponentRecord| c.pack == pack && c.id == tree.id && c.tree_sha256 == tree.tree_sha256;
        record.components.iter().any(same)
    };
    manifests
        .flat_map(|(pack, m)| {
            let sizes = m
                .components
                .iter()
                .filter(|c| chosen(pack, c))
                .map(|c| c.installed_size);
            sizes.collect::<Vec<_>>()
        })
        .sum()
}
