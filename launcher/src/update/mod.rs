//! Owns `self-update`: a newer launcher out of a pack, verified as any pack, placed beside the old one, named by the
//! pointer, and taken back by itself if it does not work here.
//!
//! The order: trust and verdict ([`choose`]) → the program through the pipeline of `self_update` into staging
//! ([`pipeline`]) → published under its final name, self-check there → pointer (the commit) → the new daemon takes over
//! every shim ([`swap`]) → confirmed. Services are not touched. A failure before the commit leaves nothing; one after it
//! writes the old pointer back and lets the old daemon take over again. [`transaction`] has the journal and the steps that
//! the installer's transactions have, so that an interruption at any point is recovered by the installer; the launcher
//! recovers nothing.

mod back;
mod choose;
mod error;
mod floors;
mod pipeline;
mod records;
mod refused;
mod stage;
mod swap;
mod transaction;
mod tree;
mod trust;

use std::{path::Path, time::Duration};

use kojibox_packs::source;
use kojibox_state::{CrashPoint, InstallRoot, LockedRoot, lock::Holder, records::LAUNCHER};

pub(crate) use self::{choose::Offer, error::UpdateError, swap::Swap};

/// How long another command may hold the root.
const LOCK: Duration = Duration::from_secs(30);

/// What the update works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The installed tree.
    pub(crate) root: &'a Path,
    /// Depot directory or `.kpack`.
    pub(crate) source: &'a Path,
    /// Version of the running program.
    pub(crate) version: &'a str,
    /// Now, RFC 3339 in UTC with whole seconds.
    pub(crate) now: &'a str,
    /// What did not work here before is tried again.
    pub(crate) retry_refused: bool,
    /// Where a test from outside wants this process to end.
    pub(crate) crash_at: Option<CrashPoint>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Updated {
    /// Version before.
    pub(crate) from: String,
    /// Version now.
    pub(crate) to: String,
    /// The generation that was made.
    pub(crate) generation: u64,
    /// Services that the new daemon took over, untouched.
    pub(crate) reattached: usize,
    /// What a person should know besides.
    pub(crate) notes: Vec<String>,
}

/// Looks for a newer launcher; changes nothing.
pub(crate) fn look(setting: &Setting<'_>) -> Result<Option<Offer>, UpdateError> {
    let root = InstallRoot::open(setting.root)?;
    if root.recovery_needed()? {
        return Err(UpdateError::RecoveryNeeded);
    }
    find(&root, setting)
}

/// Installs the newest launcher of the source, if it is newer than the active one.
pub(crate) fn run(setting: &Setting<'_>, swap: &Swap<'_>) -> Result<Option<Updated>, UpdateError> {
    let holder = Holder {
        pid: std::process::id(),
        command: "kojibox self-update".to_owned(),
        started: setting.now.to_owned(),
    };
    let locked = LockedRoot::open(setting.root, &holder, LOCK)?.armed(setting.crash_at);
    if locked.root().recovery_needed()? {
        return Err(UpdateError::RecoveryNeeded);
    }
    let Some(offer) = find(locked.root(), setting)? else {
        return Ok(None);
    };
    if setting.retry_refused {
        refused::forget(&locked, &offer.component.tree_sha256)?;
    }
    let from = installed(locked.root(), setting)?;
    let done = transaction::run(&locked, &offer, setting, swap)?;
    Ok(Some(Updated {
        from,
        to: offer.component.version.clone(),
        generation: done.generation,
        reattached: done.reattached,
        notes: done.notes,
    }))
}

fn find(root: &InstallRoot, setting: &Setting<'_>) -> Result<Option<Offer>, UpdateError> {
    let source = source::open(setting.source).map_err(|source| UpdateError::Open {
        path: setting.source.to_owned(),
        source,
    })?;
    let publishers = trust::publishers(root.dir(), source.as_ref())?;
    let from = installed(root, setting)?;
    let offer = choose::newest(root, source, &publishers, &from, setting.version)?;
    if let Some(offer) = offer.as_ref().filter(|_| !setting.retry_refused)
        && let Some(why) = refused::reason(root, &offer.component.tree_sha256)?
    {
        return Err(UpdateError::RefusedBefore {
            version: offer.component.version.clone(),
            why,
        });
    }
    Ok(offer)
}

/// Version of the active launcher: of the component, or of this program where none was installed.
fn installed(root: &InstallRoot, setting: &Setting<'_>) -> Result<String, UpdateError> {
    let current = root
        .current()?
        .ok_or_else(|| UpdateError::Empty(setting.root.to_owned()))?;
    let component = current.components.into_iter().find(|c| c.id == LAUNCHER);
    Ok(component.map_or_else(|| setting.version.to_owned(), |c| c.version))
}
