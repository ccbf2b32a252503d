//! Owns the command `key`: makes signing keys, shows them, and exports them for stock tools.

use std::path::PathBuf;

use clap::Subcommand;
use kojibox_console::{Exit, Outcome, Ui, escape};
use kojibox_signing::{Keyring, Namespace, PublicKey, Signer as _};
use serde_json::json;

use crate::keys::{SecretKey, TrustChain, Unlock, read_public};

/// Make, show and export signing keys
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key: NAME, NAME.pub and NAME.pem, encrypted with a passphrase
    Generate(Generate),
    /// Show id and fingerprint of a key, private or public; needs no passphrase
    Show {
        /// A key file or its `.pub` file
        file: PathBuf,
    },
    /// Write public keys in the form that stock tools read
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Generate {
    /// Folder for the three files; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name of the files, and comment of the key
    #[arg(long, value_name = "NAME", value_parser = file_name)]
    name: String,
    /// Leave the key file unencrypted: whoever reads it can sign
    #[arg(long)]
    unsafe_no_password: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// Print lines for `ssh-keygen -Y verify -f`, the one form there is
    #[arg(long = "allowed-signers", required = true)]
    _allowed_signers: bool,
    /// Take the pack and approval keys of this trust root
    #[arg(long, value_name = "ROOT.json", required_unless_present = "files")]
    trust: Option<PathBuf>,
    /// Keys to print as signers of packs
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// A name that is a file name and nothing more.
fn file_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.starts_with(['.', '-']) || text.len() > 64 || !text.chars().all(plain) {
        return Err(
            "expected letters, digits, `-`, `_` and `.`, at most 64, beginning with a letter or digit".to_owned(),
        );
    }
    Ok(text.to_owned())
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        match self.action {
            Action::Generate(args) => args.run(ui),
            Action::Show { file } => {
                let (key, comment) = read_public(&file)?;
                show(ui, &key, &comment);
                Ok(Exit::Done)
            }
            Action::Export(args) => args.run(ui),
        }
    }
}

impl Generate {
    fn run(self, ui: &Ui) -> Outcome {
        let passphrase = Unlock::new(ui, |name| std::env::var_os(name)).choose(self.unsafe_no_password)?;
        let key = SecretKey::generate(&self.name)?;
        key.write(&self.out, &self.name, passphrase.as_ref().map(|text| text.as_str()))?;
        let [private, ..] = SecretKey::files(&self.out, &self.name);
        ui.done(&format!(
            "key `{}` made; keep it away from the sticks you hand out.",
            private.display()
        ));
        show(ui, &key.public_key(), key.comment());
        Ok(Exit::Done)
    }
}

fn show(ui: &Ui, key: &PublicKey, comment: &str) {
    if ui.is_json() {
        ui.json(&json!({
            "id": key.key_id(), "fingerprint": key.fingerprint(), "type": "ssh-ed25519", "comment": comment,
            "public_key": key.to_openssh(comment),
        }));
        return;
    }
    ui.answer(&format!("fingerprint  {}", key.fingerprint()));
    ui.answer(&format!("key id       {}", key.key_id()));
    ui.answer(&format!("public key   {}", escape(&key.to_openssh(comment))));
}

impl Export {
    fn run(self, ui: &Ui) -> Outcome {
        let mut lines = Vec::new();
        for file in &self.files {
            lines.push(allowed("publisher", Namespace::Pack, &read_public(file)?.0));
        }
        if let Some(path) = &self.trust {
            let chain = TrustChain::load(path)?;
            let root = chain.current();
            let approvals = root.approval_ring();
            lines.extend(
                root.pack_ring()
                    .keys()
                    .map(|(_, key)| allowed("publisher", Namespace::Pack, key)),
            );
            let approvals = approvals.iter().flat_map(Keyring::keys);
            lines.extend(approvals.map(|(_, key)| allowed("site", Namespace::Approval, key)));
            let needed = root.pack_ring().threshold();
            if needed > 1 {
                ui.note(&format!(
                    "{needed} of these keys must have signed a pack; `ssh-keygen` checks one at a time."
                ));
            }
        }
        if ui.is_json() {
            ui.json(&json!({ "allowed_signers": lines }));
        } else {
            for line in &lines {
                ui.answer(line);
            }
        }
        Ok(Exit::Done)
    }
}

fn allowed(who: &str, namespace: Namespace, key: &PublicKey) -> String {
    format!("{who} namespaces=\"{namespace}\" {}", key.to_openssh(""))
}
