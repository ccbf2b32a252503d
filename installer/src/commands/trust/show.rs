//! Owns `trust show`: the pinned roots, their keys and thresholds.

use std::path::Path;

use kojibox_console::Outcome;
use kojibox_signing::root::{Role, TrustedRoot, fingerprint};
use serde::Serialize;

use crate::{
    commands::shared::{after_reading, open_shared},
    flow::{Existing, Session},
    report::StateReport,
    trust::{self, Publisher},
};

#[derive(Serialize)]
struct Document {
    root: String,
    not_before: String,
    publishers: Vec<PublisherDocument>,
}

#[derive(Serialize)]
struct PublisherDocument {
    publisher: String,
    version: u64,
    fingerprint: String,
    expires: String,
    roles: Vec<RoleDocument>,
}

#[derive(Serialize)]
struct RoleDocument {
    role: &'static str,
    threshold: usize,
    keys: Vec<KeyDocument>,
}

#[derive(Serialize)]
struct KeyDocument {
    id: String,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

pub(super) fn show(session: &Session<'_>, path: &Path) -> Outcome {
    let (root, _lock) = open_shared(path)?;
    let existing = Existing::read(path).map_err(StateReport)?;
    let publishers = trust::pinned(&existing.pins, None)?;
    let document = Document {
        root: path.display().to_string(),
        not_before: existing.floors.not_before.clone(),
        publishers: publishers.iter().map(publisher).collect(),
    };
    if session.ui.is_json() {
        session.ui.json(&document);
        return after_reading(&root);
    }
    for publisher in &document.publishers {
        let PublisherDocument {
            publisher: id,
            version,
            fingerprint,
            expires,
            ..
        } = publisher;
        session
            .ui
            .answer(&format!("{id}  root {version}  {fingerprint}  until {expires}"));
        for role in &publisher.roles {
            session
                .ui
                .answer(&format!("  {} ({} of {})", role.role, role.threshold, role.keys.len()));
            for key in &role.keys {
                let name = key.name.as_deref().map(kojibox_console::escape).unwrap_or_default();
                session
                    .ui
                    .answer(&format!("    {}  {}  {name}", &key.id[..16], key.fingerprint));
            }
        }
    }
    after_reading(&root)
}

fn publisher(publisher: &Publisher) -> PublisherDocument {
    let root = &publisher.root;
    PublisherDocument {
        publisher: publisher.root16.clone(),
        version: root.version(),
        fingerprint: fingerprint(root.bytes()),
        expires: root.expires().to_string(),
        roles: [Role::Root, Role::Pack, Role::Approval]
            .into_iter()
            .filter_map(|r| role(root, r))
            .collect(),
    }
}

fn role(root: &TrustedRoot, role: Role) -> Option<RoleDocument> {
    let ring = root.ring(role)?;
    let keys = ring.keys().map(|(id, key)| KeyDocument {
        id: id.to_string(),
        fingerprint: key.fingerprint(),
        name: root.name_of(id).map(str::to_owned),
    });
    Some(RoleDocument {
        role: role.as_str(),
        threshold: ring.threshold(),
        keys: keys.collect(),
    })
}
