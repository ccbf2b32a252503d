//! Owns the command `trust`: starts a trust root, changes who may sign what, collects signatures, shows what holds.

mod edit;
mod init;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use kojibox_console::{Exit, Outcome, Ui};

use crate::keys::{Draft, TrustChain, Unlock, read_public};
use edit::Edit;

/// Start and grow a trust root: who may sign packs, feeds, approvals and the next root
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make three keys (root, pack, feed) and the first trust root, in one step
    Init(init::Init),
    /// Give a purpose to one more key
    AddKey {
        #[command(flatten)]
        edit: Edit,
        /// The `.pub` file of the key
        #[arg(value_name = "FILE.pub")]
        public: PathBuf,
        /// What to call the key; its comment unless given
        #[arg(long)]
        name: Option<String>,
    },
    /// Take a purpose from a key
    RemoveKey {
        #[command(flatten)]
        edit: Edit,
        /// The key: its `.pub` file, its fingerprint, or the first digits of its id
        #[arg(value_name = "KEY")]
        key_to_remove: String,
    },
    /// Say how many keys of a purpose must sign
    Threshold {
        #[command(flatten)]
        edit: Edit,
        /// How many
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
    },
    /// Put a new key in the place of an old one
    Rotate {
        #[command(flatten)]
        edit: Edit,
        /// The key that goes: its `.pub` file, its fingerprint, or the first digits of its id
        #[arg(long, value_name = "KEY")]
        old: String,
        /// The `.pub` file of the key that comes
        #[arg(value_name = "FILE.pub")]
        public: PathBuf,
    },
    /// Sign the draft of the next root; it is published once enough have signed
    Sign {
        /// Any version of the trust root, with the others and the draft beside it
        #[arg(long, value_name = "ROOT.json")]
        trust: PathBuf,
        /// Root keys to sign with
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
    },
    /// Show versions, keys, thresholds and the draft, if there is one
    Show {
        /// Any version of the trust root, or the folder that holds it
        #[arg(value_name = "ROOT.json")]
        trust: PathBuf,
    },
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        match self.action {
            Action::Init(args) => args.run(ui),
            Action::AddKey { edit, public, name } => {
                let (key, comment) = read_public(&public)?;
                let name = name.unwrap_or(comment);
                edit.run(ui, |root, role| {
                    root.add_key(role, &key, Some(&name));
                    Ok(())
                })
            }
            Action::RemoveKey { edit, key_to_remove } => {
                let id = edit.find(&key_to_remove)?;
                edit.run(ui, |root, role| root.remove_key(role, &id))
            }
            Action::Threshold { edit, count } => edit.run(ui, |root, role| root.set_threshold(role, count)),
            Action::Rotate { edit, old, public } => {
                let id = edit.find(&old)?;
                let (key, name) = read_public(&public)?;
                edit.run(ui, |root, role| {
                    root.remove_key(role, &id)?;
                    root.add_key(role, &key, Some(&name));
                    Ok(())
                })
            }
            Action::Sign { trust, key } => {
                let mut draft = Draft::open(TrustChain::load(&trust)?)?;
                draft.sign(&unlock(ui).open_all(&key)?)?;
                show::saved(ui, draft.save()?);
                Ok(Exit::Done)
            }
            Action::Show { trust } => show::run(ui, &trust),
        }
    }
}

fn unlock(ui: &Ui) -> Unlock<'_> {
    Unlock::new(ui, |name| std::env::var_os(name))
}
