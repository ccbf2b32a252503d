//! Owns `repair`: what is not as it was signed gets its signed content back, and nothing else is read or touched.
//!
//! Everything is verified first. What is bad is gathered in staging, from sound files of installed trees and from the
//! frames of a medium that hold it; it is made durable; then each thing takes its place by one rename ([`carry`]). A
//! program that runs keeps the file it has opened. Damaged records (manifests, lists of files) are found on a medium by
//! their recorded digest, so a repair needs no trust but the one that the root was installed with.
//!
//! What no medium can give is named, and does not keep the rest from being repaired.

mod carry;
mod gather;
mod mend;
mod pointer;
mod want;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kojibox_packs::{read::ReadError, source::BlobSource};
use kojibox_signing::Digest;
use kojibox_state::{
    CrashPoint, LockedRoot, RootPath,
    journal::{Record, TxKind},
    layout::place,
    store::compose,
};
use serde::Serialize;

use carry::Carried;
pub(super) use carry::complete;
pub(super) use pointer::{complaint as pointer_complaint, mend_unreadable as mend_pointer, write as write_pointer};

use super::{
    activate::abort,
    error::{Cause, Situation, TxError},
    recover::recover,
    rollback::receipt_pack,
    tx::Tx,
    verify::{Finding, FindingKind, Verification, damaged_records, packs_of, survey, trees_of},
};
use crate::plan::{Env, Phase};
use gather::gather;
use mend::Records;
use want::{Plan, plan};

/// Most lines about single files that a receipt gets.
const NOTES: usize = 200;

/// Where sound bytes lie in the root, by digest and whether they may be executed.
type Sound = HashMap<(Digest, bool), RootPath>;

/// What a person has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Command line, without secrets.
    pub command: String,
    /// What is in the trees and not part of them is moved to `backups/`.
    pub remove_extra: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What was repaired and what was not.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Transaction; none if no tree was repaired.
    pub txid: Option<String>,
    /// What was wrong with the pointer, which is right now (with a dry run: would be).
    pub pointer: Option<String>,
    /// What was wrong and is right now (with a dry run: would be).
    pub repaired: Vec<Finding>,
    /// Files among them, and their bytes.
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Bytes read from a medium (with a dry run: that would be).
    pub read: u64,
    /// What was moved to `backups/`, as paths in the root.
    pub aside: Vec<String>,
    /// What is still wrong.
    pub left: Vec<Finding>,
    /// What is needed for it.
    pub lacking: Vec<Lacking>,
}

impl Repaired {
    /// Takes in what an earlier attempt of the same command has repaired, with the media of then.
    #[must_use]
    pub(crate) fn after(mut self, before: Self) -> Self {
        self.txid = self.txid.take().or(before.txid);
        self.pointer = self.pointer.take().or(before.pointer);
        self.repaired.splice(..0, before.repaired);
        self.files += before.files;
        self.bytes += before.bytes;
        self.read += before.read;
        self.aside.splice(..0, before.aside);
        self
    }
}

/// Something that no medium at hand could give.
#[derive(Debug, Serialize)]
pub struct Lacking {
    /// Component; of a manifest, the pack.
    pub component: String,
    /// Its version.
    pub version: String,
    /// The pack it came with.
    pub pack: String,
    /// Files that are needed, and their bytes.
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Why a medium that has it could not be read; `None`: there is none.
    #[serde(skip)]
    pub why: Option<Box<ReadError>>,
}

/// Repairs every generation of `locked` as far as its own trees and `sources` can.
///
/// # Errors
/// [`TxError`] says what the machine is now. That something is lacking is no error: see [`Repaired::lacking`].
pub fn repair(
    locked: &mut LockedRoot,
    sources: &[Arc<dyn BlobSource>],
    options: &RepairOptions,
    env: &Env<'_>,
) -> Result<Repaired, TxError> {
    recover(locked, env)?;
    let untouched = |cause: Cause| {
        let active = locked.root().pointer().ok().flatten().map(|p| p.current);
        TxError::new(cause, Situation::Untouched { active })
    };
    let pointer = pointer::mend(locked, options.dry_run).map_err(untouched)?;
    let (seen, records, plan, sound) = examine(locked, sources, env).map_err(untouched)?;
    let extra = seen.findings.iter().any(|f| f.kind == FindingKind::Extra);
    let aside = options.remove_extra && extra;
    if options.dry_run || (plan.is_empty() && !aside) {
        return Ok(Repaired {
            pointer,
            ..foretold(locked, &seen, plan, aside, options)
        });
    }
    let mut tx = begin(locked, &plan, &records, options, env).map_err(untouched)?;
    tx.begin()?;
    let gathered = gather(&mut tx, &plan, &records, sound).and_then(|gathered| {
        publish(&mut tx)?;
        Ok(gathered)
    });
    let gathered = match gathered {
        Ok(gathered) => gathered,
        Err(cause) => return Err(abort(&mut tx, cause, false)),
    };
    let Carried { moved, skipped } = complete(&mut tx).map_err(|cause| tx.interrupted(cause, false))?;
    let mut cured = gathered.cured;
    cured.retain(|finding| skipped.iter().all(|place| place.as_str() != place_of(finding)));
    Ok(Repaired {
        txid: Some(tx.begin.txid().to_owned()),
        pointer,
        left: left(&seen, &cured, &moved),
        repaired: cured,
        files: gathered.files,
        bytes: gathered.bytes,
        read: tx.begin.draft.bytes.read,
        aside: moved,
        lacking: plan.lacking.into_iter().chain(gathered.lacking).collect(),
    })
}

/// Verifies everything, with records from a medium where the recorded ones are damaged.
fn examine(
    locked: &LockedRoot,
    sources: &[Arc<dyn BlobSource>],
    env: &Env<'_>,
) -> Result<(Verification, Records, Plan, Sound), Cause> {
    let root = locked.root();
    let generations: Vec<_> = root.generations()?.into_iter().map(|g| g.record).collect();
    let records = Records::read(root, &packs_of(&generations), &trees_of(&generations), sources)?;
    let mut sound = Sound::new();
    let mut keep = |sha256: &Digest, program: bool, at: &RootPath| {
        sound.entry((*sha256, program)).or_insert_with(|| at.clone());
    };
    let mut seen = survey(root, &trees_of(&generations), &records.mended, env, &mut keep)?;
    seen.generations = generations.iter().map(|g| g.id).collect();
    seen.findings.extend(records.findings.iter().cloned());
    seen.findings.extend(damaged_records(root)?);
    seen.findings.sort();
    // A list of files that was found on a medium is still one that is damaged here.
    seen.findings.dedup();
    let plan = plan(root, &seen, &records, &trees_of(&generations), sources, &sound)?;
    Ok((seen, records, plan, sound))
}

/// What would be done, or that there is nothing that can be.
fn foretold(locked: &LockedRoot, seen: &Verification, plan: Plan, aside: bool, options: &RepairOptions) -> Repaired {
    let cured = plan.cures();
    let extra = seen.findings.iter().filter(|f| aside && f.kind == FindingKind::Extra);
    let extra: Vec<_> = extra.map(place_of).collect();
    Repaired {
        txid: None,
        pointer: None,
        left: left(seen, &cured, if options.dry_run { &extra } else { &[] }),
        repaired: cured,
        files: plan.files(),
        bytes: plan.bytes(),
        read: plan.to_read(locked.store()),
        aside: extra,
        lacking: plan.lacking,
    }
}

fn place_of(finding: &Finding) -> String {
    format!("components/{}/{}", finding.dir, finding.path)
}

/// What is still wrong when `cured` is right and `moved` is out of the way.
fn left(seen: &Verification, cured: &[Finding], moved: &[String]) -> Vec<Finding> {
    let is_moved = |f: &Finding| f.kind == FindingKind::Extra && moved.contains(&place_of(f));
    let is_left = |f: &&Finding| !(cured.contains(f) || is_moved(f));
    seen.findings.iter().filter(is_left).cloned().collect()
}

fn begin<'a>(
    locked: &'a LockedRoot,
    plan: &Plan,
    records: &Records,
    options: &RepairOptions,
    env: &'a Env<'a>,
) -> Result<Tx<'a>, Cause> {
    let mut tx = Tx::new(locked, env, TxKind::Repair, &options.command)?;
    tx.begin.extra_aside = options.remove_extra;
    let generations: Vec<_> = locked.root().generations()?.into_iter().map(|g| g.record).collect();
    let concerned: BTreeMap<_, _> = packs_of(&generations)
        .into_iter()
        .filter_map(|p| Some((p.digest, (p, records.manifests.get(&p.digest)?))))
        .collect();
    let draft = &mut tx.begin.draft;
    draft.packs = concerned.values().map(|(p, m)| receipt_pack(p, m)).collect();
    let cures = plan.cures();
    draft.notes = cures.iter().take(NOTES).map(ToString::to_string).collect();
    if let Some(more) = cures.len().checked_sub(NOTES).filter(|n| *n > 0) {
        draft.notes.push(format!("and {more} more"));
    }
    Ok(tx)
}

/// Makes what was gathered durable and says so: from here on the repair is carried on, never undone.
fn publish(tx: &mut Tx<'_>) -> Result<(), Cause> {
    tx.check_cancel()?;
    tx.env.observer.phase(Phase::Durable, None);
    compose::create_dirs(tx.store, &mirror(tx)?)?;
    tx.store.sync_dir(&place::staging())?;
    tx.store.sync_tree(&tx.staging())?;
    tx.reach(CrashPoint::Durable)?;
    tx.journal.append(&Record::Staged)?;
    Ok(tx.reach(CrashPoint::Staged)?)
}

/// `staging/<txid>/repair`: holds, at its place in the root, everything that is going to be put there.
fn mirror(tx: &Tx<'_>) -> Result<RootPath, Cause> {
    tx.staged("repair")
}
