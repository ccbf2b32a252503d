//! Owns the command `diff`: what changes from one pack to another.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui, bytes, escape};
use kojibox_packs::{Target, manifest::Component};
use serde_json::{Value, json};

use super::inspect;
use crate::{
    depot::{self, Found, PackRef, Refused},
    diff::{self, Change, Compared, FileChanges},
};

/// Paths of one kind that are shown without `--verbose`.
const SHOWN: usize = 10;

/// Show what changes from one pack to another
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pack that is there: `name@version` in the depot, or the path of a `.kpack` or `.kbx.json`
    #[arg(value_name = "PACK_A")]
    old: PackRef,
    /// The pack that comes
    #[arg(value_name = "PACK_B")]
    new: PackRef,
    /// The depot that holds the packs
    #[arg(long, value_name = "DIR")]
    depot: Option<PathBuf>,
    /// For which target, if a pack is there for several [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let old = depot::one(&self.old, self.depot.as_deref(), self.target)?;
        let new = depot::one(&self.new, self.depot.as_deref(), self.target)?;
        let read = |is_new: bool, component: &Component| -> Result<_, Refused> {
            let found = if is_new { &new } else { &old };
            Ok((*inspect::index(found, component)?).clone())
        };
        let compared = diff::components(&old.manifest, &new.manifest, read)?;
        let others = diff::other_changes(&old.manifest, &new.manifest);
        let fetched = fetched(&compared);
        if ui.is_json() {
            ui.json(&json!({
                "old": name(&old), "new": name(&new), "fetched_size": fetched, "other": others,
                "components": compared.iter().map(document).collect::<Vec<_>>(),
            }));
            return Ok(Exit::Done);
        }
        say(ui, &format!("{} -> {}", name(&old), name(&new)));
        for component in &compared {
            tell(ui, component);
        }
        for other in &others {
            say(ui, other);
        }
        say(ui, &format!("an update reads {} of blobs", bytes(fetched)));
        Ok(Exit::Done)
    }
}

fn name(found: &Found) -> String {
    let m = &found.manifest;
    format!("{} {} for {}", m.pack, m.version, m.target)
}

fn say(ui: &Ui, text: &str) {
    ui.answer(&escape(text));
}

/// Bytes of blobs whose content an installed first pack does not have.
fn fetched(compared: &[Compared<'_>]) -> u64 {
    let read = compared
        .iter()
        .filter(|c| matches!(c.change, Change::Added | Change::Content(_)));
    read.filter_map(|c| c.new).map(|c| c.blob.size).sum()
}

fn tell(ui: &Ui, c: &Compared<'_>) {
    let id = c.id();
    let size = |c: Option<&Component>| bytes(c.map_or(0, |c| c.blob.size));
    let version = |c: Option<&Component>| c.map_or_else(String::new, |c| c.version.clone());
    let (old, new) = (version(c.old), version(c.new));
    let versions = if old == new {
        new.clone()
    } else {
        format!("{old} -> {new}")
    };
    match &c.change {
        Change::Added => say(ui, &format!("+ {id} {new}, {}", size(c.new))),
        Change::Removed => say(ui, &format!("- {id} {old}, {}", size(c.old))),
        Change::None => say(ui, &format!("  {id} {new}, unchanged")),
        Change::Facts => say(ui, &format!("~ {id} {versions}, same files")),
        Change::Content(files) => {
            let (from, to) = (size(c.old), size(c.new));
            let (added, removed, changed) = (files.added.len(), files.removed.len(), files.changed.len());
            say(
                ui,
                &format!(
                    "~ {id} {versions}, {from} -> {to}: {changed} changed, {added} new, {removed} gone, {} of new content",
                    bytes(files.new_bytes)
                ),
            );
            paths(ui, files);
        }
    }
}

fn paths(ui: &Ui, files: &FileChanges) {
    for (mark, paths) in [('~', &files.changed), ('+', &files.added), ('-', &files.removed)] {
        let shown = if ui.is_verbose() { paths.len() } else { SHOWN };
        for path in paths.iter().take(shown) {
            say(ui, &format!("    {mark} {path}"));
        }
        if paths.len() > shown {
            say(
                ui,
                &format!("    {mark} … {} more, shown with --verbose", paths.len() - shown),
            );
        }
    }
}

fn document(c: &Compared<'_>) -> Value {
    let (change, files) = match &c.change {
        Change::Added => ("added", None),
        Change::Removed => ("removed", None),
        Change::Facts => ("facts", None),
        Change::None => ("none", None),
        Change::Content(f) => (
            "content",
            Some(json!({ "added": f.added, "removed": f.removed, "changed": f.changed, "new_bytes": f.new_bytes })),
        ),
    };
    json!({
        "id": c.id(), "change": change, "files": files,
        "old": c.old.map(|c| json!({ "version": c.version, "packed_size": c.blob.size })),
        "new": c.new.map(|c| json!({ "version": c.version, "packed_size": c.blob.size })),
    })
}
