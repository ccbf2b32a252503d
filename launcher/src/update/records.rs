//! Owns what a self-update writes down: the component, the receipt, the floors.

use kojibox_packs::index::Index;
use kojibox_signing::Verified;
use kojibox_state::{
    InstallRoot,
    doc::Versioned as _,
    journal::TxKind,
    layout::Layout,
    receipts::{Receipt, ReceiptBytes, ReceiptPack, ReceiptVerdict, TxOutcome},
    records::{ComponentRecord, Floors, GenerationRecord, LAUNCHER, PackRecord},
};

use super::{Setting, UpdateError, choose::Offer};

pub(super) fn component(offer: &Offer, index: &Verified<Index>) -> ComponentRecord {
    let component = &offer.component;
    ComponentRecord {
        id: component.id.clone(),
        pack: offer.manifest.pack.clone(),
        version: component.version.clone(),
        tree_sha256: component.tree_sha256,
        dir: Layout::component_dir_name(&component.id, &component.version, &component.tree_sha256),
        index_sha256: index.digest(),
        data_format: None,
    }
}

/// The pack whose manifest tells of the launcher, as a generation names it.
pub(super) fn pack(offer: &Offer) -> PackRecord {
    let manifest = &offer.manifest;
    PackRecord {
        name: manifest.pack.clone(),
        version: manifest.version.clone(),
        target: manifest.target.clone(),
        sequence: manifest.sequence,
        digest: manifest.digest(),
        root16: offer.root16.clone(),
    }
}

/// The active generation with another launcher.
pub(super) fn generation(
    current: GenerationRecord,
    id: u64,
    txid: &str,
    (component, pack): (&ComponentRecord, &PackRecord),
    setting: &Setting<'_>,
) -> GenerationRecord {
    let mut components = current.components.clone();
    components.retain(|c| c.id != LAUNCHER);
    components.push(component.clone());
    components.sort_by(|a, b| (&a.id, &a.pack).cmp(&(&b.id, &b.pack)));
    // What is installed already tells of it; of any other pack only the launcher is taken, and that is written down.
    let installed = current.packs.iter().any(|c| c.digest == pack.digest);
    GenerationRecord {
        id,
        created: setting.now.to_owned(),
        txid: txid.to_owned(),
        components,
        launcher_pack: (!installed).then(|| pack.clone()),
        ..current
    }
}

pub(super) fn draft(
    root: &InstallRoot,
    offer: &Offer,
    setting: &Setting<'_>,
    txid: String,
) -> Result<Receipt, UpdateError> {
    let manifest = &offer.manifest;
    let ids = |keys: &[kojibox_signing::KeyId]| keys.iter().map(ToString::to_string).collect();
    let pack = ReceiptPack {
        name: manifest.pack.clone(),
        version: manifest.version.clone(),
        target: manifest.target.clone(),
        sequence: manifest.sequence,
        digest: manifest.digest(),
        sbom_sha256: manifest.sbom.sha256,
        root16: offer.root16.clone(),
        root_version: offer.root_version,
        keys: ids(manifest.keys()),
        approved_by: ids(&offer.approved_by),
    };
    let verdict = ReceiptVerdict {
        check: "launcher".to_owned(),
        outcome: "passed".to_owned(),
        detail: format!(
            "only component `{LAUNCHER}` {} of this pack was taken",
            offer.component.version
        ),
    };
    Ok(Receipt {
        schema: Receipt::SCHEMA.to_owned(),
        txid,
        kind: TxKind::Update,
        outcome: TxOutcome::Undone,
        reason: None,
        command: "kojibox self-update".to_owned(),
        started: setting.now.to_owned(),
        finished: String::new(),
        from: root.pointer()?.map(|p| p.current),
        to: None,
        packs: vec![pack],
        verdicts: vec![verdict],
        bytes: ReceiptBytes {
            read: offer.component.blob.size,
            ..ReceiptBytes::default()
        },
        notes: Vec::new(),
        previous: None,
    })
}

/// The signed times and the withdrawals of the whole source count; sequences do not: the pack itself is not installed.
pub(super) fn floors(offer: &Offer) -> Floors {
    Floors {
        packs: [].into(),
        ..offer.known.clone()
    }
}
