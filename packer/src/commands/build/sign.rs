//! Owns who signs a build: keys are held against the trust root before anything else is done.

use std::path::{Path, PathBuf};

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_signing::root::TrustedRoot;

use super::Args;
use crate::{
    assemble::Publisher,
    depot::Chain,
    keys::{TrustChain, Unlock, read_public},
};

/// A key that may not sign packs.
#[derive(Debug, thiserror::Error)]
#[error("key `{}` may not sign packs of this publisher", path.display())]
struct NotAPackKey {
    path: PathBuf,
    #[source]
    why: Why,
}

#[derive(Debug, thiserror::Error)]
#[error("trust root {version} gives the pack role to {allowed}, not to `{fingerprint}`")]
struct Why {
    fingerprint: String,
    version: u64,
    allowed: String,
}

/// Reads the trust root and opens the keys.
pub(super) fn publisher(args: &Args, ui: &Ui) -> Outcome<Publisher> {
    let trust = TrustChain::load(&args.trust)?;
    // Before a passphrase is asked for: the public half is never locked.
    args.key.iter().try_for_each(|path| check(path, trust.current()))?;
    let keys = Unlock::new(ui, |name| std::env::var_os(name)).open_all(&args.key)?;
    Ok(Publisher {
        chain: Chain::from(&trust),
        keys,
    })
}

fn check(path: &Path, root: &TrustedRoot) -> Outcome<()> {
    let (public, _) = read_public(path)?;
    let ring = root.pack_ring();
    if ring.get(&public.key_id()).is_some() {
        return Ok(());
    }
    let allowed: Vec<_> = ring.keys().map(|(_, key)| format!("`{}`", key.fingerprint())).collect();
    let error = NotAPackKey {
        path: path.to_owned(),
        why: Why {
            fingerprint: public.fingerprint(),
            version: root.version(),
            allowed: allowed.join(", "),
        },
    };
    Err(Report::new(Exit::Usage, error)
        .hint("name the pack key of this trust root, or give the key the role with `kojibox-packer trust add-key`"))
}
