//! Owns `install`: from a plan to an active generation.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_packs::manifest::Component;
use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot,
    doc::Versioned as _,
    journal::{Names, Record, TxKind},
    layout::Layout,
    receipts::{ReceiptBytes, ReceiptPack, ReceiptVerdict},
    records::{ComponentRecord, GenerationRecord, LAUNCHER, PackRecord},
    steps::NewPack,
    trust,
};

use super::{
    activate::{Target, abort, activate},
    error::{Cause, Situation, TxError},
    recover::recover,
    stage::{NewTree, stage_trees, sweep_staging},
    tx::Tx,
    verify::{FindingKind, look_at},
};
use crate::plan::{Env, InstallPlan, Phase, PlannedPack};

/// A generation that was installed and is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its number.
    pub generation: u64,
    /// The one that was active before.
    pub previous: Option<u64>,
    /// Transaction; names the receipt.
    pub txid: String,
    /// Where the bytes of new trees came from.
    pub bytes: ReceiptBytes,
    /// The gate has passed; false if nothing was to be started.
    pub started: bool,
}

/// Makes `plan` the active generation of `locked`, after recovering whatever was interrupted before.
///
/// # Errors
/// [`TxError`] says what the machine is now. Everything before the commit leaves the old generation active; after a
/// failed gate it is active again.
pub fn install(locked: &mut LockedRoot, plan: &InstallPlan, env: &Env<'_>) -> Result<Installed, TxError> {
    recover(locked, env)?;
    let untouched = |cause: Cause| {
        let active = locked.root().pointer().ok().flatten().map(|p| p.current);
        TxError::new(cause, Situation::Untouched { active })
    };
    let (mut tx, work) = prepare(locked, plan, env).map_err(untouched)?;
    tx.begin()?;
    if let Err(cause) = stage(&mut tx, plan, &work) {
        return Err(abort(&mut tx, cause, false));
    }
    let gated = plan.start && has_services(plan, &work.record);
    let target = Target {
        record: &work.record,
        gated,
        mark: true,
        moves_data: true,
    };
    activate(&mut tx, &target)?;
    Ok(Installed {
        generation: work.record.id,
        previous: tx.active(),
        txid: tx.begin.txid().to_owned(),
        bytes: tx.begin.draft.bytes,
        started: gated,
    })
}

/// What is going to be written.
struct Work<'p> {
    record: GenerationRecord,
    trees: Vec<NewTree<'p>>,
}

/// Decides what is new; pins the roots; writes nothing else.
fn prepare<'a, 'p>(
    locked: &'a LockedRoot,
    plan: &'p InstallPlan,
    env: &'a Env<'a>,
) -> Result<(Tx<'a>, Work<'p>), Cause> {
    let (root, store) = locked.parts();
    for publisher in &plan.trust.roots {
        trust::pin(store, &publisher.root16, &publisher.documents)?;
    }
    let kind = if root.pointer()?.is_some() {
        TxKind::Update
    } else {
        TxKind::Install
    };
    let mut tx = Tx::new(locked, env, kind, &plan.command)?;
    let id = root.generation_ids()?.last().map_or(1, |last| last + 1);
    let installed = installed_trees(root)?;
    let mut components = BTreeMap::new();
    let mut trees: Vec<NewTree<'p>> = Vec::new();
    for (pack, component) in chosen(plan)? {
        let mut record = component_record(root, pack, component, &installed)?;
        let planned = trees.iter().find(|t| t.record.dir == record.dir);
        if let Some(planned) = planned {
            // Two packs bring one tree; it is listed as the first one lists it.
            record.index_sha256 = planned.record.index_sha256;
        } else if !installed.contains_key(&record.dir) {
            let source = pack.source.as_deref().ok_or_else(|| Cause::NotKept {
                pack: pack.manifest.pack.clone(),
                component: component.id.clone(),
            })?;
            let donors = donors(&installed, &component.id);
            trees.push(NewTree {
                record: record.clone(),
                component,
                source,
                donors,
            });
        }
        components.insert((record.id.clone(), record.pack.clone()), record);
    }
    if let Some(kept) = &plan.launcher {
        let component = kept.component.clone();
        if let Some((generation, present)) = installed.get(&component.dir) {
            intact(root, present, *generation)?;
        }
        components.insert((component.id.clone(), component.pack.clone()), component);
    }
    let record = GenerationRecord {
        schema: GenerationRecord::SCHEMA.to_owned(),
        id,
        created: tx.begin.draft.started.clone(),
        txid: tx.begin.txid().to_owned(),
        packs: pack_records(plan),
        launcher_pack: launcher_pack(plan),
        components: components.into_values().collect(),
        answers: plan.answers.clone(),
        ports: plan.ports.clone(),
        language: plan.language.clone(),
        start: plan.start,
    };
    tx.begin.generation = Some(id);
    tx.begin.fresh = fresh(root, plan, &trees, id)?;
    tx.begin.floors = Some(plan.trust.floors.clone());
    tx.begin.draft.packs = plan.packs.iter().map(receipt_pack).collect();
    tx.begin.draft.verdicts = plan.verdicts.iter().map(receipt_verdict).collect();
    Ok((tx, Work { record, trees }))
}

/// Every chosen component with its pack, in the order of the plan.
fn chosen(plan: &InstallPlan) -> Result<Vec<(&PlannedPack, &Component)>, Cause> {
    let mut out = Vec::new();
    for pack in &plan.packs {
        for id in &pack.components {
            let component = pack.manifest.components.iter().find(|c| c.id == *id);
            let component = component.ok_or_else(|| Cause::NoComponent {
                pack: pack.manifest.pack.clone(),
                component: id.clone(),
            })?;
            out.push((pack, component));
        }
    }
    Ok(out)
}

/// Trees that generations name, by directory, newest record first.
fn installed_trees(root: &InstallRoot) -> Result<BTreeMap<String, (u64, ComponentRecord)>, Cause> {
    let mut out = BTreeMap::new();
    for generation in root.generations()? {
        for component in generation.record.components {
            out.insert(component.dir.clone(), (generation.record.id, component));
        }
    }
    Ok(out)
}

/// Installed trees of the same component, newest first, at most two: their files may be taken.
fn donors(installed: &BTreeMap<String, (u64, ComponentRecord)>, id: &str) -> Vec<ComponentRecord> {
    let mut same: Vec<_> = installed.values().filter(|(_, c)| c.id == id).collect();
    same.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
    same.into_iter().take(2).map(|(_, c)| c.clone()).collect()
}

/// The record of a component; one that is installed keeps the index under which it was installed.
fn component_record(
    root: &InstallRoot,
    pack: &PlannedPack,
    component: &Component,
    installed: &BTreeMap<String, (u64, ComponentRecord)>,
) -> Result<ComponentRecord, Cause> {
    let dir = Layout::component_dir_name(&component.id, &component.version, &component.tree_sha256);
    let mut record = ComponentRecord {
        id: component.id.clone(),
        pack: pack.manifest.pack.clone(),
        version: component.version.clone(),
        tree_sha256: component.tree_sha256,
        dir,
        index_sha256: component.index.sha256,
        data_format: component.data_format.clone(),
    };
    let Some((generation, present)) = installed.get(&record.dir) else {
        return Ok(record);
    };
    if present.tree_sha256 != record.tree_sha256 {
        return Err(Cause::Collision {
            dir: record.dir,
            got: present.tree_sha256,
            expected: record.tree_sha256,
        });
    }
    intact(root, present, *generation)?;
    record.index_sha256 = present.index_sha256;
    Ok(record)
}

/// A tree that stays must have everything that its index names; who has changed a file is told by `verify`.
fn intact(root: &InstallRoot, present: &ComponentRecord, generation: u64) -> Result<(), Cause> {
    let index = root.index(present)?;
    let mut findings = look_at(root, present, &index)?.findings;
    findings.retain(|f| f.kind != FindingKind::Extra);
    if findings.is_empty() {
        return Ok(());
    }
    Err(Cause::Damaged { generation, findings })
}

/// The pack of the launcher that stays, if it is none of those that will be installed.
fn launcher_pack(plan: &InstallPlan) -> Option<PackRecord> {
    let kept = plan.launcher.as_ref()?.pack.as_ref()?;
    let installed = plan.packs.iter().any(|p| p.manifest.digest() == kept.digest);
    (!installed).then(|| kept.clone())
}

fn pack_records(plan: &InstallPlan) -> Vec<PackRecord> {
    let mut packs: Vec<_> = plan
        .packs
        .iter()
        .map(|pack| PackRecord {
            name: pack.manifest.pack.clone(),
            version: pack.manifest.version.clone(),
            target: pack.manifest.target.clone(),
            sequence: pack.manifest.sequence,
            digest: pack.manifest.digest(),
            root16: pack.root16.clone(),
        })
        .collect();
    packs.sort_by(|a, b| a.name.cmp(&b.name));
    packs
}

/// What this transaction will make that is not there: it goes away again if the transaction is undone.
fn fresh(root: &InstallRoot, plan: &InstallPlan, trees: &[NewTree<'_>], id: u64) -> Result<Names, Cause> {
    let mut named = BTreeSet::new();
    for generation in root.generations()? {
        named.extend(generation.record.manifests().map(|p| p.digest));
    }
    let packs = plan.packs.iter().map(|p| p.manifest.digest());
    Ok(Names {
        generations: vec![id],
        components: trees.iter().map(|t| t.record.dir.clone()).collect(),
        packs: packs.filter(|digest| !named.contains(digest)).collect(),
        indexes: trees.iter().map(NewTree::index_name).collect(),
    })
}

/// Puts everything that is fresh into staging and publishes it.
fn stage(tx: &mut Tx<'_>, plan: &InstallPlan, work: &Work<'_>) -> Result<(), Cause> {
    sweep_staging(tx, &work.trees)?;
    for note in tx.steps().clear_places()? {
        tx.note(&note);
    }
    stage_trees(tx, &work.trees)?;
    let fresh = tx.begin.fresh.packs.clone();
    for pack in plan.packs.iter().filter(|p| fresh.contains(&p.manifest.digest())) {
        let new = NewPack {
            digest: pack.manifest.digest(),
            manifest: pack.manifest.bytes(),
            signatures: &pack.signatures,
        };
        tx.steps().stage_pack(&new)?;
    }
    tx.steps().stage_generation(&work.record)?;
    publish(tx)
}

/// Makes what is staged durable and gives it its final names; STAGED is in the journal after it.
fn publish(tx: &mut Tx<'_>) -> Result<(), Cause> {
    let observer = tx.env.observer;
    observer.phase(Phase::Durable, None);
    tx.steps().make_durable()?;
    observer.phase(Phase::Publish, Some(tx.begin.fresh.components.len() as u64));
    tx.steps().publish(&mut || observer.add(1))?;
    tx.journal.append(&Record::Staged)?;
    Ok(tx.reach(CrashPoint::Staged)?)
}

/// True if any chosen component has a service and there is a launcher to start it.
fn has_services(plan: &InstallPlan, record: &GenerationRecord) -> bool {
    let launcher = record.components.iter().any(|c| c.id == LAUNCHER);
    let mut services = plan
        .packs
        .iter()
        .flat_map(|p| p.manifest.services.iter().map(move |s| (p, s)));
    launcher && services.any(|(pack, service)| pack.components.contains(&service.component))
}

fn receipt_pack(pack: &PlannedPack) -> ReceiptPack {
    let manifest = &pack.manifest;
    ReceiptPack {
        name: manifest.pack.clone(),
        version: manifest.version.clone(),
        target: manifest.target.clone(),
        sequence: manifest.sequence,
        digest: manifest.digest(),
        sbom_sha256: manifest.sbom.sha256,
        root16: pack.root16.clone(),
        root_version: pack.root_version,
        keys: manifest.keys().iter().map(ToString::to_string).collect(),
        approved_by: pack.approved_by.iter().map(ToString::to_string).collect(),
    }
}

fn receipt_verdict(verdict: &crate::plan::Verdict) -> ReceiptVerdict {
    use crate::plan::VerdictOutcome::{Allowed, Passed, Warned};
    ReceiptVerdict {
        check: verdict.check.clone(),
        outcome: match verdict.outcome {
            Passed => "passed",
            Warned => "warned",
            Allowed => "allowed",
        }
        .to_owned(),
        detail: verdict.detail.clone(),
    }
}
