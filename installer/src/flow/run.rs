//! Owns the run: lock, recover, transaction, another medium where a part is missing, and what came of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use kojibox_console::{Exit, Report, bytes};
use kojibox_packs::manifest::Manifest;
use kojibox_signing::Verified;
use kojibox_state::{Holder, InstallRoot, LockedRoot, StateError, receipts::ReceiptBytes, trust};
use serde::Serialize;

use super::{Draft, Existing, Session};
use crate::{
    gate::{LauncherGate, ServiceStatus},
    medium::Medium,
    plan::{Env, InstallPlan},
    platform,
    progress::Shown,
    report::{StateReport, is_medium_missing, tx_report},
    transaction::{self, Installed, Recovered, RecoveredHow, TxError},
    trust::{Origin, Publisher, floors},
    wizard::{
        Guide,
        texts::{EN, Texts},
    },
    world,
};

/// How long somebody else's work on the same root is awaited.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a transaction came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// As the transaction tells it.
    pub installed: Installed,
    /// Services as the launcher told them.
    pub services: Vec<ServiceStatus>,
}

/// `install --json`.
#[derive(Serialize)]
pub(super) struct RanDocument<'a> {
    root: String,
    generation: u64,
    previous: Option<u64>,
    changed: bool,
    txid: &'a str,
    started: bool,
    bytes: ReceiptBytes,
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
            generation: self.installed.generation,
            previous: self.installed.previous,
            changed: true,
            txid: &self.installed.txid,
            started: self.installed.started,
            bytes: self.installed.bytes,
            services: self.services.iter().map(ServiceDocument::of).collect(),
        }
    }
}

impl<'a> ServiceDocument<'a> {
    fn of(status: &'a ServiceStatus) -> Self {
        Self {
            name: &status.name,
            state: &status.state,
            ports: &status.ports,
        }
    }
}

/// Who we are, for the one that waits for our lock.
fn holder(session: &Session<'_>) -> Holder {
    Holder {
        pid: std::process::id(),
        command: session.world.command.clone(),
        started: world::utc(world::now()).to_string(),
    }
}

/// Locks an existing install root for a change.
pub(crate) fn open_locked(session: &Session<'_>, root: &Path) -> Result<LockedRoot, Report> {
    let locked = LockedRoot::open(root, &holder(session), PATIENCE).map_err(StateReport)?;
    Ok(locked.armed(session.world.crash_at))
}

/// Locks an install root, and makes it where nothing is.
pub(crate) fn open_or_create(session: &Session<'_>, root: &Path) -> Result<LockedRoot, Report> {
    let created = world::utc(world::now()).to_string();
    let locked = LockedRoot::open_or_create(root, &created, &holder(session), PATIENCE).map_err(StateReport)?;
    Ok(locked.armed(session.world.crash_at))
}

/// Gives `work` what a transaction needs, shows its progress, and returns what the launcher told of services.
pub(crate) fn transact<T>(
    session: &Session<'_>,
    texts: &'static Texts,
    manifests: &[Arc<Verified<Manifest>>],
    work: impl FnOnce(&Env<'_>) -> Result<T, TxError>,
) -> Result<(T, Vec<ServiceStatus>), TxError> {
    let gate = LauncherGate::new(manifests.iter().map(|m| &***m), session.cancel);
    let shown = Shown::new(session.ui, texts);
    let env = Env {
        now: &world::now,
        gate: &gate,
        space: &platform::space,
        observer: &shown,
        cancel: session.cancel,
        threads: thread::available_parallelism().map_or(1, usize::from),
    };
    let done = work(&env);
    match &done {
        Ok(_) => shown.finish(),
        Err(_) => shown.abandon(),
    }
    done.map(|done| (done, gate.services()))
}

/// Manifests of every generation of a root, for deadlines of services that may have to be stopped or started.
pub(crate) fn manifests_of(root: &InstallRoot) -> Vec<Arc<Verified<Manifest>>> {
    let records = root.generations().unwrap_or_default();
    let packs = records.iter().flat_map(|g| g.record.manifests());
    packs
        .filter_map(|p| root.manifest(&p.digest).ok())
        .map(Arc::new)
        .collect()
}

/// An interrupted transaction is in the way of a command that writes nothing.
#[derive(Debug, thiserror::Error)]
#[error("an interrupted transaction must be recovered first")]
pub(crate) struct RecoveryNeeded;

/// The report for [`RecoveryNeeded`].
pub(crate) fn recovery_needed() -> Report {
    Report::new(Exit::RecoveryNeeded, RecoveryNeeded)
        .state("the machine is as the interrupted command left it; nothing was written now")
        .hint("run `kojibox-installer recover`; every command that writes does it first, too")
}

/// Recovers what an earlier command left, before anything is decided on it.
pub(crate) fn recover_first(session: &Session<'_>, path: &Path, dry_run: bool) -> Result<(), Report> {
    let root = match InstallRoot::open(path) {
        Ok(root) => root,
        Err(StateError::NotARoot { .. }) => return Ok(()),
        Err(error) => return Err(StateReport(error).into()),
    };
    if !root.recovery_needed().map_err(StateReport)? {
        return Ok(());
    }
    if dry_run {
        return Err(recovery_needed());
    }
    let mut locked = open_locked(session, path)?;
    let recovered = recover(session, &mut locked)?;
    session.ui.note(&told(&recovered));
    Ok(())
}

/// Recovers a locked root.
pub(crate) fn recover(session: &Session<'_>, locked: &mut LockedRoot) -> Result<Recovered, Report> {
    let manifests = manifests_of(locked.root());
    let done = transact(session, &EN, &manifests, |env| transaction::recover(locked, env));
    Ok(done.map_err(|e| tx_report(session.ui, e))?.0)
}

/// What recovery did, one sentence.
pub(crate) fn told(recovered: &Recovered) -> String {
    let what = match recovered.how {
        RecoveredHow::Nothing => "there was nothing to recover",
        RecoveredHow::Undone => "the interrupted transaction was undone; all is as it was before it",
        RecoveredHow::Confirmed | RecoveredHow::Closed => "the interrupted transaction was complete and is closed",
        RecoveredHow::Unconfirmed => {
            "the interrupted transaction had changed the version; `kojibox up` starts it and decides whether it stays"
        }
        RecoveredHow::Returned => "the way back to the version before is complete",
        RecoveredHow::Repaired => "the interrupted repair is complete",
        RecoveredHow::RepairedInPart => {
            "the interrupted repair is over, but not all of it could get its place, as said above; `kojibox-installer repair` goes on with the rest"
        }
        RecoveredHow::Removed => "the interrupted removal is complete",
    };
    let stopped = if recovered.stopped {
        "; services are stopped, `kojibox up` starts them"
    } else {
        ""
    };
    let kept = match recovered.kept {
        0 => String::new(),
        n => format!("; {} that were staged are kept for the next attempt", bytes(n)),
    };
    format!("{what}{kept}{stopped}")
}

/// Keeps the next roots of pinned publishers whatever comes of the rest: a revocation that was seen once counts.
///
/// True if there was anything to learn.
pub(super) fn remember_trust(session: &Session<'_>, root: &Path, publishers: &[Publisher]) -> Result<bool, Report> {
    let moved = |p: &&Publisher| p.origin == Origin::Pinned && !p.new_documents.is_empty();
    let moved: Vec<_> = publishers.iter().filter(moved).collect();
    if moved.is_empty() {
        return Ok(false);
    }
    let locked = open_locked(session, root)?;
    for publisher in moved {
        trust::pin(locked.store(), &publisher.root16, &publisher.new_documents).map_err(StateReport)?;
        raise_floor(&locked, publisher)?;
        let (id, version) = (&publisher.root16, publisher.root.version());
        session.ui.note(&format!(
            "the trust root of publisher `{id}` has moved on to version {version}"
        ));
    }
    Ok(true)
}

/// The present is not before what a verified root states.
pub(super) fn raise_floor(locked: &LockedRoot, publisher: &Publisher) -> Result<(), Report> {
    let known = locked.root().floors().map_err(StateReport)?;
    let mut next = known.unwrap_or_else(floors::fresh);
    floors::raise_time(&mut next, Some(publisher.root.issued()));
    Ok(trust::raise(locked.store(), &next).map_err(StateReport)?)
}

/// The root changed between decision and lock.
#[derive(Debug, thiserror::Error)]
#[error("the install root was changed by another command meanwhile")]
struct Changed;

/// What was decided on is still so, now that nobody else can change it.
pub(super) fn unchanged(locked: &LockedRoot, existing: &Existing) -> Result<(), Report> {
    if locked.root().pointer().map_err(StateReport)? == existing.pointer {
        return Ok(());
    }
    let report = Report::new(Exit::Busy, Changed).state(crate::report::NOTHING_WRITTEN);
    Err(report.hint("run the same command again"))
}

/// Makes the draft true.
pub(super) fn run(
    session: &Session<'_>,
    guide: &Guide<'_>,
    root: &Path,
    medium: &Medium,
    existing: &Existing,
    draft: Draft,
    may_ask: bool,
) -> Result<Ran, Report> {
    let plan = draft.into_plan(session.world.command.clone(), Some(medium));
    let mut locked = open_or_create(session, root)?;
    unchanged(&locked, existing)?;
    let mut manifests = manifests_of(locked.root());
    manifests.extend(plan.packs.iter().map(|p| Arc::clone(&p.manifest)));
    loop {
        match attempt(session, guide, &mut locked, &plan, &manifests) {
            Ok((installed, services)) => return Ok(Ran { installed, services }),
            Err(error) => match is_medium_missing(&error) {
                // What was staged is kept, so the next attempt goes on where this one stopped.
                Some(part) if may_ask && guide.is_interactive() => {
                    let proposed = medium.paths().next();
                    let so_far = |report: Report| report.state(error.situation().to_string());
                    let place = insert(session, guide, proposed, &part).map_err(so_far)?;
                    let added = place.map_or(Ok(()), |place| medium.add(place));
                    added.map_err(|error| so_far(error.into()))?;
                }
                _ => return Err(tx_report(session.ui, error)),
            },
        }
    }
}

/// Asks for the medium that has `part`; where it is, unless that is the place that was proposed.
pub(crate) fn insert(
    session: &Session<'_>,
    guide: &Guide<'_>,
    proposed: Option<&Path>,
    part: &str,
) -> Result<Option<PathBuf>, Report> {
    let place = |typed: &str| session.world.absolute(&session.world.with_home(typed.trim()));
    let check = |typed: &str| match place(typed) {
        // The same place again: whether the right medium is there now shows when it is read.
        place if Some(&*place) == proposed => Ok(()),
        place => Medium::check(&place, session.watch).map_err(|e| e.to_string()),
    };
    let place = place(&guide.insert(part, proposed, &check)?.to_string_lossy());
    Ok((Some(&*place) != proposed).then_some(place))
}

fn attempt(
    session: &Session<'_>,
    guide: &Guide<'_>,
    locked: &mut LockedRoot,
    plan: &InstallPlan,
    manifests: &[Arc<Verified<Manifest>>],
) -> Result<(Installed, Vec<ServiceStatus>), TxError> {
    transact(session, guide.texts, manifests, |env| {
        transaction::install(locked, plan, env)
    })
}
