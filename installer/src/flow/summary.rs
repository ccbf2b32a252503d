//! Owns the summary: exactly what will change, for a person who is about to say yes and for `--dry-run --json`.

use std::{collections::BTreeMap, path::Path};

use kojibox_console::bytes;
use kojibox_signing::Digest;
use kojibox_state::records::LAUNCHER;
use serde::Serialize;

use super::{Draft, Existing, Pick};
use crate::{
    plan::Verdict,
    preflight::Demand,
    preflight::{Facts, Finding, space_needed},
    wizard::texts::{Texts, fill},
};

/// What happens to a pack or a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fate {
    /// It was not there.
    Install,
    /// It becomes newer.
    Update,
    /// It becomes older.
    Downgrade,
    /// It stays.
    Keep,
    /// It goes.
    Remove,
}

/// One pack or component and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// Id.
    pub name: String,
    /// Version afterwards; before, if it goes.
    pub version: String,
    /// Version before.
    pub from: Option<String>,
    /// What happens.
    #[serde(rename = "change")]
    pub fate: Fate,
    /// Bytes that are written.
    pub size: u64,
    /// Manifest or tree.
    pub digest: Digest,
}

/// Everything that a plan changes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Install root.
    pub root: String,
    /// Active generation, if any.
    pub generation: Option<u64>,
    /// Packs, sorted by name.
    pub packs: Vec<Change>,
    /// Components, sorted by id.
    pub components: Vec<Change>,
    /// Services of the next generation.
    pub services: Vec<String>,
    /// Ports they ask for.
    pub ports: BTreeMap<String, u16>,
    /// Answers.
    pub answers: BTreeMap<String, String>,
    /// Services are started at the end.
    pub start: bool,
    /// Space on the volume of the root.
    pub space: Space,
    /// What preflight found.
    pub findings: Vec<Finding>,
    /// What trust and floors decided.
    pub verdicts: Vec<Verdict>,
}

/// Space on the volume of the root, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Space {
    /// Upper bound of what is written.
    pub needed: u64,
    /// Free now.
    pub free: u64,
}

impl Summary {
    /// Compares the draft with what is installed.
    pub(crate) fn new(
        root: &Path,
        draft: &Draft,
        existing: &Existing,
        demand: &Demand,
        facts: &Facts,
        findings: &[Finding],
    ) -> Self {
        let (cluster, free) = facts.place.as_ref().map_or((4096, 0), |(v, _)| (v.cluster, v.free));
        Self {
            root: root.display().to_string(),
            generation: existing.record.as_ref().map(|r| r.id),
            packs: packs(draft, existing),
            components: components(draft, existing),
            services: draft.services(),
            ports: draft.ports(),
            answers: draft.settings.answers.clone(),
            start: draft.start,
            space: Space {
                needed: space_needed(demand, cluster),
                free,
            },
            findings: findings.to_vec(),
            verdicts: draft.verdicts.clone(),
        }
    }

    /// The summary for people, line by line.
    pub(crate) fn lines(&self, texts: &Texts) -> Vec<String> {
        let mut lines: Vec<_> = self.packs.iter().map(|c| line(c, texts)).collect();
        let changing = self.components.iter().filter(|c| c.fate != Fate::Keep);
        lines.extend(changing.map(|c| format!("  {}", line(c, texts))));
        let (needed, free) = (bytes(self.space.needed), bytes(self.space.free));
        let values = [("root", self.root.as_str()), ("needed", &needed), ("free", &free)];
        lines.push(fill(texts.space, &values));
        if self.generation.is_some() {
            lines.push(texts.stops.to_owned());
            lines.push(texts.data_stays.to_owned());
        }
        lines.push(match (self.start, self.services.is_empty()) {
            (true, false) => fill(texts.starts, &[("names", &self.services.join(", "))]),
            _ => texts.starts_not.to_owned(),
        });
        lines.push(fill(texts.medium_untouched, &values));
        lines
    }
}

fn line(change: &Change, texts: &Texts) -> String {
    let text = match change.fate {
        Fate::Install => texts.install,
        Fate::Update => texts.update,
        Fate::Downgrade => texts.downgrade,
        Fate::Keep => texts.keep,
        Fate::Remove => texts.remove,
    };
    let size = bytes(change.size);
    let from = change.from.as_deref().unwrap_or_default();
    fill(
        text,
        &[
            ("name", &change.name),
            ("version", &change.version),
            ("from", from),
            ("size", &size),
        ],
    )
}

fn packs(draft: &Draft, existing: &Existing) -> Vec<Change> {
    let mut changes: Vec<_> = draft
        .picks
        .iter()
        .map(|pick| {
            let manifest = &pick.manifest;
            let before = existing.manifests.get(&manifest.pack);
            let fate = match before {
                None => Fate::Install,
                Some(b) if b.digest() == manifest.digest() => Fate::Keep,
                Some(b) if b.sequence > manifest.sequence => Fate::Downgrade,
                Some(_) => Fate::Update,
            };
            Change {
                name: manifest.pack.clone(),
                version: manifest.version.clone(),
                from: before.map(|b| b.version.clone()),
                fate,
                size: pick.chosen().map(|c| c.installed_size).sum(),
                digest: manifest.digest(),
            }
        })
        .collect();
    let gone = existing
        .manifests
        .iter()
        .filter(|(name, _)| !changes.iter().any(|c| c.name == **name));
    let gone: Vec<_> = gone
        .map(|(name, manifest)| Change {
            name: name.clone(),
            version: manifest.version.clone(),
            from: Some(manifest.version.clone()),
            fate: Fate::Remove,
            size: 0,
            digest: manifest.digest(),
        })
        .collect();
    changes.extend(gone);
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

fn components(draft: &Draft, existing: &Existing) -> Vec<Change> {
    let before = |id: &str, pack: &str| {
        let recorded = existing.record.iter().flat_map(|r| &r.components);
        // There is one launcher, whichever pack brings it.
        recorded
            .into_iter()
            .find(|c| c.id == *id && (c.pack == *pack || c.id == LAUNCHER))
    };
    let mut changes = Vec::new();
    for pick in &draft.picks {
        for component in pick.chosen() {
            let old = before(&component.id, &pick.manifest.pack);
            let version = |text: &str| semver::Version::parse(text).ok();
            let fate = match old {
                None => Fate::Install,
                Some(o) if o.tree_sha256 == component.tree_sha256 => Fate::Keep,
                Some(o) if version(&o.version) > version(&component.version) => Fate::Downgrade,
                Some(_) => Fate::Update,
            };
            changes.push(Change {
                name: component.id.clone(),
                version: component.version.clone(),
                from: old.map(|o| o.version.clone()),
                size: if fate == Fate::Keep {
                    0
                } else {
                    component.installed_size
                },
                fate,
                digest: component.tree_sha256,
            });
        }
    }
    let gone = existing.record.iter().flat_map(|r| &r.components).filter(|old| {
        let of_pack = |p: &&Pick| p.manifest.pack == old.pack || old.id == LAUNCHER;
        let stays = old.id == LAUNCHER && draft.launcher.is_some();
        !stays
            && !draft
                .picks
                .iter()
                .filter(of_pack)
                .any(|p| p.components.contains(&old.id))
    });
    changes.extend(draft.launcher.iter().map(|kept| Change {
        name: kept.component.id.clone(),
        version: kept.component.version.clone(),
        from: Some(kept.component.version.clone()),
        fate: Fate::Keep,
        size: 0,
        digest: kept.component.tree_sha256,
    }));
    changes.extend(gone.map(|old| Change {
        name: old.id.clone(),
        version: old.version.clone(),
        from: Some(old.version.clone()),
        fate: Fate::Remove,
        size: 0,
        digest: old.tree_sha256,
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}
