//! Owns the command `sign`: adds signatures to a finished pack, made here or elsewhere.

use std::path::{Path, PathBuf};

use kojibox_console::{Exit, Outcome, Ui};
use kojibox_signing::{KeyId, Namespace, Signer as _, sshsig};
use serde_json::{Value, json};

use crate::keys::{KeyError, Unlock, find_manifests, place_signature, read_signature};

/// Add signatures to a finished pack; a signature that is there is never replaced
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `name@version` in the depot, for all its targets, or the path of a `.kbx.json`
    #[arg(value_name = "PACK")]
    pack: String,
    /// The depot that holds the pack
    #[arg(long, value_name = "DIR")]
    depot: PathBuf,
    /// Keys to sign with
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "attach",
        conflicts_with = "attach"
    )]
    key: Vec<PathBuf>,
    /// Signatures made elsewhere, as by `ssh-keygen -Y sign` with a hardware key
    #[arg(long, value_name = "FILE.sshsig")]
    attach: Vec<PathBuf>,
    /// Sign as a site that approves the pack, not as its publisher
    #[arg(long)]
    approval: bool,
}

/// Signatures placed so far.
struct Placed<'a> {
    ui: &'a Ui,
    namespace: Namespace,
    files: Vec<Value>,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let namespace = if self.approval {
            Namespace::Approval
        } else {
            Namespace::Pack
        };
        let manifests = find_manifests(&self.depot, &self.pack)?;
        let mut placed = Placed {
            ui,
            namespace,
            files: Vec::new(),
        };
        let keys = Unlock::new(ui, |name| std::env::var_os(name)).open_all(&self.key)?;
        for key in &keys {
            for (path, bytes) in &manifests {
                let signature = sshsig::sign(namespace, bytes, key);
                placed.add(path, key.public_key().key_id(), signature.as_bytes())?;
            }
        }
        for file in &self.attach {
            let (signature, bytes) = read_signature(file)?;
            let fits = |(_, bytes): &&(PathBuf, Vec<u8>)| signature.verify(namespace, bytes).is_ok();
            let (path, _) = manifests.iter().find(fits).ok_or_else(|| KeyError::FitsNothing {
                path: file.clone(),
                pack: self.pack.clone(),
                namespace,
            })?;
            placed.add(path, signature.public_key().key_id(), &bytes)?;
        }
        if ui.is_json() {
            ui.json(&json!({ "namespace": namespace.as_str(), "signatures": placed.files }));
        }
        Ok(Exit::Done)
    }
}

impl Placed<'_> {
    fn add(&mut self, manifest: &Path, key: KeyId, signature: &[u8]) -> Result<(), KeyError> {
        let (path, new) = place_signature(manifest, &key, self.namespace, signature)?;
        if new {
            self.ui.done(&format!("signature `{}` written.", path.display()));
        } else {
            self.ui
                .status(&format!("The signature `{}` is there already.", path.display()));
        }
        self.files.push(json!({ "path": path, "key": key, "new": new }));
        Ok(())
    }
}
