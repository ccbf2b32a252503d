//! Owns the command `export`: a pack in another form.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui, bytes};
use kojibox_packs::{Target, source::exceeds_fat32};
use serde_json::json;

use super::build::Watch;
use crate::{
    depot::{self, Chain, PackRef, Parcel, Trust},
    export,
    keys::TrustChain,
};

/// Write a pack with everything that belongs to it into one file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `name@version` in the depot, or the path of a `.kbx.json`
    #[arg(value_name = "PACK")]
    pack: PackRef,
    /// The depot that holds the pack
    #[arg(long, value_name = "DIR")]
    depot: Option<PathBuf>,
    /// For which target, if the pack is there for several [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    /// The file to write
    #[arg(long, value_name = "FILE.kpack")]
    single_file: PathBuf,
    /// Hold the pack against this publisher, not against whom the depot itself names
    #[arg(long, value_name = "ROOT.json")]
    trust: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let found = depot::one(&self.pack, self.depot.as_deref(), self.target)?;
        let named = self
            .trust
            .as_deref()
            .map(TrustChain::load)
            .transpose()?
            .map(|c| Chain::from(&c));
        let trust = Trust::of(&*found.source, named.as_ref())?;
        let parcel = Parcel::open(&found.source, &found.name, &trust)?;
        let phase = ui.bytes(&format!("exporting {}", parcel.title()), Some(export::size(&parcel)));
        let size = export::export(&parcel, &self.single_file, &Watch(&phase))?;
        phase.finish("");
        if exceeds_fat32(size) {
            ui.warn(&format!(
                "`{}` has {}; FAT32 holds no file above 4 GiB, so carry it on another file system or lay out a stick.",
                self.single_file.display(),
                bytes(size)
            ));
        }
        if ui.is_json() {
            ui.json(&json!({ "file": self.single_file, "size": size, "digest": parcel.manifest.digest() }));
        } else {
            ui.answer(&self.single_file.display().to_string());
        }
        Ok(Exit::Done)
    }
}
