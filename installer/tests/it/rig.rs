//! Small real packs, a gate that can refuse, and install roots that can be copied: what the tests of transactions need.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use kojibox_installer::plan::{
    DataInUse, Env, Gate, GateError, InstallPlan, OlderData, Output, PlannedPack, PlannedRoot, Space, TrustUpdate,
    Unclean, Unobserved, Verdict, VerdictOutcome,
};
use kojibox_packs::{
    Target, Unwatched,
    manifest::{self, Component, Compressor, DataFile, Kind, Manifest, Service, Upstream},
    names,
    path::PackPath,
    source::{BlobSource, Depot},
    write::{BlobOptions, DirOutput, InputEntry, write_blob},
};
use kojibox_signing::{Digest, Verified};
use kojibox_state::{
    Holder,
    doc::Versioned as _,
    records::{Floors, LAUNCHER, PackFloor},
};
use tempfile::TempDir;

pub(crate) const ROOT16: &str = "0123456789abcdef";

/// A temporary directory in memory where there is one: the matrices make many thousand files.
pub(crate) fn fast_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary directory")
}

/// One component to be built: what is in it.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) id: &'static str,
    pub(crate) version: String,
    pub(crate) data_format: Option<&'static str>,
    pub(crate) entries: Vec<InputEntry>,
}

fn path(text: &str) -> PackPath {
    PackPath::new(text).expect("a valid path")
}

/// Bytes that do not compress and follow from `seed` alone.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(step).collect()
}

impl Tree {
    pub(crate) fn new(id: &'static str, version: &str) -> Self {
        Self {
            id,
            version: version.to_owned(),
            data_format: None,
            entries: Vec::new(),
        }
    }

    pub(crate) fn file(mut self, at: &str, mode: u32, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.entries.push(InputEntry::bytes(path(at), mode, bytes.into()));
        self
    }

    pub(crate) fn link(mut self, at: &str, target: &str) -> Self {
        self.entries.push(InputEntry::link(path(at), target));
        self
    }

    pub(crate) fn dir(mut self, at: &str) -> Self {
        self.entries.push(InputEntry::dir(path(at)));
        self
    }

    pub(crate) fn data_format(mut self, format: &'static str) -> Self {
        self.data_format = Some(format);
        self
    }
}

/// The application of release `n`: one file changes, one stays, one comes or goes, two are equal, one is empty.
pub(crate) fn app(n: u8) -> Tree {
    let tree = Tree::new("app", &format!("{n}.0.0"))
        .file("bin/run", 0o755, format!("#!program of release {n}\n").into_bytes())
        .file("lib/stays.bin", 0o644, noise(7, 5000))
        .file("lib/twin.bin", 0o644, noise(7, 5000))
        .file("lib/changes.bin", 0o644, noise(u64::from(n), 1000))
        .file("lib/empty", 0o644, Vec::new())
        .dir("var");
    let tree = if cfg!(unix) {
        tree.link("lib/alias", "stays.bin")
    } else {
        tree
    };
    tree.file(&format!("only-in-{n}.txt"), 0o644, vec![b'0' + n])
}

/// A component that no release changes.
pub(crate) fn web() -> Tree {
    Tree::new("web", "1.0.0").file("index.html", 0o644, b"<title>hello</title>\n".to_vec())
}

/// A component whose files no release changes, but whose version follows the pack's, as its templates do.
pub(crate) fn same(n: u8) -> Tree {
    Tree::new("same", &format!("{n}.0.0")).file("page.conf", 0o644, b"port = {{ports.main}}\n".to_vec())
}

/// A launcher; the gate knows releases by its bytes.
pub(crate) fn launcher(n: u8) -> Tree {
    let name = format!("kojibox{}", std::env::consts::EXE_SUFFIX);
    Tree::new("kojibox-launcher", &format!("0.{n}.0")).file(&name, 0o755, launcher_bytes(n))
}

pub(crate) fn launcher_bytes(n: u8) -> Vec<u8> {
    format!("launcher of release {n}\n").into_bytes()
}

/// A depot that packs are built into.
pub(crate) struct Stick {
    pub(crate) dir: TempDir,
}

impl Stick {
    pub(crate) fn new() -> Self {
        let dir = fast_dir();
        for folder in ["packs", "blobs"] {
            fs::create_dir(dir.path().join(folder)).expect("an empty depot");
        }
        Self { dir }
    }

    pub(crate) fn source(&self) -> Arc<dyn BlobSource> {
        Arc::new(Depot::open(self.dir.path()).expect("a depot"))
    }

    /// Builds a pack of release `n` from `trees`, with one service in component `app` if there is a launcher.
    pub(crate) fn pack(&self, n: u8, trees: &[Tree]) -> PlannedPack {
        self.pack_called("demo", n, trees)
    }

    /// The same under another name.
    pub(crate) fn pack_called(&self, name: &str, n: u8, trees: &[Tree]) -> PlannedPack {
        let components: Vec<Component> = trees.iter().map(|tree| self.component(tree)).collect();
        let ids: BTreeSet<String> = components.iter().map(|c| c.id.clone()).collect();
        let manifest = manifest(name, n, components, ids.contains(LAUNCHER));
        let bytes = manifest.to_canonical_json();
        let digest = Digest::of(&bytes);
        let name = names::manifest(&manifest.file_stem());
        let signature = names::signature(&name, ROOT16);
        let packs = self.dir.path().join("packs");
        fs::write(packs.join(&name), &bytes).expect("a manifest");
        fs::write(packs.join(&signature), b"signature").expect("a signature");
        PlannedPack {
            manifest: Arc::new(Verified::by_digest(bytes, &digest).expect("a manifest of ours")),
            signatures: vec![(signature, b"signature".to_vec())],
            root16: ROOT16.to_owned(),
            root_version: 1,
            approved_by: Vec::new(),
            components: ids,
            source: Some(self.source()),
        }
    }

    fn component(&self, tree: &Tree) -> Component {
        let blobs = self.dir.path().join("blobs");
        let options = BlobOptions {
            frame_max: 64 << 10,
            level: 1,
            ..BlobOptions::default()
        };
        let mut out = DirOutput::new(&blobs, tree.id);
        let blob = write_blob(tree.entries.clone(), &options, &mut out, &Unwatched).expect("a blob");
        let (_, blob_ref, index_ref) = blob.refs(tree.id, &tree.version, Target::Any);
        out.publish(&blob_ref.name).expect("published");
        fs::write(blobs.join(&index_ref.name), &blob.index_bytes).expect("an index");
        Component {
            id: tree.id.to_owned(),
            title: BTreeMap::new(),
            version: tree.version.clone(),
            license: "MIT".to_owned(),
            target: "any".to_owned(),
            upstream: Upstream {
                source: "path".to_owned(),
                sha256: Digest::of(b"upstream"),
                signature: None,
            },
            blob: blob_ref,
            index: index_ref,
            tree_sha256: blob.tree_sha256,
            installed_size: blob.installed_size,
            n_files: blob.n_files,
            max_path_len: blob.max_path_len,
            runtime: None,
            needs: Vec::new(),
            requires: Vec::new(),
            conflicts: Vec::new(),
            default: true,
            data_format: tree.data_format.map(str::to_owned),
        }
    }
}

fn manifest(pack: &str, n: u8, mut components: Vec<Component>, with_service: bool) -> Manifest {
    components.sort_by(|a, b| a.id.cmp(&b.id));
    let installed = components.iter().map(|c| c.installed_size).sum();
    let file = |name: &str| DataFile {
        name: format!("{pack}-{n}.0.0-any.{name}"),
        size: 1,
        sha256: Digest::of(name.as_bytes()),
    };
    let service: Service = serde_json::from_value(serde_json::json!({
        "id": "app", "component": "app", "command": ["{component}/bin/run"],
    }))
    .expect("a small service");
    Manifest {
        schema: "kojibox.pack/1.0".to_owned(),
        readable_since: 0,
        pack: pack.to_owned(),
        title: BTreeMap::new(),
        version: format!("{n}.0.0"),
        sequence: u64::from(n) * 1_000_000,
        min_sequence: 0,
        channel: "stable".to_owned(),
        kind: Kind::Full,
        target: "any".to_owned(),
        min_installer: "0.1.0".to_owned(),
        issued: "2026-11-20T00:00:00Z".to_owned(),
        expires: None,
        source_date_epoch: 1_767_225_600,
        compressor: Compressor {
            name: "zstd".to_owned(),
            version: "1.5.7".to_owned(),
            level: 1,
            window_log: 16,
        },
        components,
        services: if with_service { vec![service] } else { Vec::new() },
        templates: Vec::new(),
        secrets: Vec::new(),
        questions: Vec::new(),
        migrations: Vec::new(),
        space: manifest::Space {
            staging: installed,
            installed,
            peak: installed,
        },
        base: None,
        delta: None,
        sums: file("SHA256SUMS"),
        sbom: file("cdx.json"),
        provenance: file("provenance.json"),
        revokes: Vec::new(),
    }
}

/// A plan that installs `pack` alone and starts it.
pub(crate) fn plan(pack: &PlannedPack) -> InstallPlan {
    let manifest = &pack.manifest;
    let floor = PackFloor {
        sequence: manifest.sequence,
        min_sequence: manifest.min_sequence,
        digests: BTreeMap::from([(manifest.target.clone(), manifest.digest())]),
    };
    InstallPlan {
        command: "kojibox-installer install".to_owned(),
        packs: vec![pack.clone()],
        launcher: None,
        answers: BTreeMap::from([("name".to_owned(), "value".to_owned())]),
        ports: BTreeMap::new(),
        language: Some("en".to_owned()),
        start: true,
        trust: TrustUpdate {
            roots: vec![PlannedRoot {
                root16: ROOT16.to_owned(),
                documents: vec![(1, b"{\"root\":1}".to_vec())],
            }],
            floors: Floors {
                schema: Floors::SCHEMA.to_owned(),
                not_before: "2026-11-20T00:00:00Z".to_owned(),
                packs: BTreeMap::from([(format!("{ROOT16}/demo"), floor)]),
                revoked: BTreeSet::new(),
            },
        },
        verdicts: vec![Verdict {
            check: "pack signature".to_owned(),
            outcome: VerdictOutcome::Passed,
            detail: "1 of 1 keys".to_owned(),
        }],
    }
}

/// Services that exist only as "release n runs"; some releases never become ready.
#[derive(Default)]
pub(crate) struct FakeGate {
    pub(crate) broken: BTreeSet<u8>,
    /// Releases whose service has to be killed.
    pub(crate) stubborn: BTreeSet<u8>,
    pub(crate) calls: RefCell<Vec<String>>,
}

impl FakeGate {
    pub(crate) fn refusing(n: u8) -> Self {
        Self {
            broken: BTreeSet::from([n]),
            ..Self::default()
        }
    }

    pub(crate) fn killing(n: u8) -> Self {
        Self {
            stubborn: BTreeSet::from([n]),
            ..Self::default()
        }
    }

    /// Which release the program belongs to; it must be there and whole whenever anybody runs it.
    fn release(launcher: &Path) -> u8 {
        let bytes = fs::read(launcher).expect("the launcher of a generation is there when it is run");
        let found = (0..10).find(|n| launcher_bytes(*n) == bytes);
        found.expect("the launcher of a generation is whole when it is run")
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }
}

impl Gate for FakeGate {
    fn stop(&self, launcher: &Path, _root: &Path) -> Result<(), GateError> {
        self.calls
            .borrow_mut()
            .push(format!("down {}", Self::release(launcher)));
        if self.stubborn.contains(&Self::release(launcher)) {
            return Err(GateError::Unclean {
                services: vec![Unclean {
                    service: "app".to_owned(),
                    why: "it was killed".to_owned(),
                }],
                output: Output::default(),
            });
        }
        Ok(())
    }

    /// The data of release n is that of its own format, made from 16.
    fn data(&self, launcher: &Path, _root: &Path) -> Option<BTreeMap<String, DataInUse>> {
        let n = Self::release(launcher);
        let format = if n == 1 { "16" } else { "18" }.to_owned();
        let data = DataInUse {
            keep_as: format!("data/app/{format}.aside-1"),
            format,
            unclean: None,
            older: vec![OlderData {
                format: "16".to_owned(),
                until: "2026-11-21T00:00:00Z".to_owned(),
            }],
        };
        Some(BTreeMap::from([("app".to_owned(), data)]))
    }

    fn start(&self, launcher: &Path, _root: &Path) -> Result<(), GateError> {
        let n = Self::release(launcher);
        self.calls.borrow_mut().push(format!("up {n}"));
        if self.broken.contains(&n) {
            return Err(GateError::Failed {
                verb: "up",
                how: "exit code 40".to_owned(),
                services: vec!["app: connection refused".to_owned()],
                output: Output::default(),
            });
        }
        Ok(())
    }

    fn start_again(&self, launcher: &Path, root: &Path) -> Result<(), GateError> {
        self.start(launcher, root)
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_795_000_000).expect("a date")
}

/// The world around a transaction: a fixed clock, one worker.
pub(crate) struct World {
    pub(crate) gate: FakeGate,
    pub(crate) cancel: AtomicBool,
    pub(crate) threads: usize,
    /// What the volume says when it is full: nothing is left of it.
    pub(crate) space: fn(&Path) -> std::io::Result<Space>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(FakeGate::default())
    }

    pub(crate) fn with(gate: FakeGate) -> Self {
        Self {
            gate,
            cancel: AtomicBool::new(false),
            threads: 1,
            space: |_| Ok(Space { free: 0, total: 0 }),
        }
    }

    pub(crate) fn env(&self) -> Env<'_> {
        Env {
            now: &now,
            gate: &self.gate,
            space: &self.space,
            observer: &Unobserved,
            cancel: &self.cancel,
            threads: self.threads,
        }
    }
}

pub(crate) fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        command: "test".to_owned(),
        started: "14:02:11".to_owned(),
    }
}

pub(crate) const CREATED: &str = "2026-11-20T00:00:00Z";
pub(crate) const NO_WAIT: Duration = Duration::ZERO;

/// Copies a directory with modes, links as links.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let at = entry.expect("an entry").path();
        let new = to.join(at.file_name().expect("a name"));
        let meta = fs::symlink_metadata(&at).expect("it was listed");
        if meta.is_dir() {
            copy_tree(&at, &new);
        } else if meta.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(&at).expect("a link"), &new).expect("a link");
        } else {
            fs::copy(&at, &new).expect("a copy");
        }
    }
}

/// Every path below `dir` with its bytes (none for directories), sorted.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        let Ok(entries) = fs::read_dir(&at) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("below").to_owned();
            let meta = fs::symlink_metadata(&path).expect("it was listed");
            if meta.is_dir() {
                out.insert(name, None);
                todo.push(path);
            } else {
                out.insert(name, Some(fs::read(&path).unwrap_or_default()));
            }
        }
    }
    out
}
