//! Owns [`Stack`]: what the active generation of an install root declares, read once per start of the daemon.
//!
//! Files: `state/current.json` → `generations/<n>/record.json` → `records/packs/<digest>/manifest.kbx.json`. Nothing is
//! taken that does not match the digest its record names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use kojibox_packs::manifest::{Condition, Manifest, Migration, Secret, Service, ServiceKind, StopStep, Template};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{
    InstallRoot, Layout, StateError,
    records::{GenerationRecord, PACK_FILES},
};

use crate::{
    machine::{CycleError, Millis, Reason, ReasonCode, Rules, find_cycle},
    platform,
};

/// What the active generation declares.
#[derive(Debug)]
pub struct Stack {
    /// Where everything is.
    pub layout: Layout,
    /// Id of the install root.
    pub install: String,
    /// The active generation.
    pub generation: GenerationRecord,
    /// Services whose component is installed, by id.
    pub services: BTreeMap<String, Definition>,
    /// Trees by component id; the files of packs are with their services.
    pub components: BTreeMap<String, PathBuf>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Secret>,
    /// Answers: given ones over the defaults of the questions.
    pub answers: BTreeMap<String, String>,
}

/// One service with everything its pack says about it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// As declared.
    pub service: Service,
    /// Files rendered at each start.
    pub templates: Vec<Template>,
    /// How its data moves between formats.
    pub migrations: Vec<Migration>,
    /// Digest of its pack's manifest.
    pub pack: Digest,
    /// Tree with the templates of its pack.
    pub pack_files: Option<PathBuf>,
}

/// The active generation could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The root could not be read.
    #[error("could not read the install root")]
    State(#[from] StateError),
    /// Nothing has been installed yet.
    #[error("nothing is installed in `{}`", .0.display())]
    Empty(PathBuf),
    /// A manifest is damaged.
    #[error("the recorded manifest of pack `{pack}` cannot be used")]
    Manifest {
        /// Its pack.
        pack: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two packs declare the same service.
    #[error("packs `{first}` and `{second}` both declare service `{service}`")]
    Twice {
        /// The service.
        service: String,
        /// Pack that was read first.
        first: String,
        /// The other one.
        second: String,
    },
    /// Services wait for each other.
    #[error("the services cannot be started in any order")]
    Circle(#[from] CycleError),
    /// The path of the root cannot be written into commands.
    #[error("`{}` is not valid UTF-8, so it cannot be passed to services", .0.display())]
    Name(PathBuf),
}

impl Stack {
    /// Reads what is active in `root`.
    pub fn load(root: &Path) -> Result<Self, StackError> {
        if root.to_str().is_none() {
            return Err(StackError::Name(root.to_owned()));
        }
        let opened = InstallRoot::open(root)?;
        let empty = || StackError::Empty(root.to_owned());
        let install = opened.install()?.ok_or_else(empty)?;
        let generation = opened.current()?.ok_or_else(empty)?;
        let mut stack = Self {
            layout: opened.layout().clone(),
            install: install.id,
            components: trees(opened.layout(), &generation),
            services: BTreeMap::new(),
            secrets: BTreeMap::new(),
            answers: BTreeMap::new(),
            generation,
        };
        stack.read_packs(&opened)?;
        stack.answers.extend(stack.generation.answers.clone());
        find_cycle(&stack.rules())?;
        Ok(stack)
    }

    fn read_packs(&mut self, root: &InstallRoot) -> Result<(), StackError> {
        let mut from: BTreeMap<String, String> = BTreeMap::new();
        for pack in self.generation.packs.clone() {
            let bytes = root.manifest_bytes(&pack.digest)?;
            let manifest = Verified::<Manifest>::by_digest(bytes, &pack.digest).map_err(|e| StackError::Manifest {
                pack: pack.name.clone(),
                source: e.into(),
            })?;
            let of_pack = |c: &&kojibox_state::records::ComponentRecord| c.id == PACK_FILES && c.pack == pack.name;
            let files = self.generation.components.iter().find(of_pack);
            let files = files.map(|c| self.layout.components().join(&c.dir));
            for question in &manifest.questions {
                if let Some(default) = &question.default {
                    self.answers.insert(question.id.clone(), default.clone());
                }
            }
            self.secrets
                .extend(manifest.secrets.iter().map(|s| (s.id.clone(), s.clone())));
            for service in manifest
                .services
                .iter()
                .filter(|s| self.components.contains_key(&s.component))
            {
                if let Some(first) = from.insert(service.id.clone(), pack.name.clone()) {
                    return Err(StackError::Twice {
                        service: service.id.clone(),
                        first,
                        second: pack.name.clone(),
                    });
                }
                let definition = Definition::of(&manifest, pack.digest, service, files.clone());
                self.services.insert(service.id.clone(), definition);
            }
        }
        Ok(())
    }

    /// What decisions need to know about each service.
    pub fn rules(&self) -> BTreeMap<String, Rules> {
        let rules = |d: &Definition| {
            let mut rules = Rules::of(&d.service, d.stop_budget());
            rules.broken = self.contradiction(&d.service);
            rules
        };
        self.services.iter().map(|(id, d)| (id.clone(), rules(d))).collect()
    }

    /// A wish that can never be met.
    fn contradiction(&self, service: &Service) -> Option<Reason> {
        let never = |(name, condition): &(&String, &Condition)| {
            let other = self.services.get(*name).map(|d| d.service.kind);
            **condition == Condition::Completed && other == Some(ServiceKind::Daemon)
        };
        let (name, _) = service.requires.iter().find(never)?;
        Some(Reason::new(
            ReasonCode::Config,
            format!("waits for `{name}` to complete, but that runs until it is stopped"),
            "correct `requires` in the definition of the pack",
        ))
    }

    /// What `up` without names starts; what these need comes along.
    pub fn autostarted(&self) -> Vec<String> {
        let own = self.services.iter().filter(|(_, d)| d.service.autostart);
        own.map(|(name, _)| name.clone()).collect()
    }

    /// What has to serve once `up` without names is done: what it starts, and what that cannot do without.
    pub fn wanted(&self) -> BTreeSet<String> {
        let rules = self.rules();
        let mut open = self.autostarted();
        let mut wanted = BTreeSet::new();
        while let Some(name) = open.pop() {
            if let Some(rules) = rules.get(&name).filter(|_| wanted.insert(name)) {
                open.extend(rules.waits_for().into_keys().map(str::to_owned));
            }
        }
        wanted.retain(|name| rules.contains_key(name));
        wanted
    }

    /// Names what a service runs: two that differ must not pass for each other. The same in every version of this program.
    pub(crate) fn program(&self, definition: &Definition) -> String {
        let tree = self.components.get(&definition.service.component);
        let tree = tree.and_then(|t| t.file_name()?.to_str()).unwrap_or_default();
        format!("{tree} {}", definition.pack)
    }

    /// The tree of `component` in generation `id`, if that is still recorded.
    pub fn tree_of(&self, component: &str, id: u64) -> Option<PathBuf> {
        let root = InstallRoot::open(self.layout.root()).ok()?;
        let record = root.generation(id).ok().flatten()?;
        trees(&self.layout, &record).remove(component)
    }

    /// Directories with programs, for a person's `PATH`: `bin` of each component, or its top.
    pub fn program_dirs(&self) -> Vec<PathBuf> {
        let dir = |tree: &PathBuf| {
            let bin = tree.join("bin");
            if bin.is_dir() { bin } else { tree.clone() }
        };
        self.components.values().map(dir).collect()
    }
}

fn trees(layout: &Layout, generation: &GenerationRecord) -> BTreeMap<String, PathBuf> {
    let own = generation.components.iter().filter(|c| c.id != PACK_FILES);
    own.map(|c| (c.id.clone(), layout.components().join(&c.dir))).collect()
}

impl Definition {
    fn of(manifest: &Manifest, pack: Digest, service: &Service, pack_files: Option<PathBuf>) -> Self {
        let templates = manifest.templates.iter().filter(|t| t.service == service.id);
        let migrations = manifest.migrations.iter().filter(|m| m.service == service.id);
        Self {
            service: service.clone(),
            templates: templates.cloned().collect(),
            migrations: migrations.cloned().collect(),
            pack,
            pack_files,
        }
    }

    /// The stop recipe of this system; the default one if nothing is declared.
    pub fn stop_steps(&self) -> Vec<StopStep> {
        platform::stop_steps(&self.service.stop)
    }

    fn stop_budget(&self) -> Millis {
        self.stop_steps().iter().map(|s| s.wait.as_millis()).sum()
    }

    /// Name of the directory of its data below `data/<service>/`.
    pub fn format(&self) -> &str {
        self.service.data_format.as_deref().unwrap_or("default")
    }
}
