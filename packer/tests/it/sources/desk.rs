//! Owns the fixture: a cache, a scratch folder, and trees as text.

use std::{
    error::Error,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use kojibox_packer::{
    cache::Cache,
    definition::{Origin, ResolvedComponent, SourceSpec, Steps},
    lock::LockEntry,
    source::{self, ClientVars, FetchEnv, PreparedTree, Retry, Silent, SourceError},
};
use kojibox_packs::{Target, manifest::Text, write::InputKind};
use kojibox_signing::Digest;

pub(super) struct Desk {
    dir: tempfile::TempDir,
    pub(super) cache: Cache,
    pub(super) env: FetchEnv,
    pub(super) target: Target,
}

impl Desk {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            cache: Cache::new(&dir.path().join("cache")),
            env: FetchEnv {
                vars: ClientVars::default(),
                offline: false,
                retry: Retry {
                    rounds: 3,
                    wait: Duration::from_millis(5),
                    connect: Duration::from_secs(5),
                    answer: Duration::from_secs(5),
                },
            },
            target: "linux-x86_64".parse().unwrap(),
            dir,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A new empty folder.
    pub(super) fn scratch(&self) -> PathBuf {
        let scratch = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        fs::create_dir_all(&scratch).unwrap();
        scratch
    }

    pub(super) fn lock(&self, component: &ResolvedComponent) -> Result<LockEntry, SourceError> {
        source::lock(
            component,
            &self.target,
            &self.cache,
            &self.scratch(),
            &self.env,
            &Silent,
        )
    }

    pub(super) fn fetch(&self, component: &ResolvedComponent, entry: &LockEntry) -> Result<u64, SourceError> {
        source::fetch(
            component,
            &self.target,
            entry,
            &self.cache,
            &self.scratch(),
            &self.env,
            &Silent,
        )
    }

    pub(super) fn prepare(
        &self,
        component: &ResolvedComponent,
        entry: &LockEntry,
    ) -> Result<PreparedTree, SourceError> {
        source::prepare(
            component,
            &self.target,
            entry,
            &self.cache,
            &self.scratch(),
            &self.env,
            &Silent,
        )
    }

    /// Locks and prepares.
    pub(super) fn make(&self, component: &ResolvedComponent) -> Result<PreparedTree, SourceError> {
        let entry = self.lock(component)?;
        self.prepare(component, &entry)
    }

    /// Locks and prepares what must be refused; gives the whole chain.
    pub(super) fn refusal(&self, component: &ResolvedComponent) -> String {
        match self.make(component) {
            Ok(tree) => panic!("not refused: {:?}", listing(&tree)),
            Err(error) => chain(&error),
        }
    }
}

/// An error with everything behind it, one line each.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push('\n');
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The entries as lines: kind, mode, path and content of short files.
pub(super) fn listing(tree: &PreparedTree) -> Vec<String> {
    let line = |entry: &kojibox_packs::write::InputEntry| match &entry.kind {
        InputKind::Dir { .. } => format!("{}/", entry.path),
        InputKind::Link { target } => format!("{} -> {target}", entry.path),
        InputKind::File { mode, size, open } => {
            let mut bytes = Vec::new();
            open().unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, *size, "{}", entry.path);
            let program = if *mode == 0o755 { "*" } else { "" };
            format!("{}{program} {}", entry.path, String::from_utf8_lossy(&bytes))
        }
    };
    tree.entries.iter().map(line).collect()
}

/// A component from this origin.
pub(super) fn component(origin: Origin, steps: Steps) -> ResolvedComponent {
    ResolvedComponent {
        id: "thing".to_owned(),
        title: Text::new(),
        version: "1.0.0".to_owned(),
        license: String::new(),
        default: false,
        requires: Vec::new(),
        conflicts: Vec::new(),
        data_format: None,
        runtime: None,
        source: SourceSpec {
            origin,
            steps,
            for_all_targets: true,
        },
    }
}

pub(super) fn url(urls: &[&str], sha256: Option<Digest>) -> ResolvedComponent {
    let urls = urls.iter().map(|u| (*u).to_owned()).collect();
    let origin = Origin::Url {
        urls,
        sha256,
        unpack: true,
        signature: None,
    };
    component(origin, Steps::default())
}

pub(super) fn file_url(path: &Path) -> String {
    let path = path.to_str().unwrap().replace('\\', "/");
    format!("file:///{}", path.trim_start_matches('/').replace(' ', "%20"))
}
