//! Owns how trust roots are shown: `trust show`, and what every change says at its end.

use std::path::Path;

use kojibox_console::{Exit, Outcome, Ui, escape};
use kojibox_signing::{
    KeyId, Keyring, PublicKey,
    root::{Progress, Role},
};
use serde_json::{Value, json};

use crate::keys::{Draft, Saved, TrustChain};

/// Says what became of a draft.
pub(super) fn saved(ui: &Ui, saved: Saved) {
    match saved {
        Saved::Published(chain) => {
            let version = chain.current().version();
            ui.done(&format!("trust root {version} is signed by enough keys and published."));
            ui.status("Carry it to the machines: any stick made from now on brings it, or a stick with that one file.");
            if ui.is_json() {
                ui.json(&json!({ "published": version, "waiting": [] }));
            }
        }
        Saved::Waiting(chain, progress) => {
            ui.status(&format!(
                "The draft `{}` waits for signatures.",
                chain.draft_file().display()
            ));
            for progress in &progress {
                ui.status(&sentence(progress));
            }
            if ui.is_json() {
                let waiting: Vec<_> = progress.iter().map(waiting).collect();
                ui.json(&json!({ "published": null, "waiting": waiting }));
            }
        }
    }
}

fn sentence(progress: &Progress) -> String {
    let Progress {
        version,
        needed,
        signed,
        waiting,
    } = progress;
    let ids = |ids: &[KeyId]| {
        ids.iter()
            .map(|id| format!("`{}`", id.short()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let who = if progress.is_met() || waiting.is_empty() {
        String::new()
    } else {
        format!("; still able to sign: {}", ids(waiting))
    };
    format!(
        "Root keys of version {version}: {} of {needed} needed signatures are there{who}.",
        signed.len()
    )
}

fn waiting(progress: &Progress) -> Value {
    let Progress {
        version,
        needed,
        signed,
        waiting,
    } = progress;
    json!({ "version": version, "needed": needed, "signed": signed, "waiting": waiting })
}

/// Shows the chain that `path` is part of.
pub(super) fn run(ui: &Ui, path: &Path) -> Outcome {
    let chain = TrustChain::load(path)?;
    let draft = chain
        .draft_file()
        .is_file()
        .then(|| Draft::open(chain.clone()))
        .transpose()?;
    if ui.is_json() {
        ui.json(&document(&chain, draft.as_ref()));
    } else {
        tell(ui, &chain, draft.as_ref());
    }
    Ok(Exit::Done)
}

fn document(chain: &TrustChain, draft: Option<&Draft>) -> Value {
    let root = chain.current();
    let keys = |ring: &Keyring| -> Vec<Value> {
        let key = |(id, key): (&KeyId, &PublicKey)| json!({ "id": id, "fingerprint": key.fingerprint(), "name": root.name_of(id) });
        ring.keys().map(key).collect()
    };
    let roles = Role::ALL.into_iter().filter_map(|role| {
        let ring = root.ring(role)?;
        Some((
            role.to_string(),
            json!({ "threshold": ring.threshold(), "keys": keys(&ring) }),
        ))
    });
    json!({
        "version": root.version(), "fingerprint": chain.fingerprint(), "root16": chain.root16(),
        "issued": root.issued(), "expires": root.expires(), "roles": roles.collect::<serde_json::Map<_, _>>(),
        "draft": draft.map(|draft| draft.progress().iter().map(waiting).collect::<Vec<_>>()),
    })
}

fn tell(ui: &Ui, chain: &TrustChain, draft: Option<&Draft>) {
    let root = chain.current();
    ui.answer(&format!("fingerprint  {}", chain.fingerprint()));
    ui.answer(&format!("version      {}", root.version()));
    ui.answer(&format!("issued       {}", root.issued()));
    ui.answer(&format!("expires      {}", root.expires()));
    for (name, role) in [
        ("root", Role::Root),
        ("pack", Role::Pack),
        ("feed", Role::Timestamp),
        ("approval", Role::Approval),
    ] {
        let Some(ring) = root.ring(role) else { continue };
        ui.answer(&format!("{name}: {} of {}", ring.threshold(), ring.keys().count()));
        for (id, key) in ring.keys() {
            let name = escape(root.name_of(id).unwrap_or_default());
            ui.answer(format!("  {}  {}  {name}", id.short(), key.fingerprint()).trim_end());
        }
    }
    if let Some(draft) = draft {
        ui.answer(&format!("draft of version {}:", draft.root().version()));
        for progress in draft.progress() {
            ui.answer(&format!("  {}", sentence(&progress)));
        }
    }
}
