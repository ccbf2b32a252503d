//! Owns the draft of the next generation: packs, components and settings, before they become a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use kojibox_packs::manifest::{Manifest, Service};
use kojibox_signing::Verified;
use kojibox_state::{
    Layout,
    records::{Floors, LAUNCHER},
};

use super::Existing;
use crate::{
    medium::Medium,
    plan::{InstallPlan, KeptLauncher, PlannedPack, TrustUpdate, Verdict},
    preflight::{ComponentDemand, Content, Demand, MoveDemand, services_of},
    select::{Chosen, SelectError, Settings, close},
    trust::{Approval, Offer, Publisher, Release, floors},
};

/// One pack of the next generation.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    /// Verified manifest.
    pub manifest: Arc<Verified<Manifest>>,
    /// Its publisher.
    pub root16: String,
    /// Version of the publisher's root, 0 for a kept pack.
    pub root_version: u64,
    /// Chosen components.
    pub components: BTreeSet<String>,
    /// Where it comes from; `None`: kept.
    pub offer: Option<Offer>,
    /// Countersignatures.
    pub approval: Approval,
}

/// The next generation as far as it is decided.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Its packs, sorted by name.
    pub picks: Vec<Pick>,
    /// The active launcher, if it stays.
    pub launcher: Option<KeptLauncher>,
    /// Answers and ports.
    pub settings: Settings,
    /// Language of the person.
    pub language: Option<String>,
    /// Services are started at the end.
    pub start: bool,
    /// Verdicts so far.
    pub verdicts: Vec<Verdict>,
    /// Floors once it is active.
    pub floors: Floors,
    /// Publishers whose documents the root has to keep.
    pub publishers: Vec<Publisher>,
}

impl Pick {
    /// A pack that stays as it is.
    pub(crate) fn kept(manifest: &Arc<Verified<Manifest>>, root16: &str, existing: &Existing) -> Self {
        Self {
            components: existing.components_of(&manifest.pack).map(str::to_owned).collect(),
            manifest: Arc::clone(manifest),
            root16: root16.to_owned(),
            root_version: 0,
            offer: None,
            approval: Approval::default(),
        }
    }

    /// Its release, as far as replays are concerned.
    pub(crate) fn release(&self) -> Release<'_> {
        Release {
            manifest: &self.manifest,
            digest: self.manifest.digest(),
            root16: &self.root16,
        }
    }

    /// Chosen components with their description.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &kojibox_packs::manifest::Component> {
        let components = self.manifest.components.iter();
        components.filter(|c| self.components.contains(&c.id))
    }

    /// Services of the chosen components.
    fn services(&self) -> impl Iterator<Item = &Service> {
        let services = self.manifest.services.iter();
        services.filter(|s| self.components.contains(&s.component))
    }

    /// Data of its services that has another format now.
    fn moves(&self, existing: &Existing) -> Vec<MoveDemand> {
        let Some(now) = existing.manifests.get(&self.manifest.pack) else {
            return Vec::new();
        };
        let moves = self.services().filter_map(|next| {
            let service = now.services.iter().find(|s| s.id == next.id)?;
            let format = service.data_format.as_deref().unwrap_or("default");
            (service.data_format != next.data_format).then(|| MoveDemand {
                service: next.id.clone(),
                dir: ["data", &next.id, format].iter().collect(),
            })
        });
        moves.collect()
    }
}

/// Adds to each pick what its components require, and refuses what does not go together. Gives the active launcher, if it
/// stays: what a kept pack once brought may be older than that, and is not there any more.
pub(super) fn complete(picks: &mut [Pick], existing: &Existing) -> Result<Option<KeptLauncher>, SelectError> {
    let manifests: Vec<_> = picks.iter().map(|p| Arc::clone(&p.manifest)).collect();
    let mut chosen: Vec<_> = manifests
        .iter()
        .zip(picks.iter())
        .map(|(manifest, pick)| Chosen {
            manifest,
            components: pick.components.clone(),
            kept: pick.offer.is_none(),
        })
        .collect();
    let active = existing.launcher();
    let stays = close(&mut chosen, active.as_ref().map(|l| l.component.version.as_str()))?;
    let sets: Vec<_> = chosen.into_iter().map(|c| c.components).collect();
    for (pick, components) in picks.iter_mut().zip(sets) {
        pick.components = components;
    }
    Ok(active.filter(|_| stays))
}

impl Draft {
    /// What the machine must offer.
    pub(crate) fn demand(&self, root: &Path, medium: Option<&Medium>, existing: &Existing) -> Demand {
        let mut demand = Demand {
            root: root.to_owned(),
            sources: medium.iter().flat_map(|m| m.paths()).map(Path::to_owned).collect(),
            components: Vec::new(),
            services: Vec::new(),
            ports: Vec::new(),
            moves: self.picks.iter().flat_map(|pick| pick.moves(existing)).collect(),
            not_before: floors::not_before(&self.floors),
        };
        for pick in &self.picks {
            for component in pick.chosen() {
                let dir = Layout::component_dir_name(&component.id, &component.version, &component.tree_sha256);
                let present = pick.offer.is_none() || existing.has_tree(&dir);
                let staged = if present {
                    Content::default()
                } else {
                    existing.staged(&dir)
                };
                demand
                    .components
                    .push(ComponentDemand::of(component, dir, present, staged));
            }
            let port_of = |name: &str, prefer| self.settings.ports.get(name).copied().unwrap_or(prefer);
            let (services, ports) = services_of(&pick.manifest, &pick.components, port_of);
            demand.services.extend(services);
            demand.ports.extend(ports);
        }
        demand
    }

    /// The plan that makes it true.
    pub(crate) fn into_plan(self, command: String, medium: Option<&Medium>) -> InstallPlan {
        let packs = self.picks.into_iter().map(|pick| {
            let source = pick
                .offer
                .as_ref()
                .zip(medium)
                .map(|(offer, medium)| medium.blobs(offer.source));
            let signed = pick.offer.iter().flat_map(|o| o.signatures.clone());
            PlannedPack {
                signatures: signed.chain(pick.approval.signatures).collect(),
                manifest: pick.manifest,
                root16: pick.root16,
                root_version: pick.root_version,
                approved_by: pick.approval.keys,
                components: pick.components,
                source,
            }
        });
        InstallPlan {
            command,
            packs: packs.collect(),
            launcher: self.launcher,
            answers: self.settings.answers,
            ports: self.settings.ports,
            language: self.language,
            start: self.start,
            trust: TrustUpdate {
                roots: self.publishers.iter().map(Publisher::planned).collect(),
                floors: self.floors,
            },
            verdicts: self.verdicts,
        }
    }

    /// True if the active generation is already this one.
    pub(crate) fn changes_nothing(&self, existing: &Existing) -> bool {
        let Some(record) = &existing.record else { return false };
        let packs = |pick: &Pick| {
            let same = record.packs.iter().any(|p| p.digest == pick.manifest.digest());
            let before = existing.components_of(&pick.manifest.pack);
            let before: BTreeSet<_> = before.filter(|id| *id != LAUNCHER).collect();
            let after = pick.components.iter().map(String::as_str).filter(|id| *id != LAUNCHER);
            same && before == after.collect()
        };
        let mut brought = self.picks.iter().flat_map(Pick::chosen).filter(|c| c.id == LAUNCHER);
        let brought = brought.next().map(|c| c.tree_sha256);
        let active = existing.launcher().map(|l| l.component.tree_sha256);
        (self.launcher.is_some() || brought == active)
            && record.packs.len() == self.picks.len()
            && self.picks.iter().all(packs)
            && record.answers == self.settings.answers
            && record.ports == self.settings.ports
            && record.start == self.start
            && existing.pointer.as_ref().is_some_and(|p| p.confirmed)
    }

    /// Service ids by pick, in the order of the manifests.
    pub(crate) fn services(&self) -> Vec<String> {
        let services = self.picks.iter().flat_map(Pick::services);
        services.map(|s| s.id.clone()).collect()
    }

    /// Ports as they will be asked for: `service.name` to number.
    pub(crate) fn ports(&self) -> BTreeMap<String, u16> {
        let port_of = |name: &str, prefer| self.settings.ports.get(name).copied().unwrap_or(prefer);
        let all = self
            .picks
            .iter()
            .flat_map(|p| services_of(&p.manifest, &p.components, port_of).1);
        all.map(|p| (p.name, p.port)).collect()
    }
}
