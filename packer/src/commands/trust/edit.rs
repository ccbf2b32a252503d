//! Owns a change of a trust root: which root, which purpose, which key, and what becomes of it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_signing::{
    KeyId, PublicKey,
    root::{Role, RootBuilder, RootError},
};

use super::{init, show, unlock};
use crate::keys::{Draft, TrustChain, read_public};

#[derive(Debug, clap::Args)]
pub(super) struct Edit {
    /// Any version of the trust root, with the others beside it
    #[arg(long, value_name = "ROOT.json")]
    trust: PathBuf,
    /// The purpose
    #[arg(long, value_enum)]
    role: Purpose,
    /// Root keys to sign the change with at once
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// How long the next root is good for, if this change starts its draft
    #[arg(long, value_name = "DAYS", default_value_t = init::VALID_DAYS)]
    valid_days: u32,
}

/// What keys are for, as people say it; a feed is three roles in TUF.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Purpose {
    Root,
    Pack,
    Feed,
    Approval,
}

impl Purpose {
    fn roles(self) -> &'static [Role] {
        match self {
            Self::Root => &[Role::Root],
            Self::Pack => &[Role::Pack],
            Self::Feed => &Role::FEED,
            Self::Approval => &[Role::Approval],
        }
    }
}

impl Edit {
    fn draft(&self) -> Outcome<Draft> {
        let (issued, expires) = init::times(self.valid_days)?;
        Ok(Draft::take_up(TrustChain::load(&self.trust)?, issued, expires)?)
    }

    /// Makes one change in every role of the purpose, signs it if keys are given, and writes it down.
    pub(super) fn run(
        &self,
        ui: &Ui,
        mut change: impl FnMut(&mut RootBuilder, Role) -> Result<(), RootError>,
    ) -> Outcome {
        let mut draft = self.draft()?;
        let dropped = draft.change(|root| self.role.roles().iter().try_for_each(|role| change(root, *role)))?;
        if dropped > 0 {
            ui.note("the draft was signed already; it has changed, so those signatures are dropped.");
        }
        draft.sign(&unlock(ui).open_all(&self.key)?)?;
        show::saved(ui, draft.save()?);
        Ok(Exit::Done)
    }

    /// The one key of the purpose that `text` means.
    pub(super) fn find(&self, text: &str) -> Outcome<KeyId> {
        let named = Path::new(text)
            .is_file()
            .then(|| read_public(Path::new(text)))
            .transpose()?;
        let draft = self.draft()?;
        let means = |id: &KeyId, key: &PublicKey| match &named {
            Some((public, _)) => public == key,
            None => key.fingerprint() == text || (text.len() >= 8 && id.to_string().starts_with(text)),
        };
        let rings = self.role.roles().iter().filter_map(|role| draft.root().ring(*role));
        let mut ids: Vec<KeyId> = rings
            .flat_map(|ring| {
                ring.keys()
                    .filter(|(id, key)| means(id, key))
                    .map(|(id, _)| *id)
                    .collect::<Vec<_>>()
            })
            .collect();
        ids.sort();
        ids.dedup();
        if let [id] = ids[..] {
            return Ok(id);
        }
        let (text, found) = (text.to_owned(), ids.len());
        let hint = format!("run `kojibox-packer trust show {}` for the keys", self.trust.display());
        Err(Report::new(Exit::Usage, NoSuchKey { text, found }).hint(hint))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("could not find the key `{text}`: {found} keys of this purpose are called so, expected one")]
struct NoSuchKey {
    text: String,
    found: usize,
}
