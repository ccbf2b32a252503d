//! Owns how verdicts are told: a line per good pack, whom they were held against, and the same as one JSON document.

use kojibox_console::{Ui, bytes};
use kojibox_signing::KeyId;
use serde_json::json;

use crate::{
    depot::{Refused, Trust},
    verify::Verdict,
};

/// Tells what was found out.
pub(super) fn tell(ui: &Ui, trust: &Trust, verdicts: &[Verdict], refused: &[(String, Refused)]) {
    let packs: Vec<_> = verdicts
        .iter()
        .map(|v| {
            let (m, root) = (&v.parcel.manifest, v.parcel.chain.newest());
            json!({
                "pack": m.pack, "version": m.version, "target": m.target, "digest": m.digest(), "keys": m.keys(),
                "threshold": root.pack_ring().threshold(), "publisher": v.parcel.chain.root16(),
                "fingerprint": v.parcel.chain.fingerprint(), "root_version": root.version(), "size": v.size,
            })
        })
        .collect();
    if ui.is_json() {
        let refused: Vec<_> = refused
            .iter()
            .map(|(name, e)| json!({ "manifest": name, "exit": e.exit() as u8, "error": e.to_string() }))
            .collect();
        ui.json(&json!({ "trusted": trust.pinned, "packs": packs, "refused": refused }));
        return;
    }
    for v in verdicts {
        let (m, chain) = (&v.parcel.manifest, &v.parcel.chain);
        let keys: Vec<_> = m.keys().iter().map(KeyId::short).collect();
        ui.answer(&format!(
            "{}: good, {} in {}, signed by {} ({} of {} needed), manifest sha256 {}",
            v.parcel.title(),
            bytes(v.size),
            match m.components.len() {
                1 => "one component".to_owned(),
                n => format!("{n} components"),
            },
            keys.join(", "),
            keys.len(),
            chain.newest().pack_ring().threshold(),
            m.digest(),
        ));
    }
    if !trust.pinned && !verdicts.is_empty() {
        for chain in &trust.chains {
            ui.note(&format!(
                "the trust root {} came with the packs; compare it with what the publisher told you, or pass `--trust`.",
                chain.fingerprint()
            ));
        }
    }
}
