//! Owns the run: lock, recover, transaction, another medium where a part is missing, and what came of it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use kojibox_console::{Report, declined};
use kojibox_state::{Holder, InstallRoot, LockedRoot, StateError};
use serde::Serialize;

use super::{Draft, Existing, Session};
use crate::{
    gate::{LauncherGate, ServiceStatus},
    medium::Medium,
    plan::{Env, InstallPlan},
    progress::Shown,
    report::{NOTHING_WRITTEN, StateReport},
    wizard::{Guide, texts::Texts},
    world,
};

/// How long somebody else's work on the same root is awaited.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a transaction came to.
#[derive(Debug)]
pub struct Ran {
    /// Active generation.
    pub generation: u64,
    /// The one before, to which a rollback returns.
    pub previous: Option<u64>,
    /// Transaction.
    pub txid: String,
    /// Services as the launcher told them.
    pub services: Vec<ServiceStatus>,
}

/// `install --json`.
#[derive(Serialize)]
pub(super) struct RanDocument<'a> {
    root: String,
    generation: u64,
    previous: Option<u64>,
    txid: &'a str,
    services: Vec<ServiceDocument<'a>>,
}

#[derive(Serialize)]
struct ServiceDocument<'a> {
    name: &'a str,
    state: &'a str,
    ports: &'a BTreeMap<String, u16>,
}

impl Ran {
    pub(super) fn document(&self, root: &Path) -> RanDocument<'_> {
        RanDocument {
            root: root.display().to_string(),
            generation: self.generation,
            previous: self.previous,
            txid: &self.txid,
            services: self
                .services
                .iter()
                .map(|s| ServiceDocument {
                    name: &s.name,
                    state: &s.state,
                    ports: &s.ports,
                })
                .collect(),
        }
    }
}

/// Who we are, for the one that waits for our lock.
pub fn holder(session: &Session<'_>) -> Holder {
    Holder {
        pid: std::process::id(),
        command: session.world.command.clone(),
        started: world::utc(world::now()).to_string(),
    }
}

/// Locks an existing install root for a change.
pub fn open_locked(session: &Session<'_>, root: &Path) -> Result<LockedRoot, Report> {
    Ok(LockedRoot::open(root, &holder(session), PATIENCE).map_err(StateReport)?)
}
// STUB-BEGIN
pub(super) fn recover_first(_: &Session<'_>, _: &Path, _: bool) -> Result<(), Report> {
    Ok(())
}
pub(super) fn remember_trust(_: &Session<'_>, _: &Path, _: &Draft) -> Result<(), Report> {
    Ok(())
}
pub(super) fn run(_: &Session<'_>, _: &Guide<'_>, _: &Path, _: &Medium, _: &Existing, _: Draft) -> Result<Ran, Report> {
    Err(declined(NOTHING_WRITTEN))
}
// STUB-END
