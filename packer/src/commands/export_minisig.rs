//! Owns the command `export-minisig`: signatures for those who check with minisign.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui};
use serde_json::json;

use crate::keys::{Minisig, Unlock, find_manifests};

/// Write minisign signatures beside the manifests of a pack; Kojibox itself never reads them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `name@version` in the depot, for all its targets, or the path of a `.kbx.json`
    #[arg(value_name = "PACK")]
    pack: String,
    /// The depot that holds the pack
    #[arg(long, value_name = "DIR")]
    depot: PathBuf,
    /// Key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let manifests = find_manifests(&self.depot, &self.pack)?;
        let key = Unlock::new(ui, |name| std::env::var_os(name)).open(&self.key)?;
        let mut files = Vec::new();
        let mut public = String::new();
        for (path, bytes) in &manifests {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let signature = Minisig::sign(&name, bytes, &key);
            let (path, new) = signature.place(path)?;
            let what = if new { "written" } else { "there already" };
            ui.status(&format!("The signature `{}` is {what}.", path.display()));
            files.push(json!({ "path": path, "new": new }));
            signature.public_key().clone_into(&mut public);
        }
        if ui.is_json() {
            ui.json(&json!({ "public_key": public, "signatures": files }));
        } else {
            ui.answer(&format!("minisign -V -P {public} -m MANIFEST"));
        }
        Ok(Exit::Done)
    }
}
