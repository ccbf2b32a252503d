//! Owns what an install asks of the machine, taken from verified manifests.

use std::{collections::BTreeSet, path::PathBuf};

use kojibox_packs::manifest::{Component, Manifest, Runtime, Service};
use kojibox_signing::UtcTime;

use super::Content;

/// Everything preflight looks at.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Where to install.
    pub root: PathBuf,
    /// Directories and files the packs come from; the root must not be inside one.
    pub sources: Vec<PathBuf>,
    /// Components of the next generation.
    pub components: Vec<ComponentDemand>,
    /// Services of the chosen components.
    pub services: Vec<ServiceDemand>,
    /// Ports they ask for.
    pub ports: Vec<PortDemand>,
    /// Data that the new generation moves to another format.
    pub moves: Vec<MoveDemand>,
    /// Newest signed time; the clock must not be before it.
    pub not_before: UtcTime,
}

/// What one component asks for.
#[derive(Clone, Debug)]
pub(crate) struct ComponentDemand {
    /// Component id.
    pub id: String,
    /// Directory name of its tree.
    pub dir: String,
    /// Sum of file sizes in bytes.
    pub size: u64,
    /// Number of files.
    pub files: u64,
    /// Bytes of the longest path inside the tree.
    pub max_path_len: u32,
    /// `exec`, `symlink`, `case-sensitive`.
    pub needs: Vec<String>,
    /// Lowest glibc, `2.28`.
    pub min_glibc: Option<String>,
    /// The tree is there already and costs nothing.
    pub present: bool,
    /// What an interrupted attempt has left of it in staging, and that is not written again.
    pub staged: Content,
}

/// What one service asks for.
#[derive(Clone, Debug)]
pub(crate) struct ServiceDemand {
    /// Service id.
    pub id: String,
    /// It keeps data, so file modes must hold.
    pub keeps_data: bool,
    /// Its program is known to refuse uid 0 and users without an account.
    pub wants_plain_user: bool,
}

/// A port that a service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortDemand {
    /// `service.name`.
    pub name: String,
    /// Number tried first.
    pub port: u16,
    /// Must be exactly this one.
    pub pinned: bool,
}

/// Data of a service that is moved to another format when the new generation starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MoveDemand {
    /// Service id.
    pub service: String,
    /// Where the data is now, relative to the root.
    pub dir: PathBuf,
}

impl Demand {
    /// True if the root would be on the medium that the packs come from.
    pub(super) fn is_on_medium(&self) -> bool {
        let inside = |source: &PathBuf| source.is_dir() && self.root.starts_with(source);
        self.sources.iter().any(inside)
    }
}

impl ComponentDemand {
    /// Reads the demand of `component`; `dir` is its directory name, `present` says that its tree is installed, `staged`
    /// how much of it is in staging.
    pub(crate) fn of(component: &Component, dir: String, present: bool, staged: Content) -> Self {
        Self {
            id: component.id.clone(),
            dir,
            size: component.installed_size,
            files: component.n_files,
            max_path_len: component.max_path_len,
            needs: component.needs.clone(),
            min_glibc: match &component.runtime {
                Some(Runtime::MinGlibc(version)) => Some(version.clone()),
                _ => None,
            },
            present,
            staged,
        }
    }
}

/// Programs that refuse to run with every right or without an account, by file name.
const WANTS_PLAIN_USER: [&str; 4] = ["postgres", "initdb", "mysqld", "mariadbd"];

impl ServiceDemand {
    fn of(service: &Service) -> Self {
        let commands = [Some(&service.command), service.init.as_ref().map(|i| &i.command)];
        let programs: Vec<_> = commands.into_iter().flatten().filter_map(|c| c.first()).collect();
        let named = |program: &&String| {
            let name = program.rsplit('/').next().unwrap_or_default();
            WANTS_PLAIN_USER.contains(&name.trim_end_matches("{exe}").trim_end_matches(".exe"))
        };
        Self {
            id: service.id.clone(),
            keeps_data: service.data_format.is_some() || service.init.is_some(),
            wants_plain_user: programs.iter().any(named),
        }
    }
}

/// Services and ports of `manifest`'s chosen components.
pub(crate) fn services_of(
    manifest: &Manifest,
    chosen: &BTreeSet<String>,
    port_of: impl Fn(&str, u16) -> u16,
) -> (Vec<ServiceDemand>, Vec<PortDemand>) {
    let mut services = Vec::new();
    let mut ports = Vec::new();
    for service in manifest.services.iter().filter(|s| chosen.contains(&s.component)) {
        services.push(ServiceDemand::of(service));
        for (name, port) in &service.ports {
            let name = format!("{}.{name}", service.id);
            ports.push(PortDemand {
                port: port_of(&name, port.prefer),
                name,
                pinned: port.pin,
            });
        }
    }
    (services, ports)
}
