//! Owns `trust init`: a publisher's start in one command.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_signing::{
    Signer as _, UtcTime,
    root::{self, Role, RootBuilder, RootError},
};
use serde_json::json;

use super::unlock;
use crate::keys::{KeyError, SecretKey, TrustChain};

/// Ten years: a root in the field outlives projects, and is replaced by its chain, not by its clock.
pub(super) const VALID_DAYS: u32 = 3652;

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// Folder for the keys `root`, `pack`, `feed` and the file `root.json`; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave the key files unencrypted: whoever reads them can sign
    #[arg(long)]
    unsafe_no_password: bool,
    /// How long the root is good for
    #[arg(long, value_name = "DAYS", default_value_t = VALID_DAYS)]
    valid_days: u32,
}

/// The time is off the calendar.
#[derive(Debug, thiserror::Error)]
#[error("could not date a trust root {days} days ahead")]
struct OffTheCalendar {
    days: u32,
}

/// Now, and that many days later.
pub(super) fn times(days: u32) -> Outcome<(UtcTime, UtcTime)> {
    let off = || Report::new(Exit::Usage, OffTheCalendar { days }).hint("pass a smaller `--valid-days`");
    let text = |time: Timestamp| {
        time.strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
            .parse()
            .map_err(|_| off())
    };
    let now = Timestamp::now();
    let end = now.checked_add(SignedDuration::from_hours(24 * i64::from(days)));
    Ok((text(now)?, text(end.map_err(|_| off())?)?))
}

impl Init {
    pub(super) fn run(self, ui: &Ui) -> Outcome {
        let file = self.out.join("root.json");
        let keys = ["root", "pack", "feed"]
            .iter()
            .flat_map(|name| SecretKey::files(&self.out, name));
        // A later version that lies there belongs to another chain.
        let roots = ["root.json", "1.root.json", "2.root.json"].map(|name| self.out.join(name));
        if let Some(taken) = keys.chain(roots).find(|path| path.exists()) {
            return Err(KeyError::Exists(taken).into());
        }
        let passphrase = unlock(ui).choose(self.unsafe_no_password)?;
        let passphrase = passphrase.as_ref().map(|text| text.as_str());
        let root = self.make("root", passphrase)?;
        let pack = self.make("pack", passphrase)?;
        let feed = self.make("feed", passphrase)?;
        let bytes = first_root(&root, &pack, &feed, times(self.valid_days)?).map_err(|source| KeyError::Root {
            path: file.clone(),
            source,
        })?;
        TrustChain::start(&file, &bytes)?;
        tell(ui, &file, &bytes, [&root, &pack, &feed]);
        Ok(Exit::Done)
    }

    fn make(&self, name: &str, passphrase: Option<&str>) -> Result<SecretKey, KeyError> {
        let key = SecretKey::generate(name)?;
        key.write(&self.out, name, passphrase)?;
        Ok(key)
    }
}

/// One key for each purpose, signed by the root key.
fn first_root(
    root: &SecretKey,
    pack: &SecretKey,
    feed: &SecretKey,
    (issued, expires): (UtcTime, UtcTime),
) -> Result<Vec<u8>, RootError> {
    let mut builder = RootBuilder::first(issued, expires);
    let roles = [(Role::Root, root), (Role::Pack, pack)];
    for (role, key) in roles.into_iter().chain(Role::FEED.map(|role| (role, feed))) {
        builder.add_key(role, &key.public_key(), Some(key.comment()));
    }
    builder.sign(root, None)?;
    builder.to_bytes()
}

fn tell(ui: &Ui, file: &Path, bytes: &[u8], keys: [&SecretKey; 3]) {
    let fingerprint = root::fingerprint(bytes);
    if ui.is_json() {
        let keys = keys.map(|key| {
            let public = key.public_key();
            json!({ "name": key.comment(), "id": public.key_id(), "fingerprint": public.fingerprint() })
        });
        ui.json(&json!({ "root": file, "root16": root::root16(bytes), "fingerprint": fingerprint, "keys": keys }));
        return;
    }
    ui.done(&format!(
        "trust root `{}` with keys `root`, `pack` and `feed` made.",
        file.display()
    ));
    ui.status("Give the fingerprint to those who install, by another way than the stick; keep `root` offline.");
    ui.answer(&format!("fingerprint  {fingerprint}"));
}
