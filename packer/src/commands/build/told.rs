//! Owns what a build says: a line per pack, what is missing to install it, and the same as one JSON document.

use std::{fmt::Write as _, path::Path};

use kojibox_console::{Ui, bytes};
use kojibox_packs::manifest::Manifest;
use serde_json::{Value, json};

use crate::assemble::{Made, Published};

/// What is told of a pack.
pub(super) struct Summary {
    manifest: Manifest,
    stored_once: u64,
    taken: usize,
}

impl Summary {
    pub(super) fn of(made: &Made) -> Self {
        Self {
            manifest: made.manifest().clone(),
            stored_once: made.deduplicated(),
            taken: made.taken(),
        }
    }
}

/// What was built so far.
pub(super) struct Told<'a> {
    ui: &'a Ui,
    packs: Vec<Value>,
}

impl<'a> Told<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
        Self { ui, packs: Vec::new() }
    }

    /// Tells of one pack that is in the depot now.
    pub(super) fn pack(&mut self, summary: &Summary, published: &Published) {
        let m = &summary.manifest;
        let size: u64 = m.components.iter().map(|c| c.blob.size + c.index.size).sum();
        let name = format!("{} {} for {}", m.pack, m.version, m.target);
        let mut text = format!("{name}: {} packed from {}", bytes(size), bytes(m.space.installed));
        if summary.stored_once > 0 {
            write!(text, ", {} stored once", bytes(summary.stored_once)).expect("a string takes every text");
        }
        if summary.taken > 0 {
            write!(text, ", {} of {} blobs were there", summary.taken, m.components.len())
                .expect("a string takes every text");
        }
        self.ui.done(&format!("{text}."));
        for c in &m.components {
            self.ui.detail(&format!(
                "  {} {}: {} from {}",
                c.id,
                c.version,
                bytes(c.blob.size),
                bytes(c.installed_size)
            ));
        }
        if published.replaced {
            self.ui.note(&format!(
                "{name} replaces a pack of the same version with other content; who has that one installed is refused this one (23), so raise the version before it leaves your hands."
            ));
        }
        if published.signatures < published.threshold {
            self.ui.note(&format!(
                "{name} has {} of {} signatures; add the others with `kojibox-packer sign`.",
                published.signatures, published.threshold
            ));
        }
        if !self.ui.is_json() {
            self.ui.answer(&published.manifest.display().to_string());
        }
        self.packs.push(json!({
            "pack": m.pack, "version": m.version, "target": m.target, "sequence": m.sequence,
            "manifest": published.manifest, "digest": published.digest,
            "signatures": published.signatures, "threshold": published.threshold, "replaced": published.replaced,
            "packed_size": size, "installed_size": m.space.installed, "stored_once": summary.stored_once, "blobs_taken": summary.taken,
            "components": m.components.iter().map(|c| json!({
                "id": c.id, "version": c.version, "target": c.target, "blob": c.blob.name, "packed_size": c.blob.size,
                "installed_size": c.installed_size, "tree_sha256": c.tree_sha256, "runtime": c.runtime,
            })).collect::<Vec<_>>(),
        }));
    }

    /// Ends the answer.
    pub(super) fn finish(self, depot: &Path, lock: &Path) {
        if self.ui.is_json() {
            self.ui
                .json(&json!({ "depot": depot, "lock": lock, "packs": self.packs }));
        }
    }
}
