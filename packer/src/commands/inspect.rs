//! Owns the command `inspect`: what is in a pack, biggest first. It only looks; `verify` decides.

mod sbom;
mod show;

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui};
use kojibox_packs::{
    Target,
    index::{Entry, Index},
    manifest::Component,
    names,
    read::read_index,
};
use kojibox_signing::{Digest, Verified};
use serde_json::json;

use crate::depot::{self, Found, PackRef, Refused};

/// Show what is in a pack, biggest first
///
/// Indexes and the SBOM are compared with the hashes of the manifest; its signatures are not looked at: `verify` decides.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `name@version` in a depot, or the path of a `.kpack` or `.kbx.json`
    #[arg(value_name = "PACK|FILE")]
    pack: PackRef,
    /// The depot that holds the pack
    #[arg(long, value_name = "DIR")]
    depot: Option<PathBuf>,
    /// For which target, if the pack is there for several [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    /// List every file
    #[arg(long)]
    files: bool,
    /// Show which folders take the space
    #[arg(long)]
    sizes: bool,
    /// Print the SBOM as it is
    #[arg(long, conflicts_with_all = ["files", "sizes"])]
    sbom: bool,
}

/// A file of a component, as its index states it.
pub(super) struct File {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) sha256: Digest,
    pub(super) mode: u32,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let found = depot::one(&self.pack, self.depot.as_deref(), self.target)?;
        if self.sbom {
            ui.answer(sbom::read(&found)?.trim_end());
            return Ok(Exit::Done);
        }
        let signatures = found.source.signatures(&found.name).map_err(|source| Refused::Source {
            path: found.source.describe().into(),
            source,
        })?;
        let mut listings = Vec::new();
        if self.files || self.sizes {
            for component in &found.manifest.components {
                let index = index(&found, component)?;
                listings.push((component, files(&index)));
            }
        }
        if ui.is_json() {
            let files = listings.iter().map(|(component, files)| {
                let files = files.iter().map(|f| json!({ "path": f.path, "size": f.size, "mode": format!("{:04o}", f.mode), "sha256": f.sha256 }));
                (component.id.clone(), files.collect())
            });
            let files: serde_json::Map<String, serde_json::Value> = files.collect();
            let listed = self.files.then_some(files);
            ui.json(&json!({
                "manifest": found.manifest, "digest": Digest::of(&found.bytes), "signatures": signatures, "files": listed,
            }));
            return Ok(Exit::Done);
        }
        show::pack(ui, &found, &signatures);
        for (component, files) in &listings {
            if self.sizes {
                show::sizes(ui, component, files);
            }
            if self.files {
                show::files(ui, component, files);
            }
        }
        Ok(Exit::Done)
    }
}

/// The index of a component, held against the manifest.
pub(super) fn index(found: &Found, component: &Component) -> Result<Verified<Index>, Refused> {
    read_index(&*found.source, component).map_err(|source| Refused::Component {
        component: component.id.clone(),
        pack: found.name.clone(),
        source: Box::new(source),
    })
}

/// Files of an index, biggest first.
pub(super) fn files(index: &Index) -> Vec<File> {
    let mut files: Vec<_> = index
        .entries()
        .iter()
        .filter_map(|entry| {
            let (Entry::File { mode, path, .. } | Entry::Same { mode, path, .. }) = entry else {
                return None;
            };
            let (size, sha256) = index.content(path)?;
            Some(File {
                path: path.to_string(),
                size,
                sha256: *sha256,
                mode: *mode,
            })
        })
        .collect();
    files.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    files
}

/// The 16 hex digits of the key in the name of a signature file.
pub(super) fn key_of<'a>(signature: &'a str, manifest: &str) -> Option<&'a str> {
    let key = signature.strip_prefix(manifest)?.strip_prefix('.')?.get(..16)?;
    names::is_hex16(key).then_some(key)
}
