//! Owns `rollback`: a kept generation becomes active again, without any medium.

use kojibox_packs::manifest::Manifest;
use kojibox_state::{
    LockedRoot,
    journal::{Record, TxKind},
    receipts::ReceiptPack,
    records::{GenerationRecord, LAUNCHER, PackRecord},
};

use super::{
    activate::{Target, abort, activate},
    error::{Cause, Situation, TxError},
    formats::{FormatChange, data_changes},
    recover::recover,
    tx::Tx,
    verify::verify_trees,
};
use crate::plan::Env;

/// Which generation, and what a person has agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollbackOptions {
    /// Command line, without secrets.
    pub command: String,
    /// Generation; the previous one if not named.
    pub to: Option<u64>,
    /// Going back to an older data format is agreed to: newer data is kept aside and will be missing.
    pub restore_data: bool,
    /// A withdrawn pack is agreed to.
    pub unsafe_revoked: bool,
}

/// A generation that is active again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The one that was active.
    pub from: u64,
    /// The one that is active now.
    pub to: u64,
    /// Transaction; names the receipt.
    pub txid: String,
    /// Services that use older data again.
    pub formats: Vec<FormatChange>,
}

/// Makes a kept generation active again, after re-hashing all of it.
///
/// # Errors
/// [`TxError`] says what the machine is now; a generation that is not whole is never activated.
pub fn rollback(locked: &mut LockedRoot, options: &RollbackOptions, env: &Env<'_>) -> Result<RolledBack, TxError> {
    recover(locked, env)?;
    let untouched = |cause: Cause| {
        let active = locked.root().pointer().ok().flatten().map(|p| p.current);
        TxError::new(cause, Situation::Untouched { active })
    };
    let chosen = choose(locked, options, env).map_err(untouched)?;
    let mut tx = Tx::new(locked, env, TxKind::Rollback, &options.command).map_err(untouched)?;
    tx.begin.generation = Some(chosen.target.id);
    tx.begin.draft.packs.clone_from(&chosen.packs);
    tx.begin()?;
    if let Err(error) = tx.journal.append(&Record::Staged) {
        return Err(abort(&mut tx, error.into(), false));
    }
    // It was good once; that it does not start now may be the machine's fault, so it gets no mark.
    let target = Target {
        record: &chosen.target,
        gated: chosen.gated,
        mark: false,
        // Without a way back, another format is one that data is moved to.
        moves_data: chosen.formats.is_empty(),
    };
    activate(&mut tx, &target)?;
    Ok(RolledBack {
        from: chosen.from,
        to: chosen.target.id,
        txid: tx.begin.txid().to_owned(),
        formats: chosen.formats,
    })
}

struct Chosen {
    from: u64,
    target: GenerationRecord,
    packs: Vec<ReceiptPack>,
    gated: bool,
    formats: Vec<FormatChange>,
}

fn choose(locked: &LockedRoot, options: &RollbackOptions, env: &Env<'_>) -> Result<Chosen, Cause> {
    let root = locked.root();
    let pointer = root.pointer()?.ok_or(Cause::NothingBefore)?;
    let id = options.to.or(pointer.previous).ok_or(Cause::NothingBefore)?;
    if id == pointer.current {
        return Err(Cause::AlreadyActive(id));
    }
    let target = root.generation(id)?.ok_or(Cause::NoGeneration(id))?;
    if let Some(mark) = root.bad_mark(id)? {
        return Err(Cause::MarkedBad {
            generation: id,
            reason: mark.reason,
        });
    }
    let formats = data_changes(root, id, env.gate)?;
    if !formats.is_empty() && !options.restore_data {
        return Err(Cause::DataFormat {
            generation: id,
            changes: formats,
        });
    }
    let (packs, services) = packs(locked, &target, options)?;
    let trees: Vec<_> = target.components.iter().collect();
    let findings = verify_trees(root, &trees, env)?.findings;
    if !findings.is_empty() {
        return Err(Cause::Damaged {
            generation: id,
            findings,
        });
    }
    let launcher = target.components.iter().any(|c| c.id == LAUNCHER);
    Ok(Chosen {
        from: pointer.current,
        gated: target.start && services && launcher,
        target,
        packs,
        formats,
    })
}

/// Reads the recorded manifests: what the receipt says of them, whether any has a service, whether any is withdrawn.
fn packs(
    locked: &LockedRoot,
    target: &GenerationRecord,
    options: &RollbackOptions,
) -> Result<(Vec<ReceiptPack>, bool), Cause> {
    let root = locked.root();
    let revoked = root.floors()?.map(|f| f.revoked).unwrap_or_default();
    let (mut packs, mut services) = (Vec::new(), false);
    for pack in target.manifests() {
        if revoked.contains(&pack.digest) && !options.unsafe_revoked {
            return Err(Cause::Revoked {
                generation: target.id,
                pack: pack.name.clone(),
                digest: pack.digest,
            });
        }
    }
    for pack in &target.packs {
        let manifest = root.manifest(&pack.digest)?;
        let installed = |id: &String| target.components.iter().any(|c| c.id == *id);
        services |= manifest.services.iter().any(|s| installed(&s.component));
        packs.push(receipt_pack(pack, &manifest));
    }
    Ok((packs, services))
}

/// What a receipt says of a pack that is taken from the records of this root: nobody's keys were asked anew.
pub(super) fn receipt_pack(pack: &PackRecord, manifest: &Manifest) -> ReceiptPack {
    ReceiptPack {
        name: pack.name.clone(),
        version: pack.version.clone(),
        target: pack.target.clone(),
        sequence: pack.sequence,
        digest: pack.digest,
        sbom_sha256: manifest.sbom.sha256,
        root16: pack.root16.clone(),
        root_version: 0,
        keys: Vec::new(),
        approved_by: Vec::new(),
    }
}
