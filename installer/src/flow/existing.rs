//! Owns what is already installed, as a plan needs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use kojibox_packs::manifest::Manifest;
use kojibox_signing::Verified;
use kojibox_state::{
    InstallRoot, StateError,
    records::{Floors, GenerationRecord, Pointer},
    trust,
};

use crate::{
    plan::{KeptLauncher, PlannedRoot},
    preflight::{Content, services_of},
    select::Settings,
    trust::floors,
};

/// An install root as it is now; a place without one is an existing nothing.
#[derive(Debug)]
pub(crate) struct Existing {
    /// The read side, if there is a root.
    pub root: Option<InstallRoot>,
    /// The pointer, if a generation is active.
    pub pointer: Option<Pointer>,
    /// The active generation.
    pub record: Option<GenerationRecord>,
    /// Its manifests by pack.
    pub manifests: BTreeMap<String, Arc<Verified<Manifest>>>,
    /// Pinned publishers with their documents.
    pub pins: Vec<PlannedRoot>,
    /// What the root never goes below.
    pub floors: Floors,
}

impl Existing {
    /// Reads what is at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, StateError> {
        match InstallRoot::open(path) {
            Ok(root) => Self::of(root),
            Err(StateError::NotARoot { .. }) => Ok(Self {
                root: None,
                pointer: None,
                record: None,
                manifests: BTreeMap::new(),
                pins: Vec::new(),
                floors: floors::fresh(),
            }),
            Err(error) => Err(error),
        }
    }

    fn of(root: InstallRoot) -> Result<Self, StateError> {
        let record = root.current()?;
        let mut manifests = BTreeMap::new();
        for pack in record.iter().flat_map(|r| &r.packs) {
            let bytes = root.manifest_bytes(&pack.digest)?;
            let manifest = Verified::by_digest(bytes, &pack.digest).map_err(|source| StateError::Manifest {
                path: root.layout().pack_record(&pack.digest),
                source: Box::new(source),
            })?;
            manifests.insert(pack.name.clone(), Arc::new(manifest));
        }
        let mut pins = Vec::new();
        for root16 in trust::publishers(root.dir())? {
            let documents = trust::roots(root.dir(), &root16)?;
            if !documents.is_empty() {
                pins.push(PlannedRoot { root16, documents });
            }
        }
        Ok(Self {
            pointer: root.pointer()?,
            floors: root.floors()?.unwrap_or_else(floors::fresh),
            record,
            manifests,
            pins,
            root: Some(root),
        })
    }

    /// Answers and ports of the active generation.
    pub(crate) fn settings(&self) -> Settings {
        self.record.as_ref().map_or_else(Settings::default, |record| Settings {
            answers: record.answers.clone(),
            ports: record.ports.clone(),
        })
    }

    /// The launcher of the active generation, and the pack whose manifest tells of it.
    pub(crate) fn launcher(&self) -> Option<KeptLauncher> {
        let (component, pack) = self.record.as_ref()?.launcher()?;
        Some(KeptLauncher {
            component: component.clone(),
            pack: pack.cloned(),
        })
    }

    /// Component ids of a pack in the active generation.
    pub(crate) fn components_of(&self, pack: &str) -> impl Iterator<Item = &str> {
        let components = self.record.iter().flat_map(|r| &r.components);
        components.filter(move |c| c.pack == *pack).map(|c| c.id.as_str())
    }

    /// Ports of the services that may be running here now; they count as free.
    pub(crate) fn own_ports(&self) -> BTreeSet<u16> {
        let mut ports = BTreeSet::new();
        let settings = self.settings();
        for manifest in self.manifests.values() {
            let chosen = self.components_of(&manifest.pack).map(str::to_owned).collect();
            let port_of = |name: &str, prefer| settings.ports.get(name).copied().unwrap_or(prefer);
            ports.extend(services_of(manifest, &chosen, port_of).1.into_iter().map(|p| p.port));
        }
        ports
    }

    /// What interrupted attempts have left in staging of the tree with this directory name.
    pub(crate) fn staged(&self, dir: &str) -> Content {
        let Some(root) = &self.root else {
            return Content::default();
        };
        let attempts = fs::read_dir(root.path().join("staging")).into_iter().flatten();
        attempts
            .flatten()
            .map(|attempt| Content::of(&attempt.path().join("trees").join(dir)))
            .sum()
    }

    /// True if a tree of this directory name is installed and recorded.
    pub(crate) fn has_tree(&self, dir: &str) -> bool {
        let Some(root) = &self.root else { return false };
        let recorded = self.record.iter().flat_map(|r| &r.components).any(|c| c.dir == *dir);
        recorded || root.layout().components().join(dir).is_dir()
    }
}
